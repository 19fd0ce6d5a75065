#include "tools/spanmalloc/stat_command.h"

#include <cstdint>
#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/spanmalloc/command_line.h"
#include "tools/spanmalloc/core_file.h"
#include "tools/spanmalloc/format.h"
#include "tools/spanmalloc/live_process.h"
#include "tools/spanmalloc/rss_report.h"
#include "tools/spanmalloc/stat_reader.h"
#include "tools/spanmalloc/target.h"

ABSL_FLAG(bool, json, false, "print JSON");
ABSL_FLAG(bool, classes, false, "print every size class that was used");
ABSL_FLAG(bool, rss, false, "print what the resident memory is");
ABSL_FLAG(std::string, core, "", "read this core file");

namespace spanmalloc_tool {

const char kStatUsage[] =
    "usage: spanmalloc stat [--json] [--classes] [--rss] PID\n"
    "       spanmalloc stat [--json] [--classes] --core CORE [EXE]\n"
    "\n"
    "Prints the counters of a process that uses spanmalloc, or that has left\n"
    "a core file. The process is neither stopped nor asked: it may run, be\n"
    "stopped or hang. Figures are exact if it allocates nothing meanwhile.\n"
    "\n"
    "  --json     JSON, with all size classes\n"
    "  --classes  also every size class that was used\n"
    "  --rss      also what the resident memory is: a table that adds up to\n"
    "             the VmRSS of /proc/PID/status\n"
    "  --core     the core file; EXE is where the program is now\n"
    "\n"
    "To read a process takes the right to trace it: its user's or root's.\n";

namespace {

enum class Unit { kBytes, kCount, kNanoseconds };

struct Metric {
  const char* name;
  uint64_t spanmalloc_memstats::*value;
  Unit unit;
};

constexpr Metric kMetrics[] = {
#define SPANMALLOC_METRIC(field, name, unit, kind, suffix, help) \
  {name, &spanmalloc_memstats::field, Unit::unit},
#include "allocator/observe/metrics.def"
#undef SPANMALLOC_METRIC
};

constexpr char kBetweenSteps[] =
    "the process is in the middle of a step: figures about pages and large "
    "blocks may be one step apart";

struct Result {
  FoundRoot found;
  Snapshot snapshot;
  ResidentMemory resident;  // If it was asked for.
  std::string version;
  bool is_core;
  std::string of;  // The process or the core.
};

void Row(absl::string_view what, uint64_t bytes) {
  absl::PrintF("%-34s %11s %20u bytes\n", what, Human(bytes), bytes);
}

void PrintSummary(const spanmalloc_memstats& stats) {
  Row("in use by the program", stats.heap_alloc);
  Row("held free in caches and spans", stats.heap_inuse - stats.heap_alloc);
  Row("idle in the heap", stats.heap_idle - stats.heap_released);
  Row("released, address space only", stats.heap_released);
  Row("records of the allocator", stats.sys - stats.heap_sys);
  Row("address space in all", stats.sys);
  Row("most ever in use", stats.peak_heap_alloc);
  absl::PrintF("%u mallocs, %u frees, %u blocks live, %u threads\n",
               stats.mallocs, stats.frees, stats.heap_objects, stats.threads);
}

void PrintDetails(const spanmalloc_memstats& stats) {
  for (const Metric& metric : kMetrics) {
    const uint64_t value = stats.*metric.value;
    if (metric.unit == Unit::kBytes) {
      Row(metric.name, value);
    } else {
      absl::PrintF("%-34s %11s %20u\n", metric.name, "", value);
    }
  }
}

void PrintClasses(const spanmalloc_memstats& stats) {
  absl::PrintF("%10s%16s%16s%12s%18s\n", "size", "mallocs", "frees", "blocks",
               "bytes");
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.mallocs == 0) continue;
    const uint64_t blocks = size.mallocs - size.frees;
    absl::PrintF("%10u%16u%16u%12u%18u\n", size.size, size.mallocs, size.frees,
                 blocks, blocks * size.size);
  }
  if (stats.large_mallocs != 0) {
    absl::PrintF("%10s%16u%16u%12u%18u\n", "larger", stats.large_mallocs,
                 stats.large_frees, stats.large_objects, stats.large_bytes);
  }
}

