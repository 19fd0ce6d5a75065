// What the system says about itself, against other ways to ask it.

#include "allocator/os/system_info.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>

#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/config.h"

namespace spanmalloc {
namespace {

TEST(SystemInfoTest, PageSize) {
  EXPECT_EQ(SystemPageSize(), static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_TRUE(IsPowerOfTwo(SystemPageSize()));
  EXPECT_LE(SystemPageSize(), kMaxSystemPageSize);
}

TEST(SystemInfoTest, AddressSpaceLimitFollowsTheLimit) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(AddressSpaceLimit(),
            before.rlim_cur == RLIM_INFINITY ? SIZE_MAX : before.rlim_cur);
  // Nothing is mapped while the limit stands.
  const rlimit small = {rlim_t{3} << 30, before.rlim_max};
  const int set = setrlimit(RLIMIT_AS, &small);
  const size_t limit = AddressSpaceLimit();
  setrlimit(RLIMIT_AS, &before);
  ASSERT_EQ(set, 0);
  EXPECT_EQ(limit, size_t{3} << 30);
}

TEST(SystemInfoTest, TransparentHugePages) {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(file, text);
  const auto says = [&](const char* mode) {
    return text.find(mode) != std::string::npos;
  };
  const HugePageMode expected = says("[always]")    ? HugePageMode::kAlways
                                : says("[madvise]") ? HugePageMode::kMadvise
                                                    : HugePageMode::kNever;
  errno = EXDEV;
  EXPECT_EQ(TransparentHugePages(), expected);
  EXPECT_EQ(errno, EXDEV);
}

TEST(SystemInfoTest, RandomBitsDiffer) {
  std::set<uint64_t> seen;
  errno = EXDEV;
  for (int i = 0; i < 16; ++i) seen.insert(RandomBits());
  EXPECT_EQ(errno, EXDEV);
  // Without a source there are none; with one, not the same all the time.
  if (seen.count(0) == 0) {
    EXPECT_GT(seen.size(), 14u);
  }
}

TEST(SystemInfoTest, PreferredHeapAddress) {
  for (int i = 0; i < 100; ++i) {
    const uintptr_t address = PreferredHeapAddress();
#if defined(SPANMALLOC_TSAN)
    EXPECT_EQ(address, 0u);
#else
    EXPECT_EQ(address % kHugePageSize, 0u);
    // Room for a large window below the addresses of libraries and stacks.
    EXPECT_GE(address, uintptr_t{1} << 45);
    EXPECT_LE(address, uintptr_t{1} << 46);
#endif
  }
}

}  // namespace
}  // namespace spanmalloc
