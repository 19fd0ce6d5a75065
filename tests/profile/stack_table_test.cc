// Stacks: equal ones are one, limits, failure, threads, readers.

#include "allocator/profile/stack_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

using Frames = std::vector<const void*>;

const void* Address(uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}

Frames RandomFrames(std::mt19937_64* random, size_t depth) {
  Frames frames(depth);
  for (const void*& frame : frames) frame = Address((*random)());
  return frames;
}

Frames FramesOf(const Stack* stack) {
  return Frames(stack->frames(), stack->frames() + stack->depth);
}

class StackTableTest : public testing::Test {
 protected:
  const Stack* Intern(const Frames& frames) {
    return table_.Intern(frames.data(), frames.size());
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  StackTable table_{&arena_};
};

TEST_F(StackTableTest, TakesNoMemoryBeforeItIsUsed) {
  EXPECT_EQ(table_.used_bytes(), 0u);
  EXPECT_EQ(system_.calls(), 0u);
}

TEST_F(StackTableTest, EqualStacksAreOne) {
  std::mt19937_64 random(1);
  std::map<Frames, const Stack*> known;
  for (int i = 0; i < 5000; ++i) {
    // Few frames out of few, so that many are equal.
    Frames frames(random() % 5 + 1);
    for (const void*& frame : frames) frame = Address(random() % 4);
    const Stack* const stack = Intern(frames);
    ASSERT_EQ(FramesOf(stack), frames);
    const auto [it, is_new] = known.emplace(frames, stack);
    ASSERT_EQ(it->second, stack);
  }
  EXPECT_EQ(table_.stacks(), known.size());
  EXPECT_EQ(table_.lost(), 0u);
  table_.CheckInvariants();
}

TEST_F(StackTableTest, EveryDepth) {
  std::mt19937_64 random(2);
  const Frames frames = RandomFrames(&random, 100);
  for (size_t depth = 1; depth <= 100; ++depth) {
    const Stack* const stack = table_.Intern(frames.data(), depth);
    EXPECT_EQ(stack->depth, std::min(depth, StackTable::kMaxDepth));
    EXPECT_EQ(FramesOf(stack),
              Frames(frames.begin(), frames.begin() + stack->depth));
  }
  // All that are too deep are cut to the same one.
  EXPECT_EQ(table_.stacks(), StackTable::kMaxDepth);
  table_.CheckInvariants();
}

TEST_F(StackTableTest, NoFramesAreTheUnknownStack) {
  EXPECT_EQ(table_.Intern(nullptr, 0), table_.unknown());
  EXPECT_EQ(table_.unknown()->depth, 0u);
  EXPECT_NE(table_.unknown(), table_.no_room());
  EXPECT_EQ(system_.calls(), 0u);
}

TEST_F(StackTableTest, ManyStacksInEachChain) {
  std::mt19937_64 random(3);
  std::vector<std::pair<Frames, const Stack*>> stacks;
  for (size_t i = 0; i < 3 * StackTable::kChains; ++i) {
    Frames frames = RandomFrames(&random, random() % 4 + 1);
    const Stack* const stack = Intern(frames);
    stacks.emplace_back(std::move(frames), stack);
  }
  for (const auto& [frames, stack] : stacks) ASSERT_EQ(Intern(frames), stack);
  EXPECT_EQ(table_.stacks(), stacks.size());
  table_.CheckInvariants();
}

TEST_F(StackTableTest, KeepsToTheLimit) {
  table_.set_limit(1000);
  std::mt19937_64 random(4);
  std::vector<Frames> kept;
  for (int i = 0; i < 100; ++i) {
    const Frames frames = RandomFrames(&random, 5);  // A record of 64 bytes.
    const Stack* const stack = Intern(frames);
    if (stack != table_.no_room()) kept.push_back(frames);
  }
  EXPECT_EQ(kept.size(), 15u);
  EXPECT_EQ(table_.used_bytes(), 15u * 64);
  EXPECT_EQ(table_.lost(), 85u);
  EXPECT_EQ(table_.no_room()->depth, 0u);
  // What is there is still found, and a higher limit makes room.
  for (const Frames& frames : kept) EXPECT_EQ(FramesOf(Intern(frames)), frames);
  EXPECT_EQ(table_.lost(), 85u);
  table_.set_limit(1024);
  EXPECT_NE(Intern(RandomFrames(&random, 5)), table_.no_room());
  EXPECT_EQ(Intern(RandomFrames(&random, 1)), table_.no_room());
  table_.set_limit(0);
  EXPECT_EQ(Intern(RandomFrames(&random, 1)), table_.no_room());
  EXPECT_EQ(FramesOf(Intern(kept[0])), kept[0]);
  table_.CheckInvariants();
}

TEST_F(StackTableTest, CountsAsMemoryOfTheProfile) {
  std::mt19937_64 random(5);
  Intern(RandomFrames(&random, 64));
  EXPECT_EQ(table_.used_bytes(), 576u);
  EXPECT_EQ(arena_.used_bytes(RecordKind::kProfile),
            576u + StackTable::kChains * sizeof(void*));
}

TEST_F(StackTableTest, WithoutMemory) {
  std::mt19937_64 random(6);
  system_.FailFrom(1);
  EXPECT_EQ(Intern(RandomFrames(&random, 3)), table_.no_room());
  EXPECT_EQ(table_.lost(), 1u);
  table_.CheckInvariants();
  for (int failure = 1; failure <= 4; ++failure) {
    system_.FailCall(failure);
    for (int i = 0; i < 1000; ++i) {
      const Frames frames = RandomFrames(&random, 64);
      const Stack* const stack = Intern(frames);
      if (stack != table_.no_room()) {
        ASSERT_EQ(FramesOf(stack), frames);
      }
    }
    table_.CheckInvariants();
  }
  EXPECT_GT(system_.failures(), 1u);
}

// All threads add the same stacks at the same time, while one reads chains.
TEST_F(StackTableTest, Threads) {
  constexpr size_t kThreads = 4, kStacks = 2000;
  std::mt19937_64 random(7);
  std::vector<Frames> frames;
  for (size_t i = 0; i < kStacks; ++i) {
    frames.push_back(RandomFrames(&random, random() % 64 + 1));
  }
  std::vector<std::vector<const Stack*>> found(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (const Frames& f : frames) found[t].push_back(Intern(f));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kStacks; ++i) {
    EXPECT_EQ(FramesOf(found[0][i]), frames[i]);
    for (size_t t = 1; t < kThreads; ++t) EXPECT_EQ(found[t][i], found[0][i]);
  }
  EXPECT_EQ(table_.stacks(), kStacks);
  table_.CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
