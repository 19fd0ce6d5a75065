// A gate that is closed for a moment.
#include "allocator/os/gate.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace spanmalloc {
namespace {

TEST(Gate, IsOpenAtFirst) {
  Gate gate;
  EXPECT_TRUE(gate.IsOpen());
  gate.Wait();
  gate.Close();
  EXPECT_FALSE(gate.IsOpen());
  gate.Open();
  EXPECT_TRUE(gate.IsOpen());
}

// Waiters that spin and waiters that sleep all come through, and see what was
// done.
TEST(Gate, LetsAllThroughThatWait) {
  for (int round = 0; round < 50; ++round) {
    Gate gate;
    int value = 0;
    std::atomic<int> waiting{0};
    gate.Close();
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        ++waiting;
        errno = 99;
        while (!gate.IsOpen()) gate.Wait();
        EXPECT_EQ(errno, 99);
        EXPECT_EQ(value, 1);
      });
    }
    while (waiting != 3) std::this_thread::yield();
    // Long enough for some to sleep.
    for (int i = 0; i < round; ++i) std::this_thread::yield();
    value = 1;
    gate.Open();
    for (std::thread& thread : threads) thread.join();
  }
}

// A waiter may miss that it was open and wait for the next time.
TEST(Gate, ClosesAgain) {
  Gate gate;
  std::atomic<bool> through{false};
  gate.Close();
  std::thread waiter([&] {
    while (!gate.IsOpen()) gate.Wait();
    through = true;
  });
  for (int i = 0; i < 1000 && !through; ++i) {
    gate.Open();
    gate.Close();
  }
  gate.Open();
  waiter.join();
  EXPECT_TRUE(gate.IsOpen());
}

}  // namespace
}  // namespace spanmalloc
