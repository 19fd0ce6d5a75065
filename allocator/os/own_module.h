// Where the code of this library lies.
//
// Place:    os/.
// Purpose:  Stacks shall begin with the program's call of malloc, not with what
//           malloc did then.
//
// Failure:  in a program that is linked with the static library there is no
//           telling its code from ours: then the range is empty.
#ifndef SPANMALLOC_ALLOCATOR_OS_OWN_MODULE_H_
#define SPANMALLOC_ALLOCATOR_OS_OWN_MODULE_H_

#include <cstdint>

namespace spanmalloc {

struct CodeRange {
  uintptr_t start = 0;
  uintptr_t end = 0;

  bool Contains(const void* p) const {
    return reinterpret_cast<uintptr_t>(p) - start < end - start;
  }
};

CodeRange OwnCode();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_OWN_MODULE_H_
