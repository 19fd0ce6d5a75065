// The transitions of kLinuxMemory, on real memory.

#include "allocator/os/memory.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "allocator/base/config.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {
namespace {

constexpr size_t kSize = 4 * kMaxSystemPageSize;
constexpr int kOddErrno = 12345;

// The calls must leave errno alone, whether they succeed or fail.
class MemoryTest : public testing::Test {
 protected:
  MemoryTest() { errno = kOddErrno; }
  ~MemoryTest() override { EXPECT_EQ(errno, kOddErrno); }

  char* Map(uintptr_t address = 0) {
    return static_cast<char*>(kLinuxMemory.map(address, kSize));
  }
  void Unmap(void* p) { EXPECT_TRUE(kLinuxMemory.unmap(p, kSize)); }
};

bool IsZero(const char* p, size_t size) {
  return std::all_of(p, p + size, [](char c) { return c == 0; });
}

uintptr_t Address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

TEST_F(MemoryTest, MappedMemoryIsZeroAlignedAndWritable) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(Address(p) % SystemPageSize(), 0u);
  EXPECT_TRUE(IsZero(p, kSize));
  memset(p, 1, kSize);
  Unmap(p);
}

TEST_F(MemoryTest, MapsExactlyThereOrFails) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  p[0] = 1;
  EXPECT_EQ(Map(Address(p)), nullptr) << "mapped over a mapping";
  EXPECT_EQ(Map(Address(p) + kSize - SystemPageSize()), nullptr)
      << "mapped over a part of one";
  EXPECT_EQ(p[0], 1);
  Unmap(p);
  ASSERT_EQ(Map(Address(p)), p);
  EXPECT_EQ(p[0], 0);
  Unmap(p);
}

TEST_F(MemoryTest, TooMuchIsNull) {
  const size_t too_much = SIZE_MAX - kMaxSystemPageSize + 1;
  EXPECT_EQ(kLinuxMemory.map(0, too_much), nullptr);
  EXPECT_EQ(kLinuxMemory.reserve(too_much), nullptr);
  EXPECT_EQ(kLinuxMemory.map(0, 0), nullptr);
}

TEST_F(MemoryTest, ReservedMemoryIsReady) {
  constexpr size_t kReserved = size_t{1} << 30;
  char* const p = static_cast<char*>(kLinuxMemory.reserve(kReserved));
  ASSERT_NE(p, nullptr);
  p[kReserved - 1] = 1;
  EXPECT_EQ(p[0], 0);
  EXPECT_TRUE(kLinuxMemory.unmap(p, kReserved));
}

TEST_F(MemoryTest, ReleasedMemoryReadsZeroAndStaysWritable) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  memset(p, 1, kSize);
  char* const middle = p + kMaxSystemPageSize;
  ASSERT_TRUE(kLinuxMemory.release(middle, kMaxSystemPageSize));
  EXPECT_TRUE(IsZero(middle, kMaxSystemPageSize));
  EXPECT_EQ(middle[-1], 1);
  EXPECT_EQ(middle[kMaxSystemPageSize], 1);
  middle[0] = 2;
  EXPECT_EQ(middle[0], 2);
  Unmap(p);
}

TEST_F(MemoryTest, UnmapsInParts) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  ASSERT_TRUE(kLinuxMemory.unmap(p + kSize / 2, kSize / 2));
  p[kSize / 2 - 1] = 1;
  EXPECT_TRUE(kLinuxMemory.unmap(p, kSize / 2));
}

TEST_F(MemoryTest, RefusesWhatIsNotOnAPage) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  EXPECT_FALSE(kLinuxMemory.release(p + 1, kSize - SystemPageSize()));
  EXPECT_FALSE(kLinuxMemory.unmap(p + 1, kSize - SystemPageSize()));
  EXPECT_FALSE(kLinuxMemory.move(p + 1, p + kSize / 2, SystemPageSize()));
  Unmap(p);
}

