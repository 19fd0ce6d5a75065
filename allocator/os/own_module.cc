#include "allocator/os/own_module.h"

#include <elf.h>
#include <sys/auxv.h>

// The linker's names for the bounds of what it makes.
extern "C" {
extern const char __ehdr_start __attribute__((visibility("hidden")));
extern const char etext __attribute__((visibility("hidden")));
}

namespace spanmalloc {

CodeRange OwnCode() {
  const CodeRange range = {reinterpret_cast<uintptr_t>(&__ehdr_start),
                           reinterpret_cast<uintptr_t>(&etext)};
  // The program's headers are in the program.
  const void* const headers = reinterpret_cast<void*>(getauxval(AT_PHDR));
  return range.Contains(headers) ? CodeRange() : range;
}

}  // namespace spanmalloc
