// The root for readers outside the process: what they put together is what the
// allocator says itself.

#include "allocator/observe/stat_root.h"

#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "allocator/api/allocator.h"
#include "allocator/observe/stat_layout.h"
#include "tests/support/allocator_world.h"
#include "tools/spanmalloc/stat_reader.h"

namespace spanmalloc {
namespace {

using spanmalloc_tool::Memory;
using spanmalloc_tool::ReadRoot;
using spanmalloc_tool::ReadSnapshot;
using spanmalloc_tool::RootStatus;
using spanmalloc_tool::Snapshot;

bool Copy(void*, uint64_t address, void* out, size_t n) {
  if (address == 0) return false;
  std::memcpy(out, reinterpret_cast<const void*>(address), n);
  return true;
}

// As another process reads: what other threads write meanwhile is no race.
bool CopyAsAnother(void*, uint64_t address, void* out, size_t n) {
  iovec local = {out, n};
  iovec remote = {reinterpret_cast<void*>(address), n};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(n);
}

constexpr Memory kThisProcess = {Copy, nullptr, false};

uint64_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

void ExpectEqual(const MemStats& mine, const MemStats& read) {
#define SPANMALLOC_METRIC(field, name, unit, kind, suffix, help) \
  EXPECT_EQ(mine.field, read.field) << name;
#include "allocator/observe/metrics.def"
#undef SPANMALLOC_METRIC
  for (size_t i = 0; i < SPANMALLOC_SIZE_CLASSES; ++i) {
    EXPECT_EQ(mine.by_size[i].size, read.by_size[i].size) << i;
    EXPECT_EQ(mine.by_size[i].mallocs, read.by_size[i].mallocs) << i;
    EXPECT_EQ(mine.by_size[i].frees, read.by_size[i].frees) << i;
  }
  EXPECT_EQ(CheckMemStats(read), nullptr) << CheckMemStats(read);
  EXPECT_EQ(std::memcmp(&mine, &read, sizeof(mine)), 0);
}

class StatRootTest : public testing::Test {
 protected:
  void ExpectSame() {
    Snapshot snapshot;
    ASSERT_TRUE(ReadSnapshot(kThisProcess, root_, &snapshot));
    EXPECT_FALSE(snapshot.between_steps);
    ExpectEqual(world_.stats(), snapshot.stats);
  }

