// Conformance: memory that nobody touched is not resident. The number of
// resident pages is the kernel's, from /proc/self/statm, so this is exact, not
// a timing.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tests/conformance/entries.h"

namespace conformance {
namespace {

size_t ResidentBytes() {
  unsigned long total = 0;
  unsigned long resident = 0;
  FILE* const file = fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const int got = fscanf(file, "%lu %lu", &total, &resident);
  fclose(file);
  return got == 2 ? resident * static_cast<size_t>(sysconf(_SC_PAGESIZE)) : 0;
}

// What huge pages, tables and stdio may add.
constexpr size_t kSlack = size_t{6} << 20;

// glibc manual, "Allocating Cleared Space": calloc "allocates a block ... and
// its contents are cleared to zero"; pages fresh from the system are zero
// already, and clearing them would make them resident.
TEST(Resident, CallocOfGigabytesTouchesNothing) {
  size_t size = size_t{2} << 30;
  const size_t before = ResidentBytes();
  ASSERT_GT(before, 0u);
  void* block = nullptr;
  for (; size >= size_t{64} << 20;
       size /= 2) {  // As much as this machine's overcommit allows.
    block = StandardFace().calloc_(size / 8, 8);
    if (block != nullptr) break;
  }
  ASSERT_NE(block, nullptr);
  EXPECT_LT(ResidentBytes(), before + kSlack) << "of " << size;
  static_cast<volatile char*>(block)[size / 2] = 1;
  EXPECT_LT(ResidentBytes(), before + kSlack);
  StandardFace().free_(block);
}

TEST(Resident, MallocOfGigabytesTouchesNothing) {
  const size_t before = ResidentBytes();
  void* const block = StandardFace().malloc_(size_t{1} << 30);
  ASSERT_NE(block, nullptr);
  EXPECT_LT(ResidentBytes(), before + kSlack);
  void* const aligned =
      StandardFace().memalign_(size_t{1} << 21, size_t{512} << 20);
  ASSERT_NE(aligned, nullptr);
  EXPECT_LT(ResidentBytes(), before + kSlack);
  StandardFace().free_(block);
  StandardFace().free_(aligned);
}

// The tail that realloc cuts off goes back: the manual allows a shrink to stay
// in place, and then what is cut off must not stay resident.
TEST(Resident, ShrinkingAHugeBlockGivesPagesBack) {
  const size_t before = ResidentBytes();
  constexpr size_t kLarge = size_t{256} << 20;
  void* block = StandardFace().malloc_(kLarge);
  ASSERT_NE(block, nullptr);
  memset(block, 1, kLarge);
  EXPECT_GE(ResidentBytes(), before + kLarge - kSlack);
  block = StandardFace().realloc_(block, size_t{1} << 20);
  ASSERT_NE(block, nullptr);
  StandardFace().malloc_trim_(0);
  EXPECT_LT(ResidentBytes(), before + (size_t{1} << 20) + kSlack);
  StandardFace().free_(block);
}

// malloc_trim(3): "attempts to release free memory from the heap (by calling
// sbrk(2) or madvise(2))
// ... returns 1 if memory was actually released back to the system, or 0".
TEST(Resident, TrimGivesBackWhatIsFree) {
  const size_t before = ResidentBytes();
  constexpr size_t kBlocks = 2000;
  static void* blocks[kBlocks];
  for (void*& block : blocks) {
    block = StandardFace().malloc_(50000);
    ASSERT_NE(block, nullptr);
    memset(block, 1, 50000);
  }
  const size_t full = ResidentBytes();
  EXPECT_GE(full, before + size_t{50} * 1000 * 1000);
  for (void* block : blocks) StandardFace().free_(block);
  const int released = StandardFace().malloc_trim_(0);
  EXPECT_TRUE(released == 0 || released == 1) << released;
  EXPECT_LT(ResidentBytes(), before + kSlack);
}

}  // namespace
}  // namespace conformance
