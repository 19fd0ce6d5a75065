// The processes on spanmalloc as a table: what they have, how fast they
// allocate, and in which order they are shown.
//
// Place:    process_stat -> process_scan -> [process_table] -> top_screen
// Purpose:  Rates are the difference of two looks at one process. Nothing here
//           reads a process or a clock.
// Not here: what it looks like (top_list.h, top_detail.h).
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_TABLE_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_TABLE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/spanmalloc/process_scan.h"

namespace spanmalloc_tool {

// A size class, or the blocks above all of them.
struct ClassRow {
  uint64_t size = 0;  // 0: larger ones.
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  double mallocs = 0;  // A second.
  double frees = 0;
};

struct ProcessRow {
  ProcessSample sample;
  // A second, since the look before. There was none if this is the first look,
  // or if the process runs another program since: then all rates are 0.
  bool has_rates = false;
  double mallocs = 0;
  double frees = 0;
  double bytes_allocated = 0;
  double bytes_freed = 0;
  std::vector<ClassRow> classes;  // Those that were used, by size.

  const spanmalloc_memstats& stats() const { return sample.snapshot.stats; }
  // Free in caches and in spans.
  uint64_t held() const { return stats().heap_inuse - stats().heap_alloc; }
  // Free, with memory of the system behind it.
  uint64_t idle() const { return stats().heap_idle - stats().heap_released; }
  // What has memory behind it, as far as the program has touched it.
  uint64_t backed() const { return stats().heap_sys - stats().heap_released; }
};

enum class SortKey {
  kRss,
  kInUse,
  kHeld,
  kIdle,
  kAllocated,  // Bytes a second.
  kMallocs,    // A second.
  kPid,
  kCommand,
};

class ProcessTable {
 public:
  // Takes the place of what was there.
  void Update(ScanResult scan);

  // Largest first, or PIDs and names in ascending order; reversed if so wished.
  void SortBy(SortKey key, bool reversed);
  SortKey sort_key() const { return key_; }
  bool reversed() const { return reversed_; }

  const std::vector<ProcessRow>& rows() const { return rows_; }
  const ProcessRow* Find(pid_t pid) const;
  // Whether there is such a process, on spanmalloc or not.
  bool Exists(pid_t pid) const;
  size_t processes() const { return pids_.size(); }
  size_t unreadable() const { return unreadable_; }
  size_t other_version() const { return other_version_; }

 private:
  void Sort();

  std::vector<ProcessRow> rows_;
  std::vector<pid_t> pids_;
  size_t unreadable_ = 0;
  size_t other_version_ = 0;
  SortKey key_ = SortKey::kRss;
  bool reversed_ = false;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_TABLE_H_
