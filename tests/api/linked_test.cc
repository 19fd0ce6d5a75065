// A program linked with libspanmalloc.a: its malloc and its operator new are
// spanmalloc's, also where other libraries call them.

#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>

#include <cstdlib>
#include <cstring>
#include <memory>
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

TEST(Linked, OtherMemoryIsNotOurs) {
  const int on_the_stack = 0;
  EXPECT_FALSE(spanmalloc_owns(&on_the_stack));
  EXPECT_FALSE(spanmalloc_owns(nullptr));
}

}  // namespace
