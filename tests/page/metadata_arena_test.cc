// Memory for records: zeroes, counts, failure, threads.

#include "allocator/page/metadata_arena.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

constexpr size_t kGranule = MetadataArena::kGranule;
constexpr size_t kBlock = 2048;

size_t Rounded(size_t size) {
  return AlignUp(std::max<size_t>(size, 1), kGranule);
}

bool IsZero(const void* p, size_t size) {
  const char* const c = static_cast<const char*>(p);
  return std::all_of(c, c + size, [](char x) { return x == 0; });
}

class MetadataArenaTest : public testing::Test {
 protected:
  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
};

TEST_F(MetadataArenaTest, BlocksAreAlignedZeroAndDoNotOverlap) {
  std::map<char*, size_t> blocks;
  for (size_t size :
       {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1000},
        size_t{1024}, size_t{5000}, size_t{100} << 10, size_t{200} << 10,
        size_t{300} << 10, size_t{512} << 10, size_t{3} << 20, size_t{64}}) {
    char* const p = static_cast<char*>(arena_.Allocate(size));
    ASSERT_NE(p, nullptr) << size;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % kGranule, 0u);
    EXPECT_TRUE(IsZero(p, size)) << size;
    memset(p, 0xff, Rounded(size));
    blocks.emplace(p, Rounded(size));
  }
  const char* end = nullptr;
  for (const auto& [start, size] : blocks) {
    EXPECT_LE(end, start);
    end = start + size;
  }
}

// Whether they come from the rest of a chunk, a new one, or beside.
TEST_F(MetadataArenaTest, AlignsToPagesOfTheSystem) {
  const size_t page = SystemPageSize();
  std::map<char*, size_t> blocks;
  const auto allocate = [&](size_t size, size_t alignment) {
    const size_t used = arena_.used_bytes();
    char* const p = static_cast<char*>(
        arena_.Allocate(size, RecordKind::kOther, alignment));
    ASSERT_NE(p, nullptr) << size;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u) << size;
    EXPECT_EQ(arena_.used_bytes(), used + Rounded(size));
    EXPECT_TRUE(IsZero(p, size)) << size;
    memset(p, 0xff, Rounded(size));
    blocks.emplace(p, Rounded(size));
  };
  allocate(5000, page);  // The first of all.
  for (int i = 0; i < 200; ++i) {
    allocate(64, kGranule);
    allocate(5000, page);
    allocate(100 << 10, page);
    allocate(3000, 256);
  }
  allocate(200 << 10, page);
  allocate((512 << 10) - page, page);
  allocate(3 << 20, page);
  const char* end = nullptr;
  for (const auto& [start, size] : blocks) {
    EXPECT_LE(end, start);
    EXPECT_TRUE(system_.IsMapped(reinterpret_cast<uintptr_t>(start), size));
    end = start + size;
  }
}

TEST_F(MetadataArenaTest, AlignmentNearTheLimit) {
  const size_t page = SystemPageSize();
  if (page == kMaxSystemPageSize) GTEST_SKIP() << "no chunk has room for it";
  system_.LimitBytes(kMaxSystemPageSize);
  const size_t most = kMaxSystemPageSize - page;
  EXPECT_EQ(arena_.Allocate(most + kGranule, RecordKind::kOther, page),
            nullptr);
  void* const p = arena_.Allocate(most, RecordKind::kOther, page);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % page, 0u);
  EXPECT_TRUE(system_.IsMapped(reinterpret_cast<uintptr_t>(p), most));
  EXPECT_EQ(arena_.Allocate(64), nullptr);
}

TEST_F(MetadataArenaTest, CountsWhatIsTakenAndHandedOut) {
  EXPECT_EQ(arena_.system_bytes(), 0u);
  EXPECT_EQ(arena_.used_bytes(), 0u);
  ASSERT_NE(arena_.Allocate(100), nullptr);
  EXPECT_EQ(arena_.used_bytes(), 128u);
  EXPECT_EQ(arena_.system_bytes(), system_.bytes());
  EXPECT_NE(arena_.Allocate(3 << 20), nullptr);
  EXPECT_EQ(arena_.used_bytes(), 128u + (3 << 20));
  EXPECT_EQ(arena_.system_bytes(), system_.bytes());
  arena_.Count(RecordKind::kOther, size_t{0} - 128);
  arena_.Count(RecordKind::kSpans, 64);
  EXPECT_EQ(arena_.used_bytes(), (size_t{3} << 20) + 64);
  EXPECT_EQ(arena_.used_bytes(RecordKind::kSpans), 64u);
  EXPECT_EQ(system_.calls(FakeSystem::kUnmap), 0u);
}

