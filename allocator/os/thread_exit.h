// A call when a thread ends.
//
// Place:    os/.
// Purpose:  Hand a thread's cache back. Built on one pthread key, whose
//           destructors run after those of C++ thread_local objects and never
//           run for the thread that ends the process.
// Concurrency: Create once, under a lock of the caller's; Arm by any thread
//           for itself.
// Failure:  Create is false when the process has no keys left.
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_EXIT_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_EXIT_H_

#include <pthread.h>

namespace spanmalloc {

class ThreadExit {
 public:
  constexpr ThreadExit() = default;

  bool Create(void (*function)(void*)) {
    return pthread_key_create(&key_, function) == 0;
  }
  // `function` gets `argument`, which is not null, when the calling thread
  // ends. May allocate where many keys came before ours, so the caller must be
  // ready to serve it.
  bool Arm(void* argument) { return pthread_setspecific(key_, argument) == 0; }

 private:
  pthread_key_t key_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_EXIT_H_
