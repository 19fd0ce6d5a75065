#include "allocator/os/readable_memory.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace spanmalloc {
namespace {

// None of SIG_BLOCK, SIG_UNBLOCK and SIG_SETMASK of any architecture.
constexpr long kNoSuchHow = -1;
// What the kernel calls a set of signals.
constexpr long kSignalSetSize = 8;

}  // namespace

bool PageIsReadable(uintptr_t address) {
  const uintptr_t page = AlignDown(address, kMinSystemPageSize);
  // A null set is not fetched.
  if (page == 0) return false;
  return syscall(SYS_rt_sigprocmask, kNoSuchHow, page, nullptr,
                 kSignalSetSize) == -1 &&
         errno == EINVAL;
}

bool ReadableMemory::AddPage(uintptr_t address) {
  if (!PageIsReadable(address)) return false;
  const uintptr_t page = AlignDown(address, kMinSystemPageSize);
  if (page == start_ + size_) {
    size_ += kMinSystemPageSize;
  } else {
    start_ = page;
    size_ = kMinSystemPageSize;
  }
  return true;
}

// Without memcpy, which sanitizers look into.
__attribute__((no_sanitize("address", "thread"))) bool ReadableMemory::Read(
    uintptr_t address, void* to, size_t size) {
  char* const bytes = static_cast<char*>(to);
  size_t i = 0;
  while (i < size) {
    const uintptr_t from = address + i;
    uintptr_t word;
    if (from % sizeof(word) == 0 && size - i >= sizeof(word)) {
      if (!ReadWord(from, &word)) return false;
      __builtin_memcpy(bytes + i, &word, sizeof(word));
      i += sizeof(word);
    } else {
      if (from - start_ >= size_ && !AddPage(from)) return false;
      bytes[i++] = *reinterpret_cast<const volatile char*>(from);
    }
  }
  return true;
}

}  // namespace spanmalloc
