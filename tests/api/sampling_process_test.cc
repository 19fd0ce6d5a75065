// A process that samples all it allocates, in circumstances that are hard on
// it: fork, signals, small stacks and deep ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <pthread.h>
#include <spanmalloc/spanmalloc.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "allocator/api/allocator.h"
#include "allocator/base/unlocked.h"

namespace spanmalloc {
namespace {

bool UseManySizes() {
  std::vector<char*> blocks;
  for (size_t size = 1; size < (200 << 10); size += size / 6 + 1) {
    blocks.push_back(static_cast<char*>(spanmalloc_malloc(size)));
    if (blocks.back() == nullptr) return false;
    blocks.back()[size - 1] = 1;
  }
  for (char*& block : blocks) {
    block = static_cast<char*>(spanmalloc_realloc(block, 300));
  }
  for (char* block : blocks) spanmalloc_free(block);
  return true;
}

bool WriteProfiles() {
  const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  bool written = true;
  for (const char* type : {"heap", "peak", "growth", "lifetimes"}) {
    written = written && spanmalloc_write_profile(fd, type) == 0;
  }
  close(fd);
  return written;
}

class SamplingProcess : public testing::Test {
 protected:
  SamplingProcess() {
    spanmalloc_free(spanmalloc_malloc(1));
    EXPECT_TRUE(the_allocator.guarded().Enable(16));
    spanmalloc_set_profile_interval(1);
    spanmalloc_free(spanmalloc_malloc(1 << 20));
  }
  ~SamplingProcess() override {
    spanmalloc_set_profile_interval(0);
    the_allocator.guarded().Disable();
    the_allocator.CheckInvariants();
    the_allocator.profiler().profile().CheckInvariants();
  }
};

TEST_F(SamplingProcess, ForkWhileOthersAreSampled) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&stop] {
      while (!stop) UseManySizes();
    });
  }
  char* const parents = static_cast<char*>(spanmalloc_malloc(100));
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      spanmalloc_free(parents);
      const bool well = UseManySizes() && WriteProfiles();
      the_allocator.profiler().profile().CheckInvariants();
      _exit(well ? 0 : 1);
    }
    UseManySizes();
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << i;
  }
  EXPECT_TRUE(WriteProfiles());
  stop = true;
  for (std::thread& thread : threads) thread.join();
  spanmalloc_free(parents);
}

std::atomic<int> written{0}, not_written{0};

// Every thread is interrupted anywhere in the allocator, with locks held.
TEST_F(SamplingProcess, ProfilesInSignalHandlersMeanwhile) {
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) { ++(WriteProfiles() ? written : not_written); };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&stop] {
      while (!stop) {
        UseManySizes();
        spanmalloc_malloc_trim(0);
      }
    });
  }
  const itimerval timer = {{0, 5000}, {0, 5000}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
  while (written + not_written < 50) UseManySizes();
  const itimerval none = {};
  setitimer(ITIMER_REAL, &none, nullptr);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  sigaction(SIGALRM, &before, nullptr);
  EXPECT_EQ(not_written, 0);
}

TEST_F(SamplingProcess, ThreadsThatEndAnyhow) {
  for (int i = 0; i < 50; ++i) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, nullptr,
                  [](void*) -> void* {
                    UseManySizes();
                    void* const p = spanmalloc_malloc(100);
                    pthread_exit(p);
                  },
                  nullptr),
              0);
    void* p = nullptr;
    ASSERT_EQ(pthread_join(thread, &p), 0);
    spanmalloc_free(p);
  }
  EXPECT_EQ(the_allocator.ReadStats().profile_live_samples, 0u);
}

#if defined(SPANMALLOC_TSAN) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitizer = true;
#else
constexpr bool kSanitizer = false;
#endif

int Recurse(int depth) {
  if (depth == 0) {
    spanmalloc_free(spanmalloc_malloc(100));
    return 0;
  }
  return Recurse(depth - 1) + 1;
}

void* RunRecursion(void*) {
  EXPECT_EQ(Recurse(100000), 100000);
  return nullptr;
}

TEST_F(SamplingProcess, DeepRecursion) {
  if (kThreadSanitizer) GTEST_SKIP() << "it follows 65,536 calls at most";
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 20), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, RunRecursion, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

// ---- How much stack it takes

// What lies below the caller's frame and is not as it was.
size_t Touched(const unsigned char* stack, const void* frame) {
  const unsigned char* p = stack;
  while (*p == 0xcd) ++p;
  return static_cast<size_t>(static_cast<const unsigned char*>(frame) - p);
}

SPANMALLOC_NOINLINE void* OneBlock(void* stack) {
  void* const frame = __builtin_frame_address(0);
  spanmalloc_free(spanmalloc_malloc(100));
  return reinterpret_cast<void*>(
      Touched(static_cast<unsigned char*>(stack), frame));
}

size_t StackOfOneBlock() {
  constexpr size_t kBytes = 256 << 10;
  void* const stack = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(stack, 0xcd, kBytes);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kBytes);
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, &attributes, OneBlock, stack), 0);
  void* used = nullptr;
  pthread_join(thread, &used);
  pthread_attr_destroy(&attributes);
  munmap(stack, kBytes);
  return reinterpret_cast<size_t>(used);
}

TEST_F(SamplingProcess, StackThatASampleTakes) {
  if (kSanitizer) GTEST_SKIP() << "it wants more stack than that";
  const size_t guarded = StackOfOneBlock();
  the_allocator.guarded().Disable();
  const size_t sampled = StackOfOneBlock();
  spanmalloc_set_profile_interval(0);
  const size_t none = StackOfOneBlock();
  printf("bytes of stack: %zu, sampled %zu, guarded %zu\n", none, sampled,
         guarded);
}

// Sanitizers need more than there is.
#if !defined(SPANMALLOC_TSAN) && !defined(__SANITIZE_ADDRESS__)
TEST_F(SamplingProcess, SmallestStack) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  const size_t least = static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN));
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, least), 0);
  for (int i = 0; i < 20; ++i) {
    if (i == 10) the_allocator.guarded().Disable();
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, &attributes,
                  [](void*) -> void* {
                    spanmalloc_free(spanmalloc_malloc(100));
                    return nullptr;
                  },
                  nullptr),
              0);
    pthread_join(thread, nullptr);
  }
  pthread_attr_destroy(&attributes);
}
#endif

}  // namespace
}  // namespace spanmalloc
