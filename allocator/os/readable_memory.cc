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

bool ReadableMemory::Read(uintptr_t address, void* to, size_t size) {
  char* bytes = static_cast<char*>(to);
  while (size != 0) {
    if (address - start_ >= size_ && !AddPage(address)) return false;
    const size_t in_page = kMinSystemPageSize - address % kMinSystemPageSize;
    const size_t count = size < in_page ? size : in_page;
    __builtin_memcpy(bytes, reinterpret_cast<const void*>(address), count);
    bytes += count;
    address += count;
    size -= count;
  }
  return true;
}

}  // namespace spanmalloc
