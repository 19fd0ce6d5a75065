// Sleeping and waking.

#include "allocator/os/parking_spot.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "allocator/base/annotations.h"
#include "allocator/os/clock.h"
#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kForEver = ParkingSpot::kForEver;

SPANMALLOC_CONSTINIT ParkingSpot constant_initialised;

// A thread in one Wait.
class Sleeper {
 public:
  Sleeper(ParkingSpot* spot, uint64_t timeout)
      : thread_([this, spot, timeout] {
          id_ = static_cast<pid_t>(syscall(SYS_gettid));
          errno = EXDEV;
          woken_ = spot->Wait(timeout);
          errno_kept_ = errno == EXDEV;
        }) {
    while (id_ == 0) sched_yield();
  }
  // Waits until the thread has gone to sleep. Where the system can tell, it is
  // in the system call "futex", whose arguments are then returned.
  std::string AwaitSleep() const {
    const std::string folder = "/proc/self/task/" + std::to_string(id_);
    for (;;) {
      std::ifstream file(folder + "/syscall");
      std::string line;
      if (!std::getline(file, line)) return "";
      const std::string call = std::to_string(SYS_futex) + " ";
      if (line.compare(0, call.size(), call) == 0) {
        return line.substr(call.size());
      }
      sched_yield();
    }
  }
  void Interrupt(int signal) { pthread_kill(thread_.native_handle(), signal); }
  bool Join() {
    thread_.join();
    EXPECT_TRUE(errno_kept_);
    return woken_;
  }

 private:
  std::atomic<pid_t> id_{0};
  bool woken_ = false;
  bool errno_kept_ = false;
  std::thread thread_;
};

TEST(ParkingSpotTest, AWakeBeforeIsNotLost) {
  errno = EXDEV;
  constant_initialised.Wake();
  EXPECT_TRUE(constant_initialised.Wait(kForEver));
  EXPECT_FALSE(constant_initialised.Wait(0));
  EXPECT_EQ(errno, EXDEV);
}

TEST(ParkingSpotTest, SeveralWakesCountAsOne) {
  ParkingSpot spot;
  spot.Wake();
  spot.Wake();
  EXPECT_TRUE(spot.Wait(0));
  EXPECT_FALSE(spot.Wait(0));
}

TEST(ParkingSpotTest, WakesASleeper) {
  ParkingSpot spot;
  for (const uint64_t timeout : {kForEver, kForEver - 1, uint64_t{1} << 62}) {
    Sleeper sleeper(&spot, timeout);
    sleeper.AwaitSleep();
    spot.Wake();
    EXPECT_TRUE(sleeper.Join()) << timeout;
    EXPECT_FALSE(spot.Wait(0)) << timeout;
  }
}

TEST(ParkingSpotTest, SleepsAsLongAsItIsTold) {
  ParkingSpot spot;
  for (const uint64_t timeout : {0, 1, 1000000, 5000000}) {
    const uint64_t before = MonotonicNanoseconds();
    errno = EXDEV;
    EXPECT_FALSE(spot.Wait(timeout));
    EXPECT_EQ(errno, EXDEV);
    EXPECT_GE(MonotonicNanoseconds() - before, timeout);
  }
  spot.Wake();
  EXPECT_TRUE(spot.Wait(0)) << "the spot is as before after a timeout";
}

TEST(ParkingSpotTest, NoTimerForEver) {
  ParkingSpot spot;
  for (const uint64_t timeout : {kForEver, uint64_t{1} << 62}) {
    Sleeper sleeper(&spot, timeout);
    std::istringstream arguments(sleeper.AwaitSleep());
    spot.Wake();
    sleeper.Join();
    std::string word, operation, value, timer;
    if (!(arguments >> word >> operation >> value >> timer)) {
      GTEST_SKIP() << "this system does not show it";
    }
    EXPECT_EQ(timer == "0x0", timeout == kForEver) << timer;
  }
}