void PrintText(const Result& result) {
  const spanmalloc_memstats& stats = result.snapshot.stats;
  absl::PrintF("%s: spanmalloc %s in %s\n\n", result.of, result.version,
               result.found.path);
  PrintSummary(stats);
  if (result.snapshot.between_steps) absl::PrintF("note: %s\n", kBetweenSteps);
  absl::PrintF("\n");
  if (absl::GetFlag(FLAGS_rss)) {
    absl::PrintF("%s\n", RssTable(result.resident));
  }
  PrintDetails(stats);
  if (absl::GetFlag(FLAGS_classes)) {
    absl::PrintF("\n");
    PrintClasses(stats);
  }
}

std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", absl::string_view(&c, 1));
    } else if (byte < 0x20) {
      absl::StrAppendFormat(&quoted, "\\u%04x", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

void PrintJson(const Result& result) {
  const spanmalloc_memstats& stats = result.snapshot.stats;
  absl::PrintF("{\n  \"version\": %s", Quoted(result.version));
  if (result.is_core) {
    absl::PrintF(",\n  \"core\": %s", Quoted(result.of));
  } else {
    absl::PrintF(",\n  \"pid\": %s", result.of.substr(result.of.find(' ') + 1));
  }
  absl::PrintF(",\n  \"library\": %s", Quoted(result.found.path));
  absl::PrintF(",\n  \"between_steps\": %s",
               result.snapshot.between_steps ? "true" : "false");
  for (const Metric& metric : kMetrics) {
    absl::PrintF(",\n  %s: %u", Quoted(metric.name), stats.*metric.value);
  }
  if (absl::GetFlag(FLAGS_rss)) {
    absl::PrintF(",\n  \"rss\": %s", RssJson(result.resident));
  }
  absl::PrintF(",\n  \"by_size\": [");
  const char* separator = "\n    ";
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.size == 0) continue;
    absl::PrintF("%s{\"size\": %u, \"mallocs\": %u, \"frees\": %u}", separator,
                 size.size, size.mallocs, size.frees);
    separator = ",\n    ";
  }
  absl::PrintF("\n  ]\n}\n");
}

int ReportUsage(absl::string_view error) {
  return Report(absl::StrCat(error, " (see: spanmalloc help stat)"), kUsage);
}

// Reads and prints the target; `pid` is 0 for a core file.
int Stat(Target* target, pid_t pid) {
  Result result;
  std::string error;
  if (!FindRoot(target, &result.found, &error)) {
    return Report(error, kUnreadable);
  }
  result.of = target->Name();
  result.is_core = pid == 0;
  result.version = absl::StrCat(result.found.root.library_version[0], ".",
                                result.found.root.library_version[1], ".",
                                result.found.root.library_version[2]);
  if (!ReadSnapshot(target->memory(), result.found.root, &result.snapshot)) {
    return Report(absl::StrCat(target->Name(), ": ", target->WhyUnreadable()),
                  kUnreadable);
  }
  if (absl::GetFlag(FLAGS_rss) &&
      !ReadResidentMemory(pid, target, result.found.root, result.snapshot.stats,
                          &result.resident, &error)) {
    return Report(error, kUnreadable);
  }
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(result);
  } else {
    PrintText(result);
  }
  return std::fflush(stdout) == 0 ? kOk : Report("cannot write", kUnreadable);
}

int StatCore(const std::vector<std::string>& positional) {
  if (positional.size() > 1) return ReportUsage("too many arguments");
  if (absl::GetFlag(FLAGS_rss)) {
    return ReportUsage("a core file has no resident memory");
  }
  CoreFile core;
  std::string error;
  if (!core.Open(absl::GetFlag(FLAGS_core),
                 positional.empty() ? "" : positional[0], &error)) {
    return Report(error, kUnreadable);
  }
  return Stat(&core, 0);
}

int StatProcess(const std::vector<std::string>& positional) {
  if (positional.size() != 1) {
    return ReportUsage(positional.empty() ? "stat needs a PID"
                                          : "too many arguments");
  }
  int pid;
  if (!absl::SimpleAtoi(positional[0], &pid) || pid <= 0) {
    return ReportUsage(absl::StrCat(positional[0], " is no PID"));
  }
  LiveProcess process;
  std::string error;
  if (!process.Open(pid, &error)) return Report(error, kUnreadable);
  return Stat(&process, pid);
}

}  // namespace

int StatCommand(const std::vector<std::string>& arguments) {
  std::vector<std::string> positional;
  std::string error;
  if (!ParseArguments(arguments, {"json", "classes", "rss", "core"},
                      &positional, &error)) {
    return ReportUsage(error);
  }
  return absl::GetFlag(FLAGS_core).empty() ? StatProcess(positional)
                                           : StatCore(positional);
}

}  // namespace spanmalloc_tool