TEST_F(MetadataArenaTest, SmallBlocksShareOneCallToTheSystem) {
  for (int i = 0; i < 1000; ++i) ASSERT_NE(arena_.Allocate(64), nullptr);
  EXPECT_EQ(system_.calls(), 1u);
}

// A large block in between does not waste the rest of the chunk.
TEST_F(MetadataArenaTest, LargeBlocksGoBesideTheChunk) {
  char* const a = static_cast<char*>(arena_.Allocate(64));
  ASSERT_NE(arena_.Allocate(2 << 20), nullptr);
  char* const b = static_cast<char*>(arena_.Allocate(64));
  EXPECT_EQ(b, a + 128) << "more than a note about it lies between";
  EXPECT_EQ(system_.calls(), 2u);
}

TEST_F(MetadataArenaTest, FailureIsNullAndChangesNothing) {
  char* const p = static_cast<char*>(arena_.Allocate(64));
  const size_t used = arena_.used_bytes(), taken = arena_.system_bytes();
  system_.FailFrom(1);
  EXPECT_EQ(arena_.Allocate(1 << 20), nullptr);
  EXPECT_EQ(arena_.used_bytes(), used);
  EXPECT_EQ(arena_.system_bytes(), taken);
  // What is left of the chunk serves on, all of it.
  EXPECT_EQ(arena_.Allocate(64), p + 64);
  system_.FailNothing();
  EXPECT_NE(arena_.Allocate(1 << 20), nullptr);
}

// Near a limit, small chunks still serve.
TEST_F(MetadataArenaTest, SmallerChunksNearTheLimit) {
  system_.LimitBytes(kMaxSystemPageSize);
  char* const p = static_cast<char*>(arena_.Allocate(64));
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(arena_.system_bytes(), kMaxSystemPageSize);
  // One granule is the chunk's own.
  for (size_t i = 2; i < kMaxSystemPageSize / 64; ++i) {
    ASSERT_NE(arena_.Allocate(64), nullptr) << i;
  }
  EXPECT_EQ(arena_.Allocate(64), nullptr);
}

TEST_F(MetadataArenaTest, TakesDonations) {
  void* const donation = FakeSystem::memory().map(0, kMaxSystemPageSize);
  system_.FailFrom(1);
  EXPECT_EQ(arena_.Allocate(5000), nullptr);
  arena_.Donate(donation, kMaxSystemPageSize);
  EXPECT_EQ(arena_.Allocate(5000), donation);
  EXPECT_NE(arena_.Allocate(kMaxSystemPageSize - 8192), nullptr);
  EXPECT_EQ(arena_.Allocate(kMaxSystemPageSize), nullptr);
}

TEST_F(MetadataArenaTest, ReachesTheEndOfEveryByte) {
  system_.LimitBytes(1 << 20);
  size_t count = 0;
  while (arena_.Allocate(kBlock) != nullptr) ++count;
  // But for the first granule of each of the two chunks; what was left of the
  // first is forgotten.
  EXPECT_EQ(count, (1 << 20) / kBlock - 2);
  for (size_t i = 0; i < kBlock / kGranule - 1; ++i) {
    EXPECT_NE(arena_.Allocate(1), nullptr) << i;
  }
}

TEST_F(MetadataArenaTest, RandomBlocksAreApartAndZero) {
  struct Block {
    unsigned char* p;
    size_t size;
    unsigned char value;
  };
  std::mt19937 random(3);
  std::vector<Block> blocks;
  size_t used = 0;
  for (int step = 0; step < 3000; ++step) {
    const size_t size =
        random() % 500 == 0 ? random() % (1 << 20) : random() % (kBlock + 1);
    auto* const p = static_cast<unsigned char*>(arena_.Allocate(size));
    ASSERT_NE(p, nullptr);
    ASSERT_TRUE(IsZero(p, Rounded(size)));
    const auto value = static_cast<unsigned char>(random());
    memset(p, value, Rounded(size));
    blocks.push_back({p, Rounded(size), value});
    used += Rounded(size);
    ASSERT_EQ(arena_.used_bytes(), used);
  }
  for (const Block& block : blocks) {
    ASSERT_EQ(std::count(block.p, block.p + block.size, block.value),
              static_cast<ptrdiff_t>(block.size));
  }
}

TEST_F(MetadataArenaTest, ManyThreads) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      std::vector<unsigned*> mine;
      for (int i = 0; i < 2000; ++i) {
        mine.push_back(static_cast<unsigned*>(arena_.Allocate(64)));
        ASSERT_NE(mine.back(), nullptr);
        *mine.back() = t;
        arena_.Count(RecordKind::kSpans, i % 2 == 0 ? 64 : size_t{0} - 64);
      }
      for (const unsigned* p : mine) ASSERT_EQ(*p, t);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena_.used_bytes(), size_t{4 * 2000 * 64});
}

}  // namespace
}  // namespace spanmalloc