  AllocatorWorld world_;
  StatRoot root_ = world_.allocator->MakeStatRoot(&root_);
};

TEST_F(StatRootTest, NothingAtFirst) { ExpectSame(); }

TEST_F(StatRootTest, SmallAndLargeBlocks) {
  for (size_t size = 1; size < (3 << 20); size += size / 3 + 1) {
    world_.Malloc(size);
    ExpectSame();
  }
  for (size_t i = 0; i < 40; ++i) {
    world_.Free(i * 7 % world_.live());
    ExpectSame();
  }
  world_.FreeAll();
  ExpectSame();
  world_.allocator->scavenger().Trim(0);
  ExpectSame();
}

TEST_F(StatRootTest, ThreadWithoutACache) {
  for (int i = 0; i < 100; ++i) world_.Malloc(100);
  world_.self.Exit();
  world_.Malloc(200);
  world_.Free(0);
  ExpectSame();
}

TEST_F(StatRootTest, SeesTheThreadsCacheSize) {
  EXPECT_EQ(root_.thread_cache_bytes, ThreadCache::kBlockSize);
}

TEST_F(StatRootTest, SeesTheTablesOfTheProfiler) {
  EXPECT_NE(root_.arena_profile, nullptr);
  world_.Malloc(1 << 20);
  StatRoot root = root_;
  const uint64_t bytes = 640;
  root.arena_profile = &bytes;
  Snapshot snapshot;
  ASSERT_TRUE(ReadSnapshot(kThisProcess, root, &snapshot));
  EXPECT_EQ(snapshot.stats.buck_hash_sys, 640u);
  EXPECT_EQ(snapshot.stats.sys, world_.stats().sys);
  EXPECT_EQ(snapshot.stats.other_sys + 640, world_.stats().other_sys);
}

TEST_F(StatRootTest, WithoutPatienceTakesWhatIsThere) {
  world_.Malloc(1 << 20);
  ASSERT_EQ(root_.page_record_words * sizeof(uint64_t), sizeof(PageHeapStats));
  // As if the process had been stopped at the last word.
  std::vector<uint64_t> record(1 + root_.page_record_words);
  std::memcpy(record.data(), root_.page_record,
              record.size() * sizeof(uint64_t));
  ++record[0];
  StatRoot root = root_;
  root.page_record = record.data();
  Snapshot snapshot;
  ASSERT_TRUE(ReadSnapshot(kThisProcess, root, &snapshot));
  EXPECT_TRUE(snapshot.between_steps);
  ExpectEqual(world_.stats(), snapshot.stats);
  // Frees that came before their mallocs.
  record[1 + root.large_frees] += 5;
  record[1 + root.large_bytes_freed] += 5 << 20;
  ASSERT_TRUE(ReadSnapshot(kThisProcess, root, &snapshot));
  EXPECT_EQ(CheckMemStats(snapshot.stats), nullptr);
}

TEST_F(StatRootTest, EveryReadMayFail) {
  world_.Malloc(100);
  for (int reads = 0;; ++reads) {
    int left = reads;
    const Memory memory = {
        [](void* left, uint64_t address, void* out, size_t n) {
          return --*static_cast<int*>(left) >= 0 &&
                 Copy(nullptr, address, out, n);
        },
        &left, false};
    Snapshot snapshot;
    if (ReadSnapshot(memory, root_, &snapshot)) {
      EXPECT_GT(reads, 10);
      break;
    }
    ASSERT_LT(reads, 10000);
  }
}

TEST_F(StatRootTest, ListOfCachesThatEndsInItself) {
  std::vector<char> cache(sizeof(ThreadCache) + 4096);
  const uint64_t address = AddressOf(cache.data());
  std::memcpy(cache.data() + root_.cache_next, &address, sizeof(address));
  StatRoot root = root_;
  root.first_cache = &address;
  Snapshot snapshot;
  EXPECT_FALSE(ReadSnapshot(kThisProcess, root, &snapshot));
}

TEST_F(StatRootTest, RootThatMakesNoSense) {
  Snapshot snapshot;
  StatRoot root = root_;
  root.classes = kStatRootClasses + 1;
  EXPECT_FALSE(ReadSnapshot(kThisProcess, root, &snapshot));
  root = root_;
  root.used_pages = root.page_record_words;
  EXPECT_FALSE(ReadSnapshot(kThisProcess, root, &snapshot));
  root = root_;
  root.cache_bin_frees = root.cache_bin_stride;
  EXPECT_FALSE(ReadSnapshot(kThisProcess, root, &snapshot));
}

TEST(StatRootHeaderTest, IsFoundAndRead) {
  StatRoot root;
  ASSERT_EQ(ReadRoot(kThisProcess, AddressOf(&spanmalloc_stat_root), &root),
            RootStatus::kValid);
  EXPECT_EQ(std::memcmp(&root, &spanmalloc_stat_root, sizeof(root)), 0);
  void* const p = spanmalloc_malloc(12345);
  Snapshot snapshot;
  ASSERT_TRUE(ReadSnapshot(kThisProcess, root, &snapshot));
  ExpectEqual(the_allocator.ReadStats(), snapshot.stats);
  spanmalloc_free(p);
}

TEST(StatRootHeaderTest, WhatIsNoRoot) {
  StatRoot root, read;
  EXPECT_EQ(ReadRoot(kThisProcess, 0, &read), RootStatus::kUnreadable);
  root = {};
  EXPECT_EQ(ReadRoot(kThisProcess, AddressOf(&root), &read), RootStatus::kNone);
  // A copy is not where it says.
  root = spanmalloc_stat_root;
  EXPECT_EQ(ReadRoot(kThisProcess, AddressOf(&root), &read), RootStatus::kNone);
  root.self = &root;
  EXPECT_EQ(ReadRoot(kThisProcess, AddressOf(&root), &read),
            RootStatus::kValid);
  // A newer one that only has more.
  root.root_bytes += 8;
  EXPECT_EQ(ReadRoot(kThisProcess, AddressOf(&root), &read),
            RootStatus::kValid);
  ++root.version;
  EXPECT_EQ(ReadRoot(kThisProcess, AddressOf(&root), &read),
            RootStatus::kOtherVersion);
  EXPECT_EQ(read.version, kStatRootVersion + 1);
}

// While others allocate, every snapshot still adds up.
TEST(StatRootHeaderTest, ConsistentWhileThreadsRun) {
  uint64_t word;
  if (!CopyAsAnother(nullptr, AddressOf(&spanmalloc_stat_root), &word, 8)) {
    GTEST_SKIP() << "process_vm_readv is not permitted here";
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&stop, i] {
      for (size_t n = 0; !stop.load(std::memory_order_relaxed); ++n) {
        void* const small = spanmalloc_malloc(16 + n % 2000);
        void* const large = spanmalloc_malloc((40 + n % 50 * (i + 1)) << 10);
        spanmalloc_free(small);
        spanmalloc_free(large);
      }
    });
  }
  const Memory memory = {CopyAsAnother, nullptr, true};
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < end) {
    Snapshot snapshot;
    if (!ReadSnapshot(memory, spanmalloc_stat_root, &snapshot)) {
      ADD_FAILURE() << "cannot be read";
      break;
    }
    if (const char* const wrong = CheckMemStats(snapshot.stats)) {
      ADD_FAILURE() << wrong;
      break;
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace spanmalloc
