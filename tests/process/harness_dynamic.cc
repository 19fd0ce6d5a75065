// For programs that run on the system's allocator, or on what LD_PRELOAD puts
// in front of it: they ask the dynamic linker which one it is.

#include <dlfcn.h>

#include "tests/process/harness.h"

namespace process {

bool OnSpanmalloc() {
  static const bool found = dlsym(RTLD_DEFAULT, "spanmalloc_malloc") != nullptr;
  return found;
}

}  // namespace process
