// Reads memory of the process that may not be there.
//
// Place:    os/.
// Purpose:  Look at what another thread may unmap at any moment, or whose file
//           may have been cut short, without a fault.
// Not here: what is looked at.
//
// Concurrency: from any thread, and in a signal handler. Nothing is allocated.
// Cost:        a system call for each Read, and two to open and close.
// Failure:     false, also for everything where the system does not let us open
//              the file: that of a set-user-ID program. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_OWN_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_OS_OWN_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

class OwnMemory {
 public:
  OwnMemory();
  ~OwnMemory();
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;

  // All of [address, address + n), or false.
  bool Read(uint64_t address, void* out, size_t n) const;

 private:
  int fd_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_OWN_MEMORY_H_
