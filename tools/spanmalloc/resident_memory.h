// What the resident memory of a process is.
//
// Purpose:  Divide every resident byte that the kernel counts among what
//           spanmalloc says of its page, and what else the process has mapped.
// Not here: the kernel's figures (process_memory.h), the heap's
//           (heap_map.h, stat_reader.h), how it is printed.
//
// Invariant: the parts add up to what the kernel counts, exactly: whatever the
//            two sources disagree about is a part of its own.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_RESIDENT_MEMORY_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_RESIDENT_MEMORY_H_

#include <cstdint>
#include <vector>

#include "spanmalloc/spanmalloc.h"
#include "tools/spanmalloc/heap_map.h"
#include "tools/spanmalloc/process_memory.h"

namespace spanmalloc_tool {

// All figures are bytes.
struct ResidentMemory {
  // ---- The heap. Blocks are counted in whole; what of them and of the free
  // objects between them is not resident is the third figure, and negative.
  int64_t in_use;
  int64_t held_free;
  int64_t never_touched;
  int64_t idle;      // Free, not given back.
  int64_t released;  // Given back or never used, and yet resident: the system
                     // backs the huge page that they lie in.
  int64_t records;   // The allocator's own.
  // ---- Outside
  int64_t programs;   // The program and its libraries, with their data.
  int64_t stack;      // Of the main thread.
  int64_t anonymous;  // Stacks of threads, other allocators, mmap.
  int64_t files;      // Other files.
  int64_t shared;     // Shared memory.
  int64_t kernel;     // What the kernel has mapped, such as [vdso].
  // What the two sources of the figures do not agree about: pages of zeros that
  // were read and never written, and what changed meanwhile.
  int64_t difference;

  int64_t total;  // The sum, which is the kernel's Rss.
  // ---- For information; not in the sum.
  int64_t swapped;
  int64_t huge;  // What of the heap is in huge pages.
};

// False if what is resident can't be read.
bool DivideResidentMemory(const std::vector<MappedMemory>& mappings,
                          const HeapMap& heap, const spanmalloc_memstats& stats,
                          Residency* residency, ResidentMemory* out);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_RESIDENT_MEMORY_H_
