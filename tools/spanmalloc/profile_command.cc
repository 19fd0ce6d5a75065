#include "tools/spanmalloc/profile_command.h"

#include <errno.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/spanmalloc/command_line.h"
#include "tools/spanmalloc/core_file.h"
#include "tools/spanmalloc/format.h"
#include "tools/spanmalloc/live_process.h"
#include "tools/spanmalloc/process_profile.h"
#include "tools/spanmalloc/target.h"

ABSL_FLAG(std::string, type, "heap", "which profile");
ABSL_FLAG(std::string, output, "", "the file that is written, - for stdout");
ABSL_FLAG(double, seconds, 0, "sample for so long");
ABSL_FLAG(std::string, sampling_interval, "", "bytes between two samples");
ABSL_DECLARE_FLAG(std::string, core);

namespace spanmalloc_tool {

const char kProfileUsage[] =
    "usage: spanmalloc profile [--type TYPE] [-o FILE]\n"
    "                          [--seconds N [--interval BYTES]] PID\n"
    "       spanmalloc profile [--type TYPE] [-o FILE] --core CORE [EXE]\n"
    "\n"
    "Writes the heap profile of a process that uses spanmalloc, or that has\n"
    "left a core file, as a file for pprof. The process is neither stopped "
    "nor\n"
    "asked. It has to sample: start it with the option profile_interval, or\n"
    "let --seconds turn that on.\n"
    "\n"
    "  --type      heap       what is in use, and was allocated (the default)\n"
    "              peak       what was in use when most was\n"
    "              growth     where the heap took memory from the system\n"
    "              lifetimes  how long blocks lived that have been freed\n"
    "  -o          the file; - is stdout. Without it,\n"
    "              spanmalloc.PID.TYPE.pb.gz\n"
    "  --seconds   waits so long, and writes what was allocated, freed and\n"
    "              grown in that time; what is in use, and the peak, are as\n"
    "              they are at its end. If sampling is off it is turned on "
    "for\n"
    "              that time, by a write to the process's memory. Ctrl-C ends\n"
    "              the time early.\n"
    "  --interval  mean bytes between two samples if that turns it on: 512K\n"
    "              without it; 1 samples everything\n"
    "  --core      the core file; EXE is where the program is now\n"
    "\n"
    "To read a process takes the right to trace it: its user's or root's.\n";

namespace {

constexpr double kMaxSeconds = 7 * 24 * 3600.0;
constexpr uint64_t kMaxInterval = uint64_t{1} << 47;  // As the option has it.

// What the command line asks for.
struct Wish {
  std::string type;
  std::string output;
  double seconds = 0;     // 0: what is there now.
  uint64_t interval = 0;  // 0: the usual one.
};

int ReportUsage(absl::string_view error) {
  return Report(absl::StrCat(error, " (see: spanmalloc help profile)"), kUsage);
}

// "4096", "512K", "1M"; false if it is none of these.
bool ParseBytes(absl::string_view text, uint64_t* bytes) {
  constexpr absl::string_view kUnits = "KMGT";
  int shift = 0;
  if (!text.empty()) {
    const size_t unit = kUnits.find(
        absl::ascii_toupper(static_cast<unsigned char>(text.back())));
    if (unit != absl::string_view::npos) {
      shift = 10 * static_cast<int>(unit + 1);
      text.remove_suffix(1);
    }
  }
  if (!absl::SimpleAtoi(text, bytes) || *bytes > kMaxInterval >> shift) {
    return false;
  }
  *bytes <<= shift;
  return *bytes != 0;
}

int WriteOut(const Wish& wish, const std::string& profile) {
  const bool to_stdout = wish.output == "-";
  std::FILE* const file =
      to_stdout ? stdout : std::fopen(wish.output.c_str(), "wbe");
  struct stat what = {};
  bool ok = file != nullptr && fstat(fileno(file), &what) == 0;
  if (ok) {
    ok = std::fwrite(profile.data(), 1, profile.size(), file) ==
             profile.size() &&
         std::fflush(file) == 0;
    if (!to_stdout) ok = std::fclose(file) == 0 && ok;
  }
  if (ok) return kOk;
  const std::string why = std::strerror(errno);
  // Half a profile is none. Devices are not ours to remove.
  if (!to_stdout && S_ISREG(what.st_mode)) std::remove(wish.output.c_str());
  return Report(absl::StrCat(to_stdout ? "stdout" : wish.output, ": ", why),
                kUnreadable);
}

// Writes it and says so.
int WriteOutAndTell(const Wish& wish, const std::string& profile,
                    const Target& target) {
  const int status = WriteOut(wish, profile);
  if (status == kOk && wish.output != "-") {
    absl::PrintF("%s: %s profile in %s (%s)\n", target.Name(), wish.type,
                 wish.output, Human(profile.size()));
  }
  return status;
}

int ProfileCore(const std::vector<std::string>& positional, Wish* wish) {
  const std::string path = absl::GetFlag(FLAGS_core);
  if (positional.size() > 1) return ReportUsage("too many arguments");
  if (wish->seconds != 0) return ReportUsage("a core file does not go on");
  CoreFile core;
  std::string error;
  if (!core.Open(path, positional.empty() ? "" : positional[0], &error)) {
    return Report(error, kUnreadable);
  }
  if (wish->output.empty()) {
    wish->output = absl::StrCat("spanmalloc.", path.substr(path.rfind('/') + 1),
                                ".", wish->type, ".pb.gz");
  }
  std::string profile;
  if (!TakeProfile(&core, true, wish->type, &profile, &error)) {
    return Report(error, kUnreadable);
  }
  return WriteOutAndTell(*wish, profile, core);
}

int ProfileProcess(const std::vector<std::string>& positional, Wish* wish) {
  if (positional.size() != 1) {
    return ReportUsage(positional.empty() ? "profile needs a PID"
                                          : "too many arguments");
  }
  int pid;
  if (!absl::SimpleAtoi(positional[0], &pid) || pid <= 0) {
    return ReportUsage(absl::StrCat(positional[0], " is no PID"));
  }
  LiveProcess process;
  std::string error;
  if (!process.Open(pid, &error)) return Report(error, kUnreadable);
  if (wish->output.empty()) {
    wish->output = absl::StrCat("spanmalloc.", pid, ".", wish->type, ".pb.gz");
  }
  std::string profile;
  const bool taken =
      wish->seconds == 0
          ? TakeProfile(&process, false, wish->type, &profile, &error)
          : TakeProfileOver(&process, wish->seconds, wish->interval, wish->type,
                            &profile, &error);
  if (!taken) return Report(error, kUnreadable);
  return WriteOutAndTell(*wish, profile, process);
}

}  // namespace

int ProfileCommand(const std::vector<std::string>& arguments) {
  std::vector<std::string> positional;
  std::string error;
  if (!ParseArguments(arguments,
                      {"type", "output", "o=output", "seconds",
                       "interval=sampling_interval", "core"},
                      &positional, &error)) {
    return ReportUsage(error);
  }
  Wish wish;
  wish.output = absl::GetFlag(FLAGS_output);
  wish.seconds = absl::GetFlag(FLAGS_seconds);
  wish.type = absl::GetFlag(FLAGS_type);
  const std::string interval = absl::GetFlag(FLAGS_sampling_interval);
  if (!IsProfileType(wish.type)) {
    return ReportUsage(absl::StrCat("there is no type ", wish.type));
  }
  if (!(wish.seconds >= 0 && wish.seconds <= kMaxSeconds)) {
    return ReportUsage("--seconds takes up to a week of seconds");
  }
  if (!interval.empty() && !ParseBytes(interval, &wish.interval)) {
    return ReportUsage(absl::StrCat(interval, " is no interval"));
  }
  if (!interval.empty() && wish.seconds == 0) {
    return ReportUsage("--interval goes with --seconds");
  }
  return absl::GetFlag(FLAGS_core).empty() ? ProfileProcess(positional, &wish)
                                           : ProfileCore(positional, &wish);
}

}  // namespace spanmalloc_tool
