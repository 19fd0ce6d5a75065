// What every page of a process's heap is, read from outside.
//
// Purpose:  For a process or a core file: which addresses are spanmalloc's, and
//           what the page heap says of each page.
// Not here: how much of it is resident (resident_memory.h), where the memory
//           comes from (target.h).
//
// Nothing that is read is trusted. What the process changes meanwhile is seen
// as it was before or after.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_HEAP_MAP_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_HEAP_MAP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "allocator/observe/stat_root.h"
#include "tools/spanmalloc/stat_reader.h"

namespace spanmalloc_tool {

// Addresses from start up to end.
struct Range {
  uint64_t start;
  uint64_t end;
};

enum class PageState {
  kForeign,   // Not spanmalloc's.
  kUsed,      // In a span: the program's, or in a cache.
  kIdle,      // Free; was used and not given back.
  kReleased,  // Free; given back, or never used.
  kRecords,   // The allocator's own.
};
inline constexpr size_t kPageStates = 5;

class HeapMap {
 public:
  // Looks for the heap at the mapped addresses only. False if some memory is
  // not there or makes no sense.
  bool Read(const Memory& memory, const spanmalloc::StatRoot& root,
            const std::vector<Range>& mapped);

  // The state at the address, and in *end where it may change next.
  PageState StateAt(uint64_t address, uint64_t* end) const;

 private:
  struct Tracker {
    std::vector<uint64_t> free, fresh;
  };
  bool ReadLeaf(const Memory& memory, const spanmalloc::StatRoot& root,
                uint64_t first_address, uint64_t leaf);
  bool ReadRecords(const Memory& memory, const spanmalloc::StatRoot& root);
  void AddRecords(uint64_t start, uint64_t bytes);

  uint64_t page_bytes_ = 0;
  uint64_t huge_page_bytes_ = 0;
  std::map<uint64_t, Tracker> huge_pages_;  // By address.
  std::map<uint64_t, uint64_t> records_;    // Ends, by start.
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_HEAP_MAP_H_
