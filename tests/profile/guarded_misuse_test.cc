// What a guarded heap finds when a block is freed, and the exact words in which
// it says so. Each misuse happens in a forked child.

#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>

#include <functional>
#include <string>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/profile/guarded_heap.h"
#include "tests/support/crash.h"
#include "tests/support/guarded_stacks.h"

namespace spanmalloc {
namespace {

class GuardedMisuseTest : public testing::Test {
 protected:
  GuardedMisuseTest() { EXPECT_TRUE(heap_.Enable(kSlots)); }
  ~GuardedMisuseTest() override { StopWatchingFaults(); }

  // Allocated in phase 0x100.
  char* Allocate(bool right, size_t size, size_t alignment = 1) {
    phase = 0x100;
    for (int i = 0; i < 200; ++i) {
      char* const p = static_cast<char*>(heap_.Allocate(size, alignment));
      const bool is_right = reinterpret_cast<uintptr_t>(p) % kPage != 0;
      if (is_right == right) return p;
      heap_.Free(p);
    }
    ADD_FAILURE() << "200 times the other end";
    return nullptr;
  }
  void Free(void* p) {
    phase = 0x200;
    heap_.Free(p);
    phase = 0x300;
  }

  // Runs the misuse, in phase 0x300 unless it says otherwise.
  Crash Run(const std::function<void()>& misuse) {
    return InCrashingChild([&] {
      heap_.CheckInvariants();
      phase = 0x300;
      misuse();
      return 0;
    });
  }

