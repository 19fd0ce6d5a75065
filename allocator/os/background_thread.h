// A thread of the allocator's own.
//
// Place:    os/.
// Purpose:  Work that no thread of the program should pay for. The program
//           does not notice the thread: no signal of the program's is handled
//           by it, it has a small stack, and nobody joins it.
// Not here: whether there should be one, and where it sleeps (parking_spot.h).
//
// Signals:     all are blocked but those that a thread brings upon itself
//              (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS). Blocking
//              those would not avert them, only keep them from the program's
//              handler: the one that reports the crash, or that stands in for
//              what a seccomp filter traps. The C library keeps two for
//              itself.
// Concurrency: Start from one thread at a time. Inside malloc, too, if the
//              caller holds no lock of ours and is ready to serve calloc: the C
//              library allocates for each new thread, on the thread that makes
//              it and perhaps on the new one.
// Cost:        100 KiB of address space and a guard page, and what the
//              thread-local variables of all libraries take; two or three pages
//              are touched.
// Failure:     false: no memory, or as many threads as the system admits
//              (RLIMIT_NPROC, pids.max of a cgroup). It may work later. errno
//              is kept.
// Fork:        a child does not have the thread. It may Start it again.
#ifndef SPANMALLOC_ALLOCATOR_OS_BACKGROUND_THREAD_H_
#define SPANMALLOC_ALLOCATOR_OS_BACKGROUND_THREAD_H_

#include <cstddef>

namespace spanmalloc {

class BackgroundThread {
 public:
  // What `run` may use of the stack, about.
  static constexpr size_t kStackSize = 64 << 10;
  static constexpr size_t kMaxName = 15;

  constexpr BackgroundThread() = default;
  BackgroundThread(const BackgroundThread&) = delete;
  BackgroundThread& operator=(const BackgroundThread&) = delete;

  // Makes a detached thread that calls run(argument) and ends with it. This
  // object must be there until `run` is called. Tools see the first kMaxName
  // characters of `name`, a string constant.
  bool Start(void (*run)(void*), void* argument, const char* name);

 private:
  static void* Main(void* self);

  void (*run_)(void*) = nullptr;
  void* argument_ = nullptr;
  const char* name_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_BACKGROUND_THREAD_H_
