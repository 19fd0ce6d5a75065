#include "tools/spanmalloc/rss_report.h"

#include <errno.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/spanmalloc/format.h"
#include "tools/spanmalloc/heap_map.h"
#include "tools/spanmalloc/process_memory.h"

namespace spanmalloc_tool {
namespace {

struct Part {
  const char* name;  // In JSON.
  const char* text;
  int64_t ResidentMemory::*bytes;
  bool always;  // Printed even if it is 0.
};

constexpr Part kParts[] = {
    {"in_use", "in use by the program", &ResidentMemory::in_use, true},
    {"held_free", "held free in caches and spans", &ResidentMemory::held_free,
     true},
    {"never_touched", "of both, not resident", &ResidentMemory::never_touched,
     true},
    {"idle", "idle in the heap", &ResidentMemory::idle, true},
    {"released", "released or new, in huge pages", &ResidentMemory::released,
     true},
    {"records", "records of the allocator", &ResidentMemory::records, true},
    {"programs", "program and libraries", &ResidentMemory::programs, true},
    {"stack", "stack of the main thread", &ResidentMemory::stack, true},
    {"anonymous", "other stacks, other allocators", &ResidentMemory::anonymous,
     true},
    {"files", "other files", &ResidentMemory::files, false},
    {"shared", "shared memory", &ResidentMemory::shared, false},
    {"kernel", "mapped by the kernel", &ResidentMemory::kernel, false},
    {"difference", "read as zeros, or just changing",
     &ResidentMemory::difference, false},
    {"total", "resident (VmRSS)", &ResidentMemory::total, true},
};

std::string Row(absl::string_view what, int64_t bytes) {
  const std::string human =
      bytes < 0 ? absl::StrCat("-", Human(static_cast<uint64_t>(-bytes)))
                : Human(static_cast<uint64_t>(bytes));
  return absl::StrFormat("%-34s %11s %20d bytes\n", what, human, bytes);
}

}  // namespace

bool ReadResidentMemory(pid_t pid, Target* target,
                        const spanmalloc::StatRoot& root,
                        const spanmalloc_memstats& stats, ResidentMemory* out,
                        std::string* error) {
  const std::string proc = absl::StrCat("/proc/", pid, "/");
  std::vector<MappedMemory> mappings;
  if (!ReadMappedMemory(pid, &mappings) || mappings.empty()) {
    *error = absl::StrCat(
        target->Name(), ": ", proc, "smaps: ",
        mappings.empty() ? "nothing is there" : std::strerror(errno));
    return false;
  }
  Residency residency;
  if (!residency.Open(pid)) {
    *error = absl::StrCat(target->Name(), ": ", proc,
                          "pagemap: ", std::strerror(errno));
    return false;
  }
  std::vector<Range> mapped;
  for (const MappedMemory& mapping : mappings) {
    mapped.push_back({mapping.start, mapping.end});
  }
  HeapMap heap;
  if (!heap.Read(target->memory(), root, mapped)) {
    *error = absl::StrCat(target->Name(), ": ", target->WhyUnreadable());
    return false;
  }
  if (!DivideResidentMemory(mappings, heap, stats, &residency, out)) {
    *error = absl::StrCat(target->Name(), ": ", proc, "pagemap cannot be read");
    return false;
  }
  return true;
}

std::string RssTable(const ResidentMemory& memory) {
  std::string table;
  for (const Part& part : kParts) {
    const int64_t bytes = memory.*part.bytes;
    if (part.always || bytes != 0) table += Row(part.text, bytes);
  }
  if (memory.swapped != 0) {
    absl::StrAppend(&table, "\n", Row("besides, swapped out", memory.swapped));
  }
  if (memory.huge != 0) {
    absl::StrAppend(&table, "\n",
                    Row("of the heap, in huge pages", memory.huge));
  }
  return table;
}

std::string RssJson(const ResidentMemory& memory) {
  std::string json = "{";
  const char* separator = "\n    ";
  for (const Part& part : kParts) {
    absl::StrAppendFormat(&json, "%s\"%s\": %d", separator, part.name,
                          memory.*part.bytes);
    separator = ",\n    ";
  }
  absl::StrAppendFormat(&json, ",\n    \"swapped\": %d,\n    \"huge\": %d\n  }",
                        memory.swapped, memory.huge);
  return json;
}

}  // namespace spanmalloc_tool
