// Start, fork and the ends of threads, for the_allocator under its prefixed
// names. (Whole programs in unusual circumstances: tests/process.)
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "allocator/api/allocator.h"
#include "tests/support/fake_system.h"
#include "tests/support/unjoined_thread.h"

namespace spanmalloc {
namespace {

// Runs `body` in a child and returns whether that ended well.
bool ForkAndRun(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Uses every class and some large sizes.
bool UseAllSizes() {
  std::vector<void*> blocks;
  for (size_t size = 1; size < (4 << 20); size += size / 8 + 1) {
    void* const p = spanmalloc_malloc(size);
    if (p == nullptr) return false;
    memset(p, 1, size);
    blocks.push_back(p);
  }
  for (void* p : blocks) spanmalloc_free(p);
  return true;
}

// ThreadSanitizer ends a child of fork that starts a thread.
[[maybe_unused]] const bool kWithoutScavengerThread = [] {
  if (!kThreadSanitizer) return false;
  ScavengerSettings settings;
  settings.mode = ScavengerMode::kInline;
  the_allocator.scavenger().Configure(settings);
  return true;
}();

TEST(Process, TheChildOfAForkAllocates) {
  void* const p = spanmalloc_malloc(100);
  memset(p, 7, 100);
  EXPECT_TRUE(ForkAndRun([p] {
    if (static_cast<char*>(p)[99] != 7) return false;
    spanmalloc_free(p);
    const bool ok = UseAllSizes();
    the_allocator.CheckInvariants();
    return ok;
  }));
  EXPECT_EQ(static_cast<char*>(p)[99], 7);
  spanmalloc_free(p);
}

TEST(Process, OnlyTheForkingThreadGoesOn) {
  UseAllSizes();
  std::atomic<bool> joined{false}, stop{false};
  std::thread other([&] {
    UseAllSizes();
    joined = true;
    while (!stop) std::this_thread::yield();
  });
  while (!joined) std::this_thread::yield();
  const MemStats before = the_allocator.ReadStats();
  EXPECT_EQ(before.threads, 2u);
  EXPECT_TRUE(ForkAndRun([&before] {
    const MemStats stats = the_allocator.ReadStats();
    return stats.threads == 1 && stats.mallocs == before.mallocs &&
           stats.frees == before.frees && UseAllSizes();
  }));
  EXPECT_EQ(the_allocator.ReadStats().threads, 2u);
  stop = true;
  other.join();
  EXPECT_EQ(the_allocator.ReadStats().threads, 1u);
}

// The locks that other threads hold are free in the child.
TEST(Process, ForkWhileOthersAllocate) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&stop] {
      while (!stop) UseAllSizes();
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(ForkAndRun([] {
      const bool ok = UseAllSizes();
      the_allocator.CheckInvariants();
      return ok;
    })) << i;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  the_allocator.CheckInvariants();
}

// The caches of a child's one thread are not closed to it, and those of the
// parent's other threads are nobody's.
TEST(Process, ForkWhileCachesAreDrained) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  threads.emplace_back([&stop] {
    while (!stop) the_allocator.scavenger().Trim(SIZE_MAX);
  });
  threads.emplace_back([&stop] {
    while (!stop) UseAllSizes();
  });
  for (int i = 0; i < 20; ++i) {
    UseAllSizes();
    EXPECT_TRUE(ForkAndRun([] {
      the_allocator.scavenger().Trim(SIZE_MAX);
      const bool ok = UseAllSizes();
      the_allocator.scavenger().Trim(SIZE_MAX);
      the_allocator.CheckInvariants();
      return ok && UseAllSizes();
    })) << i;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  the_allocator.CheckInvariants();
}

// A child can fork too, and so can its child.
TEST(Process, ForkInTheChild) {
  EXPECT_TRUE(ForkAndRun([] {
    return UseAllSizes() && ForkAndRun([] { return UseAllSizes(); });
  }));
}

TEST(Process, EndedThreadsLeaveNothingBehind) {
  UseAllSizes();
  const auto run = [] {
    for (int t = 0; t < 20; ++t) std::thread([] { UseAllSizes(); }).join();
    return the_allocator.ReadStats();
  };
  const MemStats first = run();
  const MemStats second = run();
  EXPECT_EQ(second.heap_alloc, first.heap_alloc);
  EXPECT_EQ(second.threads, first.threads);
  EXPECT_EQ(second.sys, first.sys);
  EXPECT_EQ(second.mallocs - first.mallocs, second.frees - first.frees);
}

// Destructors of the thread's own variables that run after its cache is gone.
TEST(Process, DestructorsAfterTheCache) {
  static pthread_key_t key;
  static int rounds;
  static bool served;
  rounds = 0;
  served = true;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* p) {
                                 spanmalloc_free(p);
                                 void* const q = spanmalloc_malloc(100);
                                 served = served && q != nullptr;
                                 if (++rounds < 3) {
                                   pthread_setspecific(key, q);
                                 } else {
                                   spanmalloc_free(q);
                                 }
                               }),
            0);
  const MemStats before = the_allocator.ReadStats();
  std::thread([] { pthread_setspecific(key, spanmalloc_malloc(100)); }).join();
  pthread_key_delete(key);
  const MemStats after = the_allocator.ReadStats();
  EXPECT_TRUE(served);
  EXPECT_EQ(rounds, 3);
  EXPECT_EQ(after.heap_alloc, before.heap_alloc);
  EXPECT_EQ(after.mallocs - before.mallocs, 4u);
  EXPECT_EQ(after.frees - before.frees, 4u);
}

