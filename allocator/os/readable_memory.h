// Reads of memory that may not be there.
//
// Place:    os/, below stack_trace.h.
// Purpose:  The next frame of a stack is where the last one says, and that may
//           be anywhere. The kernel is asked, once for each page, whether it
//           can be read; it says so without a signal.
//
// The question is rt_sigprocmask with a `how` that does not exist: the kernel
// fetches the set of signals first (EFAULT) and then refuses (EINVAL), so that
// nothing changes. A program under a seccomp filter needs that call itself, for
// threads and for abort; where it is denied, no page is readable.
//
// An object remembers one range of pages: what a stack is read through. It is
// as true as the mappings are still: memory that another thread unmaps between
// question and read faults. Nobody unmaps the stack that runs.
//
// Concurrency: an object belongs to one thread; no state beyond it.
// Cost:        a system call for each new page; else two comparisons.
// Failure:     false. errno may change.
#ifndef SPANMALLOC_ALLOCATOR_OS_READABLE_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_OS_READABLE_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/config.h"

namespace spanmalloc {

// Whether the page that holds the address can be read. Pages here are the
// smallest that there are: right on every system.
bool PageIsReadable(uintptr_t address);

class ReadableMemory {
 public:
  constexpr ReadableMemory() = default;

  // With one page that is known: that of an object of the caller's.
  explicit ReadableMemory(const void* known)
      : start_(
            AlignDown(reinterpret_cast<uintptr_t>(known), kMinSystemPageSize)),
        size_(kMinSystemPageSize) {}

  // An aligned word, so one that lies in one page.
  SPANMALLOC_ALWAYS_INLINE bool ReadWord(uintptr_t address, uintptr_t* word) {
    if (SPANMALLOC_UNLIKELY(address % sizeof(uintptr_t) != 0)) return false;
    if (SPANMALLOC_UNLIKELY(address - start_ >= size_) && !AddPage(address)) {
      return false;
    }
    *word = Load(address);
    return true;
  }

  // Any bytes.
  bool Read(uintptr_t address, void* to, size_t size);

 private:
  // False alarms: a frame that is read by its saved registers may be somebody
  // else's, or none.
  __attribute__((no_sanitize("address", "thread"))) static uintptr_t Load(
      uintptr_t address) {
    return *reinterpret_cast<const volatile uintptr_t*>(address);
  }
  SPANMALLOC_NOINLINE bool AddPage(uintptr_t address);

  uintptr_t start_ = 0;
  size_t size_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_READABLE_MEMORY_H_
