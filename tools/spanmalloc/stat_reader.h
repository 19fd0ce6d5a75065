// Puts a spanmalloc_memstats together out of the memory of another process.
//
// Purpose:  What spanmalloc_read_memstats does inside, from outside: for a
//           process that runs, is stopped or hangs in any lock, and for what a
//           core file has kept of one.
// Not here: where the memory comes from (target.h), and where in it the root is
//           (target.h); what the root says (stat_root.h).
//
// Nothing that is read is trusted: addresses may lead nowhere, lists may end in
// themselves.
//
// Order: as inside, counts are read so that no difference comes out negative.
//        Exact if nothing in the process allocates meanwhile.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_STAT_READER_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_STAT_READER_H_

#include <cstddef>
#include <cstdint>

#include "allocator/observe/stat_root.h"
#include "spanmalloc/spanmalloc.h"

namespace spanmalloc_tool {

// Memory that may be somebody else's.
struct Memory {
  // Copies n bytes; false if not all of them are there.
  bool (*read)(void* context, uint64_t address, void* out, size_t n);
  void* context;
  bool may_change;  // Whether trying again may help.
};

enum class RootStatus {
  kValid,
  kUnreadable,    // The memory is not there.
  kNone,          // Something else is there.
  kOtherVersion,  // A root that this reader does not know. Only its version is
                  // filled in.
};

// The root at the address.
RootStatus ReadRoot(const Memory& memory, uint64_t address,
                    spanmalloc::StatRoot* root);

struct Snapshot {
  spanmalloc_memstats stats;
  // The process was just writing its numbers about pages: some of those may be
  // a step older than others.
  bool between_steps;
};

// False if some memory is not there or makes no sense.
bool ReadSnapshot(const Memory& memory, const spanmalloc::StatRoot& root,
                  Snapshot* snapshot);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_STAT_READER_H_