// ---- Options, read by the first call or at the start

class StartTest : public testing::Test {
 protected:
  void SetUp() override { unsetenv("SPANMALLOC_OPTIONS"); }
  void TearDown() override { unsetenv("SPANMALLOC_OPTIONS"); }

  void* Malloc(size_t size) {
    void* p = nullptr;
    // Before, the thread has the cache of another heap.
    if (current_thread_state == ThreadState::kActive) {
      p = Allocator::Allocate(size);
    }
    return p != nullptr ? p : allocator_->AllocateSlow(size);
  }

  FakeSystem system_;
  UnjoinedThread self_;
  const std::unique_ptr<Allocator> allocator_ =
      std::make_unique<Allocator>(&FakeSystem::memory());
};

TEST_F(StartTest, TheFirstCallReadsTheOptions) {
  setenv("SPANMALLOC_OPTIONS", "window_bytes=1G", 1);
  ASSERT_NE(Malloc(1), nullptr);
  EXPECT_LT(allocator_->ReadStats().metadata_sys, 8u << 20);
}

TEST_F(StartTest, WithoutOptionsTheWindowIsATebibyte) {
  ASSERT_NE(Malloc(1), nullptr);
  EXPECT_GT(allocator_->ReadStats().metadata_sys, 16u << 20);
}

TEST_F(StartTest, OptionsAreReadOnce) {
  testing::internal::CaptureStderr();
  setenv("SPANMALLOC_OPTIONS", "no_such_option", 1);
  for (size_t size = 1; size < (1 << 20); size *= 2) {
    ASSERT_NE(Malloc(size), nullptr);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "spanmalloc: unknown option \"no_such_option\" "
            "(SPANMALLOC_OPTIONS=help lists them)\n");
}

// In a child: every start registers its handlers of fork once more.
TEST_F(StartTest, HelpListsTheOptions) {
  setenv("SPANMALLOC_OPTIONS", "thread_cache_bytes=2M,help", 1);
  const auto start = [this] {
    errno = 99;
    allocator_->OnStart();
    _exit(errno == 99 ? 0 : 1);
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(0),
              "^spanmalloc: thread_cache_bytes=2097152 \\(1048576 to "
              "1099511627776\\): Bytes of .*\n"
              "spanmalloc: huge_page_threshold=.*\n"
              "spanmalloc: window_bytes=0 .*\n"
              "spanmalloc: help=1 \\(0 to 1\\): ");
}

}  // namespace
}  // namespace spanmalloc