TEST(ParkingSpotTest, NoWakeIsLostBetweenTwoThreads) {
  constexpr int kRounds = 20000;
  struct {
    ParkingSpot spot;
    int value = 0;  // Handed over with the wake.
  } ping, pong;
  std::thread other([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (!ping.spot.Wait(kForEver)) ADD_FAILURE();
      EXPECT_EQ(ping.value, i);
      pong.value = i;
      pong.spot.Wake();
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    ping.value = i;
    ping.spot.Wake();
    while (!pong.spot.Wait(kForEver)) ADD_FAILURE();
    EXPECT_EQ(pong.value, i);
  }
  other.join();
}

// Many wakers and short timeouts: each of their stores is seen in the end.
TEST(ParkingSpotTest, NoWakeIsLostAmongTimeouts) {
  constexpr int kWakers = 3, kRounds = 5000;
  ParkingSpot spot;
  std::atomic<int> work{0};
  std::thread wakers[kWakers];
  for (std::thread& waker : wakers) {
    waker = std::thread([&] {
      for (int i = 0; i < kRounds; ++i) {
        work.fetch_add(1, std::memory_order_relaxed);
        spot.Wake();
      }
    });
  }
  int done = 0;
  for (uint64_t i = 0; done < kWakers * kRounds; ++i) {
    // Only one that was not lost ends the wait without a timeout.
    spot.Wait(i % 4 == 0 ? i % 64 * 100 : kForEver);
    done += work.exchange(0, std::memory_order_relaxed);
  }
  for (std::thread& waker : wakers) waker.join();
  EXPECT_EQ(done, kWakers * kRounds);
}

ParkingSpot* spot_of_handler = nullptr;
std::atomic<int> handled{0};

void Handler(int signal) {
  if (signal == SIGUSR1) spot_of_handler->Wake();
  handled.fetch_add(1);
}

TEST(ParkingSpotTest, ASignalHandlerWakes) {
  ParkingSpot spot;
  spot_of_handler = &spot;
  struct sigaction action = {};  // Without SA_RESTART.
  action.sa_handler = Handler;
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGUSR2, &action, nullptr);
  Sleeper sleeper(&spot, kForEver);
  sleeper.AwaitSleep();
  sleeper.Interrupt(SIGUSR2);
  while (handled != 1) sched_yield();
  sleeper.AwaitSleep();  // It has gone back to sleep.
  sleeper.Interrupt(SIGUSR1);
  EXPECT_TRUE(sleeper.Join());
  EXPECT_EQ(handled, 2);
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
}

TEST(ParkingSpotTest, ResetForgetsAWake) {
  ParkingSpot spot;
  spot.Wake();
  spot.Reset();
  EXPECT_FALSE(spot.Wait(0));
}

TEST(ParkingSpotTest, ResetForgetsTheParentsSleeper) {
  ParkingSpot spot;
  Sleeper sleeper(&spot, kForEver);
  sleeper.AwaitSleep();
  EXPECT_EQ(InChild([&] {
              spot.Reset();
              if (spot.Wait(0)) return 1;
              spot.Wake();
              return spot.Wait(kForEver) ? 0 : 2;
            }),
            0);
  spot.Wake();
  EXPECT_TRUE(sleeper.Join());
}

TEST(ParkingSpotTest, NoSystemCallWhenNobodySleeps) {
  const int status = InChild([] {
    ParkingSpot spot;
    spot.Wait(0);
    if (!Filter({SYS_futex}, SECCOMP_RET_KILL)) return kChildSkips;
    spot.Wake();
    spot.Wake();
    return spot.Wait(kForEver) ? 0 : 1;
  });
  if (status == kChildSkips) GTEST_SKIP() << "no seccomp filters";
  EXPECT_EQ(status, 0);
}

TEST(ParkingSpotTest, WhereSleepIsDeniedNobodyHangs) {
  const int status = InChild([] {
    ParkingSpot spot;
    if (!Deny({SYS_futex}, EPERM)) return kChildSkips;
    errno = EXDEV;
    if (spot.Wait(kForEver)) return 1;
    spot.Wake();
    if (!spot.Wait(kForEver)) return 2;
    return errno == EXDEV ? 0 : 3;
  });
  if (status == kChildSkips) GTEST_SKIP() << "no seccomp filters";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace spanmalloc
