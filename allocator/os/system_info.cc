#include "allocator/os/system_info.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "allocator/base/annotations.h"

namespace spanmalloc {

size_t SystemPageSize() {
  const unsigned long size = getauxval(AT_PAGESZ);
  return size != 0 ? size : 65536;
}

size_t AddressSpaceLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0) return SIZE_MAX;
  return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : limit.rlim_cur;
}

HugePageMode TransparentHugePages() {
  const int saved_errno = errno;
  char text[64];
  ssize_t length = -1;
  const int fd =
      open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    length = read(fd, text, sizeof(text) - 1);
    close(fd);
  }
  errno = saved_errno;
  if (length <= 0) return HugePageMode::kNever;
  text[length] = '\0';
  if (strstr(text, "[always]") != nullptr) return HugePageMode::kAlways;
  if (strstr(text, "[madvise]") != nullptr) return HugePageMode::kMadvise;
  return HugePageMode::kNever;
}

uint64_t RandomBits() {
  const int saved_errno = errno;
  uint64_t bits = 0;
  // Early in the boot of a system there may be none: then the layout is fixed.
  if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) < 0) bits = 0;
  errno = saved_errno;
  return bits;
}

uintptr_t PreferredHeapAddress() {
#if defined(SPANMALLOC_TSAN)
  // ThreadSanitizer accepts only the addresses that it knows.
  return 0;
#else
  constexpr uintptr_t kLowest = uintptr_t{1} << 45;  // 32 TiB
  constexpr int kRandomBits = 14, kStepShift = 31;   // up to 64 TiB
  return kLowest + ((RandomBits() >> (64 - kRandomBits)) << kStepShift);
#endif
}

}  // namespace spanmalloc
