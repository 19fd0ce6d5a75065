#include "allocator/os/system_info.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "allocator/base/annotations.h"
#include "allocator/os/small_file.h"

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
  char text[64];
  if (!ReadSmallFile("/sys/kernel/mm/transparent_hugepage/enabled", text,
                     sizeof(text))) {
    return HugePageMode::kNever;
  }
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
