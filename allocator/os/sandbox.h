// Whether the program has put itself under a seccomp filter.
//
// Place:    os/.
// Purpose:  A filter may end the program for a system call that its author did
//           not think of. Before the allocator makes a call that a program
//           which allocates need not make (a new thread, membarrier), it looks
//           whether the calls allowed at the start are still the calls allowed
//           now. The filters that were there at the start, those of a
//           container, are not meant.
// Not here: what is then left undone.
//
// Filters belong to threads: a new one inherits those of its maker, and a
// program may put all its threads under one at once (SECCOMP_FILTER_FLAG_TSYNC)
// or one thread alone. All here is about the calling thread.
//
// The question is itself a system call, prctl(PR_GET_SECCOMP), and a filter may
// kill for that one too: then the program ends with SIGSYS as it would for the
// call that was to be averted. Strict mode (SECCOMP_SET_MODE_STRICT) kills the
// thread for every call but read, write and exit, so nobody ever sees it; such
// a thread cannot get memory from the system either. So ask only when a call of
// that kind is really due, not in every malloc.
//
// Concurrency: Start before the others; Changed from any thread.
// Cost:        one system call where there is no filter. With one there at the
//              start, also the reading of /proc/self/status.
// Failure:     what cannot be found out counts as changed. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_SANDBOX_H_
#define SPANMALLOC_ALLOCATOR_OS_SANDBOX_H_

#include <cstdint>

namespace spanmalloc {

// 0: none, or a kernel without seccomp. 2: filters. -1: not known. 1, strict
// mode, does not return.
int SeccompMode();

// The "Seccomp_filters:" of /proc/<pid>/status, which Linux has since 5.9. A
// zero ends `text`. UINT64_MAX if it isn't there.
uint64_t ParseSeccompFilters(const char* text);

class SandboxWatch {
 public:
  constexpr SandboxWatch() = default;

  // Remembers what there is.
  void Start();

  // Whether it is different now. True before Start.
  bool Changed() const;

 private:
  int mode_ = -1;
  uint64_t filters_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_SANDBOX_H_
