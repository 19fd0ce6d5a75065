// What the allocator answers when a program misuses its heap: one line, and the
// end. (Misuse through the entry points: the conformance suite.)
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <string>

#include "allocator/api/allocator.h"
#include "tests/support/allocator_world.h"

namespace spanmalloc {
namespace {

using World = AllocatorWorld;

std::string Line(const char* format, const void* p) {
  char text[200];
  std::snprintf(text, sizeof(text), format, p);
  return std::string("^spanmalloc: ") + text + "\n";
}

class AllocatorDeathTest : public testing::Test {
 protected:
  void ExpectAbort(const std::function<void()>& misuse, const char* format,
                   const void* p) {
    EXPECT_EXIT(misuse(), testing::KilledBySignal(SIGABRT), Line(format, p));
  }
  void Free(void* p) {
    if (!Allocator::Free(p)) world_.allocator->FreeSlow(p);
  }
  World world_;
};

TEST_F(AllocatorDeathTest, DoubleFreeBackToBack) {
  void* const p = world_.Malloc(48);
  ExpectAbort([&] { Free(p), Free(p); },
              "double free of %p \\(48-byte class\\)", p);
  world_.self.Exit();
  ExpectAbort([&] { Free(p), Free(p); },
              "double free of %p \\(48-byte class\\)", p);
}

TEST_F(AllocatorDeathTest, DoubleFreeFoundWhenTheObjectComesHome) {
  void* const p = world_.Malloc(40);
  void* const q = world_.Malloc(40);
  ExpectAbort(
      [&] {
        Free(p), Free(q), Free(p);
        world_.allocator->scavenger().Trim(0);
      },
      "double free of %p \\(48-byte class\\)", p);
}

TEST_F(AllocatorDeathTest, DoubleFreeOfALargeBlock) {
  void* const p = world_.Malloc(100 << 10);
  ExpectAbort([&] { Free(p), Free(p); },
              "free of %p, which is not the start of a live block", p);
}

TEST_F(AllocatorDeathTest, PointersThatAreNoBlocks) {
  char* const small = static_cast<char*>(world_.Malloc(48));
  char* const large = static_cast<char*>(world_.Malloc(100 << 10));
  char* const span = reinterpret_cast<char*>(
      AlignDown(reinterpret_cast<uintptr_t>(small), kSmallSpanSize));
  alignas(16) char local[32];
  for (char* const p :
       {small + 1, small + 8, small + 16, span + kSmallSpanSize - 16,
        large + 16, large + kPageSize, large + (1 << 20), local,
        reinterpret_cast<char*>(16), reinterpret_cast<char*>(~uintptr_t{15})}) {
    const char* const kFree =
        "free of %p, which is not the start of a live block";
    ExpectAbort([&] { Free(p); }, kFree, p);
    ExpectAbort([&] { world_.allocator->Reallocate(p, 10); },
                "realloc of %p, which is not the start of a live block", p);
    ExpectAbort(
        [&] { world_.allocator->UsableSize(p); },
        "malloc_usable_size of %p, which is not the start of a live block", p);
  }
}

TEST_F(AllocatorDeathTest, WrongSize) {
  void* const small = world_.Malloc(100);
  void* const large = world_.Malloc(100 << 10);
  ExpectAbort([&] { world_.allocator->FreeSizedSlow(small, 90, 1); },
              "sized free of %p with size 90, but the block has 112 bytes",
              small);
  ExpectAbort([&] { world_.allocator->FreeSizedSlow(large, 100, 1); },
              "sized free of %p with size 100, but the block has 106496 bytes",
              large);
  world_.allocator->FreeSizedSlow(nullptr, 100, 1);
}

}  // namespace
}  // namespace spanmalloc
