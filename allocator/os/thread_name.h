// The name of the calling thread.
//
// Place:    os/.
// Concurrency: call from any thread, and in a signal handler.
// Cost:     one system call.
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_NAME_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_NAME_H_

#include <sys/prctl.h>

namespace spanmalloc {

struct ThreadName {
  char text[16] = {};  // Ends with a zero.
};

inline ThreadName CurrentThreadName() {
  ThreadName name;
  if (prctl(PR_GET_NAME, name.text) != 0) name.text[0] = '\0';
  name.text[sizeof(name.text) - 1] = '\0';
  return name;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_NAME_H_
