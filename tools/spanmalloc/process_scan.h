// Finds all processes of the machine that run on spanmalloc, and reads them.
//
// Place:    process_stat -> [process_scan] -> process_table -> top_screen
// Purpose:  One call, one look at each process: what the system says about it
//           and what its spanmalloc says. The processes do not notice.
// Not here: what changed since the last look (process_table.h).
//
// Cost
//   To find the root of a process takes its list of mappings and the symbol
//   tables of its files, so what was found is kept as long as the process runs
//   the same program; a scan then costs one small file for each process, and
//   for each one on spanmalloc the reading of its counters.
//   Where no root was found one may come: a process that was seen while it
//   started, or one that loads a library. It is looked at again after 1, 2, 4
//   ... kMaxPause scans.
//
// Failure: a process that ends meanwhile is not there. One that may not be read
//   is counted; what it runs on is not known.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_SCAN_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_SCAN_H_

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/spanmalloc/live_process.h"
#include "tools/spanmalloc/process_stat.h"
#include "tools/spanmalloc/root_files.h"
#include "tools/spanmalloc/stat_reader.h"
#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

// One process on spanmalloc at one time.
struct ProcessSample {
  ProcessStat process;
  Snapshot snapshot;
  std::string version;  // Of its spanmalloc,
  std::string path;     // and the file that this is in.
  double seconds = 0;   // On a clock that never goes back.
};

struct ScanResult {
  std::vector<ProcessSample> samples;
  std::vector<pid_t> pids;   // All that have memory, in ascending order.
  size_t unreadable = 0;     // Of them: may not be read.
  size_t other_version = 0;  // Of them: on a spanmalloc that we do not know.
};

class ProcessScan {
 public:
  static constexpr unsigned kMaxPause = 32;

  // A process that somebody asked for: it is searched as thoroughly as by
  // `stat`. False, with a line that says why, if it cannot be read.
  bool Open(pid_t pid, std::string* error);

  ScanResult Run() { return Run(ListProcesses()); }
  // These processes only.
  ScanResult Run(const std::vector<pid_t>& pids);

 private:
  enum class Kind { kUnknown, kOnSpanmalloc, kOther, kUnreadable, kVersion };
  // What is known about a process.
  struct Known {
    ProcessImage image;
    Kind kind = Kind::kUnknown;
    unsigned pause = 0;  // Scans between the last look and the next one,
    unsigned left = 0;   // and how many of them are still to come.
    bool seen = false;   // In this scan.
    std::unique_ptr<LiveProcess> target;  // These, if on spanmalloc.
    FoundRoot found;
  };

  void Visit(const ProcessStat& process, ScanResult* result);
  void Look(pid_t pid, Known* known);
  bool ReadSample(const ProcessStat& process, Known* known,
                  ProcessSample* sample);

  std::map<pid_t, Known> known_;
  RootFiles files_;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_SCAN_H_
