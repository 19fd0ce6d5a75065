// The barrier's guarantee, and what happens without it.

#include "allocator/os/thread_barrier.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>

#include <atomic>
#include <thread>

#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

class ThreadBarrierTest : public testing::Test {
 protected:
  void SetUp() override {
    errno = EXDEV;
    const bool prepared = PrepareThreadBarrier();
    EXPECT_EQ(errno, EXDEV);
    if (!prepared) GTEST_SKIP() << "this system has no membarrier";
  }
};

TEST_F(ThreadBarrierTest, WorksOncePrepared) {
  EXPECT_TRUE(PrepareThreadBarrier());
  errno = EXDEV;
  EXPECT_TRUE(ThreadBarrier());
  EXPECT_EQ(errno, EXDEV);
}

TEST_F(ThreadBarrierTest, ChildrenArePrepared) {
  EXPECT_EQ(InChild([] { return ThreadBarrier() ? 0 : 1; }), 0);
}

// One thread stores to `often` and loads `seldom`, the other one stores to
// `seldom` and loads `often`, at the same time, in each round anew.
TEST_F(ThreadBarrierTest, OneOfTwoSeesTheOther) {
  constexpr int kRounds = 20000;
  alignas(64) static std::atomic<int> often, seldom, round, done;
  static int seen_often;
  round = 0;
  done = 0;
  std::thread thread([] {
    for (int i = 1; i <= kRounds; ++i) {
      for (int spins = 0; round.load(std::memory_order_acquire) != i;) {
        if (++spins % 1000 == 0) sched_yield();
      }
      often.store(i, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      seen_often = seldom.load(std::memory_order_relaxed);
      done.store(i, std::memory_order_release);
    }
  });
  int missed = 0, denied = 0;
  for (int i = 1; i <= kRounds; ++i) {
    round.store(i, std::memory_order_release);
    seldom.store(i, std::memory_order_relaxed);
    if (!ThreadBarrier()) ++denied;
    const int seen = often.load(std::memory_order_relaxed);
    for (int spins = 0; done.load(std::memory_order_acquire) != i;) {
      if (++spins % 1000 == 0) sched_yield();
    }
    if (seen != i && seen_often != i) ++missed;
  }
  thread.join();
  EXPECT_EQ(denied, 0);
  EXPECT_EQ(missed, 0);
}

TEST(ThreadBarrierDeniedTest, IsFalse) {
  for (const int error : {EPERM, ENOSYS, EACCES}) {
    const int status = InChild([error] {
      PrepareThreadBarrier();
      if (!Deny({SYS_membarrier}, error)) return kChildSkips;
      errno = EXDEV;
      if (ThreadBarrier()) return 1;
      if (PrepareThreadBarrier()) return 2;
      return errno == EXDEV ? 0 : 3;
    });
    if (status == kChildSkips) GTEST_SKIP() << "no seccomp filters";
    EXPECT_EQ(status, 0);
  }
}

}  // namespace
}  // namespace spanmalloc
