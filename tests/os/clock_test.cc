// The two clocks, against the system's own reading of them.

#include "allocator/os/clock.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <time.h>

#include <thread>

namespace spanmalloc {
namespace {

uint64_t Read(clockid_t clock) {
  timespec now;
  EXPECT_EQ(clock_gettime(clock, &now), 0);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 +
         static_cast<uint64_t>(now.tv_nsec);
}

void ExpectBetween(clockid_t clock, uint64_t (*read)()) {
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = Read(clock);
    errno = EXDEV;
    const uint64_t now = read();
    EXPECT_EQ(errno, EXDEV);
    EXPECT_LE(before, now);
    EXPECT_LE(now, Read(clock));
  }
}

TEST(ClockTest, Monotonic) {
  ExpectBetween(CLOCK_MONOTONIC, MonotonicNanoseconds);
}

TEST(ClockTest, ThreadCpuIsTheCallersAlone) {
  ExpectBetween(CLOCK_THREAD_CPUTIME_ID, ThreadCpuNanoseconds);
  // With what this thread has spent, the other's clock would be too late.
  std::thread([] {
    ExpectBetween(CLOCK_THREAD_CPUTIME_ID, ThreadCpuNanoseconds);
  }).join();
}

}  // namespace
}  // namespace spanmalloc
