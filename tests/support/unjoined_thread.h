// A piece of a thread's life in which spanmalloc does not know it yet.
//
// Purpose:  Tests that make a heap of their own give the calling thread a cache
//           in it, and afterwards let the thread forget it.
//
// The heap must not be used after the scope by this thread, and its cache must
// not be waited for: a thread that ends outside of the scope leaves no heap.
#ifndef SPANMALLOC_TESTS_SUPPORT_UNJOINED_THREAD_H_
#define SPANMALLOC_TESTS_SUPPORT_UNJOINED_THREAD_H_

#include "allocator/thread/thread_registry.h"

namespace spanmalloc {

class UnjoinedThread {
 public:
  // REQUIRES: the thread has no cache.
  UnjoinedThread() : cache_(current_thread.cache) {
    current_thread_state = ThreadState::kNone;
  }
  ~UnjoinedThread() {
    current_thread.cache = cache_;
    current_thread_state = ThreadState::kNone;
  }
  UnjoinedThread(const UnjoinedThread&) = delete;
  UnjoinedThread& operator=(const UnjoinedThread&) = delete;

  // As if the thread had come to its end.
  void Exit() {
    current_thread.cache = cache_;
    current_thread_state = ThreadState::kExited;
  }

 private:
  ThreadCache* const cache_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_UNJOINED_THREAD_H_