TEST_F(MemoryTest, LazilyReleasedMemoryKeepsWhatIsWrittenAfterwards) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  memset(p, 1, kSize);
  if (!kLinuxMemory.release_lazily(p, kSize / 2)) {
    Unmap(p);
    GTEST_SKIP() << "this system does not release lazily";
  }
  EXPECT_TRUE(p[0] == 1 || p[0] == 0) << "neither the old contents nor zero";
  EXPECT_EQ(p[kSize / 2], 1);
  p[0] = 2;
  EXPECT_EQ(p[0], 2);
  EXPECT_TRUE(kLinuxMemory.release(p, kSize / 2));
  EXPECT_TRUE(IsZero(p, kSize / 2));
  Unmap(p);
}

TEST_F(MemoryTest, ReleaseOfNothingFails) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  Unmap(p);
  EXPECT_FALSE(kLinuxMemory.release(p, kSize));
  EXPECT_FALSE(kLinuxMemory.release_lazily(p, kSize));
}

TEST_F(MemoryTest, AdviceIsNoTransition) {
  char* const p = static_cast<char*>(kLinuxMemory.map(0, 2 * kHugePageSize));
  ASSERT_NE(p, nullptr);
  char* const huge = p + (kHugePageSize - Address(p) % kHugePageSize);
  huge[0] = 1;
  kLinuxMemory.advise_huge(huge, kHugePageSize);  // A system may not have it.
  EXPECT_EQ(huge[0], 1);
  kLinuxMemory.forbid_huge(huge, kHugePageSize);
  EXPECT_EQ(huge[0], 1);
  EXPECT_TRUE(kLinuxMemory.unmap(p, 2 * kHugePageSize));
}

TEST_F(MemoryTest, MoveTakesTheContents) {
  char* const from = Map();
  char* const to = Map();
  ASSERT_NE(from, nullptr);
  ASSERT_NE(to, nullptr);
  memset(from, 1, kSize);
  memset(to, 2, kSize);
  if (!kLinuxMemory.move(from, to, kSize / 2)) {
    EXPECT_EQ(from[0], 1) << "a move that failed changed something";
    EXPECT_EQ(to[0], 2);
    Unmap(from);
    Unmap(to);
    GTEST_SKIP() << "this system cannot move memory";
  }
  EXPECT_TRUE(IsZero(from, kSize / 2));
  EXPECT_EQ(from[kSize / 2], 1);
  EXPECT_EQ(std::count(to, to + kSize / 2, 1), ptrdiff_t{kSize / 2});
  EXPECT_EQ(std::count(to + kSize / 2, to + kSize, 2), ptrdiff_t{kSize / 2});
  from[0] = 3;  // It is still there.
  Unmap(from);
  Unmap(to);
}

// The system answers EFAULT where the program would have a fault.
bool MayRead(const char* p) {
  const int saved_errno = errno;
  const bool may = access(p, F_OK) == 0 || errno != EFAULT;
  errno = saved_errno;
  return may;
}

TEST_F(MemoryTest, ForbiddenMemoryKeepsItsContents) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  p[0] = p[kSize / 2] = 1;
  ASSERT_TRUE(kLinuxMemory.forbid_access(p, kSize / 2));
  EXPECT_FALSE(MayRead(p));
  EXPECT_TRUE(MayRead(p + kSize / 2));
  ASSERT_TRUE(kLinuxMemory.allow_access(p, kSize / 2));
  EXPECT_EQ(p[0], 1);
  p[0] = 2;
  Unmap(p);
}

TEST_F(MemoryTest, ForbiddenMemoryMayBeReleased) {
  char* const p = static_cast<char*>(kLinuxMemory.reserve(kSize));
  ASSERT_NE(p, nullptr);
  memset(p, 1, kSize);
  ASSERT_TRUE(kLinuxMemory.forbid_access(p, kSize));
  ASSERT_TRUE(kLinuxMemory.release(p, kSize));
  EXPECT_FALSE(MayRead(p));
  ASSERT_TRUE(kLinuxMemory.allow_access(p, kSize));
  EXPECT_TRUE(IsZero(p, kSize));
  Unmap(p);
}

TEST_F(MemoryTest, ProtectionOfNothingFails) {
  char* const p = Map();
  ASSERT_NE(p, nullptr);
  Unmap(p);
  EXPECT_FALSE(kLinuxMemory.forbid_access(p, kSize));
  EXPECT_FALSE(kLinuxMemory.allow_access(p, kSize));
}

}  // namespace
}  // namespace spanmalloc
