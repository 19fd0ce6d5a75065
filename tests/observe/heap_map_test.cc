// The heap as a reader outside the process sees it: the states of pages are
// those that the allocator counts.

#include "tools/spanmalloc/heap_map.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "allocator/observe/stat_layout.h"
#include "tests/support/allocator_world.h"

namespace spanmalloc {
namespace {

using spanmalloc_tool::HeapMap;
using spanmalloc_tool::Memory;
using spanmalloc_tool::PageState;
using spanmalloc_tool::Range;

bool Copy(void*, uint64_t address, void* out, size_t n) {
  if (address == 0) return false;
  std::memcpy(out, reinterpret_cast<const void*>(address), n);
  return true;
}
constexpr Memory kThisProcess = {Copy, nullptr, false};

uint64_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

const std::vector<Range> kEverywhere = {{0, uint64_t{1} << 47}};

class HeapMapTest : public testing::Test {
 protected:
  void Read() {
    map_ = {};
    ASSERT_TRUE(map_.Read(kThisProcess, root_, kEverywhere));
  }
  PageState StateOf(const void* p) {
    Read();
    uint64_t end;
    return map_.StateAt(AddressOf(p), &end);
  }
  // Bytes of each state, as the map says and as the statistics say.
  void ExpectSums() {
    Read();
    std::map<PageState, uint64_t> sums;
    for (uint64_t at = 0, end; at < kEverywhere[0].end; at = end) {
      const PageState state = map_.StateAt(at, &end);
      ASSERT_GT(end, at);
      sums[state] += end - at;
    }
    const MemStats stats = world_.stats();
    EXPECT_EQ(sums[PageState::kUsed], stats.heap_inuse);
    EXPECT_EQ(sums[PageState::kReleased], stats.heap_released);
    EXPECT_EQ(sums[PageState::kIdle], stats.heap_idle - stats.heap_released);
    EXPECT_EQ(sums[PageState::kRecords], stats.sys - stats.heap_sys);
  }

  AllocatorWorld world_;
  StatRoot root_ = world_.allocator->MakeStatRoot(&root_);
  HeapMap map_;
};

TEST_F(HeapMapTest, NothingAtFirst) {
  Read();
  uint64_t end;
  EXPECT_EQ(map_.StateAt(AddressOf(this), &end), PageState::kForeign);
  EXPECT_EQ(HeapMap().StateAt(0, &end), PageState::kForeign);
}

TEST_F(HeapMapTest, EveryState) {
  void* const small = world_.Malloc(100);
  EXPECT_EQ(StateOf(small), PageState::kUsed);
  void* const large = world_.Malloc(6 << 20);
  EXPECT_EQ(StateOf(large), PageState::kUsed);
  ExpectSums();
  world_.Free(1);
  EXPECT_EQ(StateOf(large), PageState::kIdle);
  ExpectSums();
  world_.allocator->scavenger().Trim(0);
  EXPECT_EQ(StateOf(large), PageState::kReleased);
  EXPECT_EQ(StateOf(small), PageState::kUsed);
  EXPECT_EQ(StateOf(current_thread.cache), PageState::kRecords);
  EXPECT_EQ(StateOf(this), PageState::kForeign);
  ExpectSums();
}

TEST_F(HeapMapTest, ManyBlocks) {
  for (size_t size = 1; size < (5 << 20); size += size / 3 + 1) {
    world_.Malloc(size);
  }
  for (size_t i = 0; i < 20; ++i) world_.Free(i * 7 % world_.live());
  ExpectSums();
  // Enough records for several parts of the memory for them.
  for (int i = 0; i < 200000; ++i) world_.Malloc(8);
  for (int i = 0; i < 2000; ++i) world_.Malloc(20000);
  ExpectSums();
}

TEST_F(HeapMapTest, LooksWhereMemoryIsMappedOnly) {
  void* const p = world_.Malloc(100);
  const uint64_t gib = uint64_t{1} << 30;
  const uint64_t start = AddressOf(p) / gib * gib;
  uint64_t end;
  ASSERT_TRUE(map_.Read(kThisProcess, root_, {{start - gib, start}}));
  EXPECT_EQ(map_.StateAt(AddressOf(p), &end), PageState::kForeign);
  map_ = {};
  ASSERT_TRUE(map_.Read(kThisProcess, root_,
                        {{start - gib, start + 1}, {start + 1, start + 2}}));
  EXPECT_EQ(map_.StateAt(AddressOf(p), &end), PageState::kUsed);
}

TEST_F(HeapMapTest, EveryReadMayFail) {
  const uint64_t block = AddressOf(world_.Malloc(100));
  for (int reads = 0;; ++reads) {
    int left = reads;
    const Memory memory = {
        [](void* left, uint64_t address, void* out, size_t n) {
          return --*static_cast<int*>(left) >= 0 &&
                 Copy(nullptr, address, out, n);
        },
        &left, false};
    HeapMap map;
    if (map.Read(memory, root_, {{block, block + 1}})) {
      EXPECT_GT(reads, 8);
      break;
    }
    ASSERT_LT(reads, 10000);
  }
}

TEST_F(HeapMapTest, ListOfPartsThatEndsInItself) {
  world_.Malloc(100);
  uint64_t part[3] = {AddressOf(part), 4096, AddressOf(part)};
  const uint64_t first = AddressOf(part);
  StatRoot root = root_;
  root.records = &first;
  EXPECT_FALSE(map_.Read(kThisProcess, root, {}));
}

TEST_F(HeapMapTest, RootThatMakesNoSense) {
  world_.Malloc(100);
  for (const uint64_t wrong : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 60}) {
    StatRoot root = root_;
    root.page_bytes = wrong;
    EXPECT_FALSE(map_.Read(kThisProcess, root, {})) << wrong;
    root = root_;
    root.huge_page_bytes = wrong;
    EXPECT_FALSE(map_.Read(kThisProcess, root, {})) << wrong;
  }
  StatRoot root = root_;
  root.page_map_shift = 70;
  EXPECT_FALSE(map_.Read(kThisProcess, root, {}));
}

}  // namespace
}  // namespace spanmalloc
