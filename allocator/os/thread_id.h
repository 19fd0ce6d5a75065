// The number that the system gives to a thread.
//
// Place:    os/.
// Purpose:  Name a thread to a person, as debuggers and /proc do.
// Concurrency: call from any thread, and in a signal handler.
// Cost:     one system call.
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_ID_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_ID_H_

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace spanmalloc {

// gettid() is in newer C libraries only.
inline uint64_t CurrentThreadId() {
  return static_cast<uint64_t>(syscall(SYS_gettid));
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_ID_H_
