// A program linked with libspanmalloc.a: its malloc and its operator new are
// spanmalloc's, also where other libraries call them.

#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>

namespace {

TEST(Linked, MallocIsOurs) {
  const std::unique_ptr<void, decltype(&std::free)> block(std::malloc(100),
                                                          &std::free);
  EXPECT_TRUE(spanmalloc_owns(block.get()));
}

TEST(Linked, OperatorNewIsOurs) {
  const auto small = std::make_unique<int>(1);
  const auto large = std::make_unique<char[]>(1 << 20);
  EXPECT_TRUE(spanmalloc_owns(small.get()));
  EXPECT_TRUE(spanmalloc_owns(large.get()));
}

TEST(Linked, LibrariesUseIt) {
  const std::unique_ptr<char, decltype(&std::free)> from_libc(
      strdup("a string that libc copies"), &std::free);
  EXPECT_TRUE(spanmalloc_owns(from_libc.get()));
  const std::string from_libstdcxx = std::string(1000, 'x') + "y";
  EXPECT_TRUE(spanmalloc_owns(from_libstdcxx.data()));
}

TEST(Linked, OtherThreadsUseIt) {
  bool owned = false;
  std::thread([&owned] {
    owned = spanmalloc_owns(std::make_unique<long>(2).get()) != 0;
  }).join();
  EXPECT_TRUE(owned);
}

// Counts of what has the size of small blocks below.
spanmalloc_size_stats CountsOf(size_t size) {
  spanmalloc_memstats stats;
  spanmalloc_read_memstats(&stats, sizeof(stats));
  for (const spanmalloc_size_stats& counts : stats.by_size) {
    if (counts.size >= size) return counts;
  }
  return {};
}

void* kept = nullptr;
int handler_calls = 0;

// A malloc that asks the new_handler many times is one, or none.
TEST(Linked, NewHandlersDoNotCount) {
  constexpr size_t kSize = 3000;
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    const rlimit limit = {size_t{64} << 20, size_t{64} << 20};
    // What is mapped by now stays, and no more comes.
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    while (void* const p = operator new(kSize, std::nothrow)) kept = p;
    const spanmalloc_size_stats full = CountsOf(kSize);
    std::set_new_handler([] {
      if (++handler_calls == 3) std::set_new_handler(nullptr);
    });
    if (operator new(kSize, std::nothrow) != nullptr) _exit(3);
    if (CountsOf(kSize).mallocs != full.mallocs) _exit(4);
    std::set_new_handler([] {
      if (++handler_calls == 6) operator delete(kept);
    });
    if (operator new(kSize, std::nothrow) == nullptr) _exit(5);
    if (handler_calls != 6) _exit(6);
    if (CountsOf(kSize).mallocs != full.mallocs + 1) _exit(7);
    if (CountsOf(kSize).frees != full.frees + 1) _exit(8);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Linked, OtherMemoryIsNotOurs) {
  const int on_the_stack = 0;
  EXPECT_FALSE(spanmalloc_owns(&on_the_stack));
  EXPECT_FALSE(spanmalloc_owns(nullptr));
}

}  // namespace