  GuardedHeap heap_{&kLinuxMemory, FakeStack};
};

// That misuse of `what` in phase 0x300 is followed by these stacks.
void ExpectAbort(const Crash& crash, const std::string& headline,
                 const std::string& what, bool freed, bool allocated = true) {
  EXPECT_EQ(crash.signal, SIGABRT);
  EXPECT_EQ(crash.line(0), "spanmalloc: " + headline);
  ExpectTitle(crash.line(1), "  " + what + " by thread [0-9]+:");
  ExpectStack(crash, 2, 0x300);
  size_t at = 4;
  if (freed) {
    ExpectTitle(crash.line(at),
                "  freed by thread [0-9]+, [0-9]+\\.[0-9]{3} s before:");
    ExpectStack(crash, at + 1, 0x200);
    at += 3;
  }
  if (allocated) {
    ExpectTitle(crash.line(at),
                "  allocated by thread [0-9]+, [0-9]+\\.[0-9]{3} s before:");
    ExpectStack(crash, at + 1, 0x100);
    at += 3;
  }
  EXPECT_EQ(crash.lines.size(), at);
}

// ---- Frees

TEST_F(GuardedMisuseTest, DoubleFree) {
  char* const p = Allocate(true, 100);
  Free(p);
  const std::string headline = "double free of " + Hex(p) + " (100-byte block)";
  ExpectAbort(Run([&] { heap_.Free(p); }), headline, "free", true);
  ExpectAbort(Run([&] { heap_.FreeSized(p, 100); }), headline, "free", true);
}

TEST_F(GuardedMisuseTest, PointersThatAreNoBlocks) {
  char* const p = Allocate(true, 100);
  char* const page =
      reinterpret_cast<char*>(AlignDown(reinterpret_cast<uintptr_t>(p), kPage));
  for (char* const wrong : {p + 1, p + 16, p - 16, page, page + kPage}) {
    ExpectAbort(
        Run([&] { heap_.Free(wrong); }),
        "free of " + Hex(wrong) + ", which is not the start of a live block",
        "free", false);
  }
  // Nothing is known of a slot that was never used, or of what is not ours.
  std::vector<char> other(2 * kPage);
  for (char* const wrong :
       {page + kSlots * kPage, other.data(), other.data() + kPage}) {
    ExpectAbort(
        Run([&] { heap_.Free(wrong); }),
        "free of " + Hex(wrong) + ", which is not the start of a live block",
        "free", false, false);
  }
}

TEST_F(GuardedMisuseTest, InsideAFreedBlock) {
  char* const p = Allocate(false, 100);
  Free(p);
  ExpectAbort(
      Run([&] { heap_.Free(p + 16); }),
      "free of " + Hex(p + 16) + ", which is not the start of a live block",
      "free", true);
}

TEST_F(GuardedMisuseTest, OtherOperations) {
  char* const p = Allocate(false, 100);
  Free(p);
  ExpectAbort(
      Run([&] { heap_.SizeOf(p, "realloc"); }),
      "realloc of " + Hex(p) + ", which is not the start of a live block",
      "realloc", true);
  ExpectAbort(Run([&] { heap_.SizeOf(p); }),
              "malloc_usable_size of " + Hex(p) +
                  ", which is not the start of a live block",
              "malloc_usable_size", true);
}

TEST_F(GuardedMisuseTest, WrongSize) {
  char* const p = Allocate(true, 100);
  char* const q = Allocate(true, 1);
  ExpectAbort(
      Run([&] { heap_.FreeSized(p, 90); }),
      "sized free of " + Hex(p) + " with size 90, but the block has 100 bytes",
      "free", false);
  ExpectAbort(
      Run([&] { heap_.FreeSized(q, 2); }),
      "sized free of " + Hex(q) + " with size 2, but the block has 1 byte",
      "free", false);
}

// ---- Changes around a block

TEST_F(GuardedMisuseTest, OverflowFoundByFree) {
  for (const bool right : {false, true}) {
    char* const p = Allocate(right, 100);
    for (const size_t at : {100, 105, 111}) {
      ExpectAbort(Run([&] {
                    p[at] = 0;
                    heap_.Free(p);
                  }),
                  "buffer overflow, found when the block was freed: write of " +
                      Hex(p + at) + ", " + std::to_string(at - 100) +
                      (at == 101 ? " byte" : " bytes") +
                      " after a block of 100 bytes at " + Hex(p),
                  "free", false);
    }
    Free(p);
  }
}

// All that surrounds the block may have changed, and to one value.
TEST_F(GuardedMisuseTest, OverflowOfAllThatIsLeft) {
  char* const p = Allocate(true, 100);
  ExpectAbort(Run([&] {
                memset(p + 100, 0, 12);
                heap_.Free(p);
              }),
              "buffer overflow, found when the block was freed: write of " +
                  Hex(p + 100) + ", 0 bytes after a block of 100 bytes at " +
                  Hex(p),
              "free", false);
}

TEST_F(GuardedMisuseTest, OverflowFarAway) {
  char* const p = Allocate(false, 100);
  ExpectAbort(Run([&] {
                p[kPage - 1] ^= 1;
                p[kPage - 2] ^= 1;
                heap_.Free(p);
              }),
              "buffer overflow, found when the block was freed: write of " +
                  Hex(p + kPage - 2) + ", " + std::to_string(kPage - 102) +
                  " bytes after a block of 100 bytes at " + Hex(p),
              "free", false);
}

TEST_F(GuardedMisuseTest, UnderflowFoundByFree) {
  char* const p = Allocate(true, 100);
  for (const int at : {1, 17}) {
    ExpectAbort(
        Run([&] {
          p[-at] = 0;
          // The nearest one is reported.
          *reinterpret_cast<char*>(
              AlignDown(reinterpret_cast<uintptr_t>(p), kPage)) = 0;
          heap_.Free(p);
        }),
        "buffer underflow, found when the block was freed: write of " +
            Hex(p - at) + ", " +
            (at == 1 ? std::string("1 byte") : std::to_string(at) + " bytes") +
            " before a block of 100 bytes at " + Hex(p),
        "free", false);
  }
}

TEST_F(GuardedMisuseTest, WholePagesHaveNothingAround) {
  char* const p = static_cast<char*>(heap_.Allocate(kPage, 1));
  memset(p, 1, kPage);
  heap_.FreeSized(p, kPage);
}

}  // namespace
}  // namespace spanmalloc
