#include "allocator/os/clock.h"

#include <time.h>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {
namespace {

uint64_t Nanoseconds(clockid_t clock) {
  ErrnoSaver errno_saver;
  timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 +
         static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t MonotonicNanoseconds() { return Nanoseconds(CLOCK_MONOTONIC); }

uint64_t WallClockNanoseconds() { return Nanoseconds(CLOCK_REALTIME); }

uint64_t ThreadCpuNanoseconds() { return Nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace spanmalloc
