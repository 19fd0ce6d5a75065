// The functions of spanmalloc's own by which a program gives memory back to the
// system, and says how much it may have.
//
// Place:    what programs call.
// Not here: malloc_trim, which the C library has too (malloc.cc).
#include <errno.h>

#include "allocator/api/allocator.h"
#include "spanmalloc/spanmalloc.h"

#pragma GCC visibility push(default)

using spanmalloc::the_allocator;

size_t spanmalloc_release_memory(size_t bytes) {
  const int saved_errno = errno;
  const size_t released = the_allocator.scavenger().Release(bytes);
  errno = saved_errno;
  return released;
}

size_t spanmalloc_set_memory_limit(size_t bytes) {
  const int saved_errno = errno;
  const size_t before = the_allocator.scavenger().SetLimit(bytes);
  errno = saved_errno;
  return before;
}

void spanmalloc_thread_idle() {
  const int saved_errno = errno;
  the_allocator.FlushThreadCache();
  errno = saved_errno;
}

#pragma GCC visibility pop
