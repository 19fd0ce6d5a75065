// Keeps errno over a scope.
//
// Place:    os/.
// Purpose:  The program calls malloc and free between a failed call of its own
//           and the look at errno: nothing that we ask of the system may show.
#ifndef SPANMALLOC_ALLOCATOR_OS_ERRNO_SAVER_H_
#define SPANMALLOC_ALLOCATOR_OS_ERRNO_SAVER_H_

#include <errno.h>

namespace spanmalloc {

class ErrnoSaver {
 public:
  ErrnoSaver() : saved_(errno) {}
  ~ErrnoSaver() { errno = saved_; }
  ErrnoSaver(const ErrnoSaver&) = delete;
  ErrnoSaver& operator=(const ErrnoSaver&) = delete;

 private:
  const int saved_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_ERRNO_SAVER_H_
