// Calls when threads end.

#include "allocator/os/thread_exit.h"

#include <gtest/gtest.h>
#include <limits.h>

#include <thread>
#include <vector>

namespace spanmalloc {
namespace {

// What happened, in order. Threads of these tests run one after the other.
std::vector<int>* events = nullptr;

class ThreadExitTest : public testing::Test {
 protected:
  ThreadExitTest() { events = &log_; }
  ~ThreadExitTest() override { events = nullptr; }

  std::vector<int> log_;
};

void Note(void* argument) { events->push_back(*static_cast<int*>(argument)); }

TEST_F(ThreadExitTest, CallsWithTheArgument) {
  ThreadExit thread_exit;
  ASSERT_TRUE(thread_exit.Create(Note));
  int one = 1, two = 2;
  std::thread([&] { EXPECT_TRUE(thread_exit.Arm(&one)); }).join();
  EXPECT_EQ(log_, std::vector<int>{1});
  std::thread([&] { EXPECT_TRUE(thread_exit.Arm(&two)); }).join();
  EXPECT_EQ(log_, (std::vector<int>{1, 2}));
}

TEST_F(ThreadExitTest, NotWithoutArm) {
  ThreadExit thread_exit;
  ASSERT_TRUE(thread_exit.Create(Note));
  std::thread([] {}).join();
  EXPECT_TRUE(log_.empty());
}

TEST_F(ThreadExitTest, TheLastArmCounts) {
  ThreadExit thread_exit;
  ASSERT_TRUE(thread_exit.Create(Note));
  int one = 1, two = 2;
  std::thread([&] {
    thread_exit.Arm(&one);
    thread_exit.Arm(&two);
  }).join();
  EXPECT_EQ(log_, std::vector<int>{2});
}

struct NoteAtDestruction {
  ~NoteAtDestruction() { events->push_back(value); }
  int value = 0;
};

TEST_F(ThreadExitTest, RunsAfterThreadLocalObjects) {
  ThreadExit thread_exit;
  ASSERT_TRUE(thread_exit.Create(Note));
  int one = 1;
  std::thread([&] {
    thread_exit.Arm(&one);
    thread_local NoteAtDestruction object;
    object.value = 2;
  }).join();
  EXPECT_EQ(log_, (std::vector<int>{2, 1}));
}

ThreadExit* rearmed = nullptr;

// A thread whose cache was handed back may need another one in a later
// destructor, which then has to be handed back, too.
void NoteAndArmAgain(void* argument) {
  Note(argument);
  static int second = 7;
  if (argument != &second) rearmed->Arm(&second);
}

TEST_F(ThreadExitTest, MayBeArmedAgainFromTheCall) {
  ThreadExit thread_exit;
  rearmed = &thread_exit;
  ASSERT_TRUE(thread_exit.Create(NoteAndArmAgain));
  int one = 1;
  std::thread([&] { thread_exit.Arm(&one); }).join();
  EXPECT_EQ(log_, (std::vector<int>{1, 7}));
}

TEST_F(ThreadExitTest, CreateFailsWithoutKeys) {
  std::vector<pthread_key_t> keys;
  pthread_key_t key;
  while (keys.size() <= PTHREAD_KEYS_MAX &&
         pthread_key_create(&key, nullptr) == 0) {
    keys.push_back(key);
  }
  ThreadExit thread_exit;
  EXPECT_FALSE(thread_exit.Create(Note));
  for (pthread_key_t used : keys) pthread_key_delete(used);
  EXPECT_TRUE(thread_exit.Create(Note));
}

}  // namespace
}  // namespace spanmalloc
