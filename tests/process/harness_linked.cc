// For programs linked with spanmalloc: were malloc another one's, the program
// would have two allocators, and a block of one would not be the other's.

#include <cstdlib>

#include "spanmalloc/spanmalloc.h"
#include "tests/process/harness.h"

namespace process {

bool OnSpanmalloc() {
  static const bool found = [] {
    void* const block = malloc(1);
    const bool owned = spanmalloc_owns(block) == 1;
    free(block);
    return owned;
  }();
  return found;
}

}  // namespace process
