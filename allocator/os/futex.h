// Sleeping until another thread calls, and the pause before that.
//
// Place:    os/, below mutex.h and gate.h.
// Purpose:  What those two share.
// Not here: sleeping for a time (parking_spot.h).
//
// Concurrency: any thread. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_FUTEX_H_
#define SPANMALLOC_ALLOCATOR_OS_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {

// Tells the processor that the thread spins.
inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// FUTEX_WAIT: sleeps if the word has that value. FUTEX_WAKE: wakes so many.
inline void Futex(std::atomic<uint32_t>* word, int operation, uint32_t value) {
  ErrnoSaver errno_saver;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word),
          operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_FUTEX_H_
