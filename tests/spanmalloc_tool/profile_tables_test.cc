// The profiler's tables as a reader outside the process sees them: a profile
// made of them is, byte for byte, the one that the process makes itself; and
// memory that makes no sense is no more than that.

#include "tools/spanmalloc/profile_tables.h"

#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "allocator/profile/heap_profiler.h"
#include "allocator/profile/sampling_math.h"
#include "tests/support/allocator_world.h"

namespace spanmalloc {
namespace {

using spanmalloc_tool::Memory;
using spanmalloc_tool::ProfileTables;

uint64_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

// This process as another one reads it, but for some words that are said to be
// different.
struct Patched {
  std::map<uint64_t, uint64_t> words;
  // From here on, one bucket behind the other, without an end.
  uint64_t endless = UINT64_MAX;
  uint64_t endless_bucket = 0;  // A bucket that they are like.
  const StatRoot* root = nullptr;

  bool Read(uint64_t address, void* out, size_t n) {
    uint64_t from = address;
    if (address >= endless && address < endless + (uint64_t{1} << 40)) {
      from = endless_bucket + (address - endless) % root->bucket_bytes;
    }
    iovec local = {out, n};
    iovec remote = {reinterpret_cast<void*>(from), n};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) !=
        static_cast<ssize_t>(n)) {
      return false;
    }
    if (from != address && (address - endless) % root->bucket_bytes == 0 &&
        n >= root->bucket_bytes) {
      const uint64_t next = address + root->bucket_bytes;
      std::memcpy(static_cast<char*>(out) + root->bucket_next, &next,
                  sizeof(next));
    }
    for (const auto& [at, value] : words) {
      if (at < address || at + sizeof(value) > address + n) continue;
      std::memcpy(static_cast<char*>(out) + (at - address), &value,
                  sizeof(value));
    }
    return true;
  }
  Memory memory() {
    return {[](void* context, uint64_t address, void* out, size_t n) {
              return static_cast<Patched*>(context)->Read(address, out, n);
            },
            this, false};
  }
};

std::string Message(const ProfileSource& source, ProfileType type) {
  std::vector<uint64_t> work(kLeastProfileMemory / sizeof(uint64_t));
  std::string message;
  EXPECT_TRUE(WriteProfile(source, type, work.data(),
                           work.size() * sizeof(uint64_t),
                           {[](void* context, const void* data, size_t n) {
                              static_cast<std::string*>(context)->append(
                                  static_cast<const char*>(data), n);
                            },
                            &message}));
  return message;
}

constexpr ProfileType kTypes[] = {ProfileType::kHeap, ProfileType::kPeak,
                                  ProfileType::kGrowth,
                                  ProfileType::kLifetimes};

class ProfileTablesTest : public testing::Test {
 protected:
  void SetUp() override { patched_.root = &root_; }

  const Stack* StackOf(uint64_t first, size_t depth) {
    const void* frames[StackTable::kMaxDepth];
    for (size_t i = 0; i < depth; ++i) {
      frames[i] = reinterpret_cast<const void*>(first + 16 * i);
    }
    return const_cast<StackTable&>(profiler_.stacks()).Intern(frames, depth);
  }
  void Alloc(uint64_t address, uint64_t bytes, const Stack* stack,
             const LabelSet* labels) {
    Sample sample;
    sample.requested_bytes = sample.allocated_bytes = bytes;
    sample.time_ns = 1000;
    sample.interval = 4096;
    sample.stack = stack;
    sample.labels = labels;
    ASSERT_TRUE(
        profile_.RecordAlloc(reinterpret_cast<const void*>(address), sample));
  }
  void Free(uint64_t address, uint64_t now_ns = 5000) {
    ASSERT_TRUE(
        profile_.RecordFree(reinterpret_cast<const void*>(address), now_ns));
  }
  // Every kind of record that there is.
  void FillTables() {
    const LabelSet* const labels =
        profiler_.label_table().With(nullptr, "thread", "worker");
    Alloc(0x1000, 100, StackOf(0x400000, 3), labels);
    Alloc(0x2000, 100, StackOf(0x400000, 3), nullptr);
    Alloc(0x3000, 5000, StackOf(0x500000, StackTable::kMaxDepth), labels);
    Alloc(0x4000, 64, nullptr, nullptr);
    Free(0x3000);
    Alloc(0x5000, 32, StackOf(0x400000, 1), nullptr);
    ASSERT_TRUE(profile_.RecordGrowth(StackOf(0x600000, 2), 1 << 21));
    profile_.set_limit(0);
    Alloc(0x6000, 48, StackOf(0x700000, 2), nullptr);
  }
  bool Read(ProfileTables* tables) {
    return tables->Read(patched_.memory(), root_);
  }
  void ExpectUnreadable() {
    ProfileTables tables;
    EXPECT_FALSE(Read(&tables));
    patched_.words.clear();
  }
  void ExpectSame() {
    ProfileTables tables;
    ASSERT_TRUE(Read(&tables));
    ProfileSource own = SourceOf(&profile_);
    own.interval = profiler_.interval();
    for (const ProfileType type : kTypes) {
      // Not EXPECT_EQ: nobody could read what that prints.
      EXPECT_TRUE(Message(tables.Source(), type) == Message(own, type))
          << static_cast<int>(type);
    }
    EXPECT_EQ(tables.totals().samples, profile_.totals().samples);
    EXPECT_EQ(tables.interval(), profiler_.interval());
    EXPECT_EQ(tables.start_ns(), profiler_.start_ns());
  }
  uint64_t NewestBucket() const {
    return *static_cast<const uint64_t*>(root_.profile_lists.address);
  }
  uint64_t WordAt(uint64_t address) const {
    return *reinterpret_cast<const uint64_t*>(address);
  }

  AllocatorWorld world_;
  HeapProfiler& profiler_ = world_.allocator->profiler();
  HeapProfile& profile_ = profiler_.profile();
  StatRoot root_ = world_.allocator->MakeStatRoot(&root_);
  Patched patched_;
};

TEST_F(ProfileTablesTest, NothingAtFirst) {
  ASSERT_TRUE(ProfileTables::IsKnownLayout(root_));
  ExpectSame();
}

TEST_F(ProfileTablesTest, IsWhatTheProcessSays) {
  FillTables();
  ExpectSame();
  ProfileTables tables;
  ASSERT_TRUE(Read(&tables));
  EXPECT_EQ(tables.buckets(BucketKind::kHeap), 6u);
  EXPECT_EQ(tables.buckets(BucketKind::kGrowth), 1u);
  profiler_.SetInterval(12345);
  ExpectSame();
  profiler_.SetInterval(0);
}

TEST_F(ProfileTablesTest, WhatCameBetweenTwoLooks) {
  const Stack* const stack = StackOf(0x400000, 2);
  for (uint64_t i = 1; i <= 5; ++i) Alloc(i << 12, 1 << 20, stack, nullptr);
  Free(1 << 12);
  ProfileTables before, after;
  ASSERT_TRUE(Read(&before));
  for (uint64_t i = 6; i <= 8; ++i) Alloc(i << 12, 1 << 20, stack, nullptr);
  Free(2 << 12, 9000);
  Free(3 << 12, 9000);
  Alloc(20 << 12, 1 << 21, stack, nullptr);
  ASSERT_TRUE(profile_.RecordGrowth(stack, 100));
  ASSERT_TRUE(Read(&after));
  after.Subtract(before);
  struct Sums {
    uint64_t allocated = 0, freed = 0, in_use = 0, lived = 0, grown = 0;
  };
  std::map<uint64_t, Sums> sums;  // By size.
  const ProfileSource source = after.Source();
  for (const BucketKind kind : {BucketKind::kHeap, BucketKind::kGrowth}) {
    source.for_each_bucket(
        source.context, kind,
        [](void* context, const BucketSnapshot& bucket) {
          Sums& sum =
              (*static_cast<std::map<uint64_t, Sums>*>(context))[bucket.size];
          sum.allocated += WholeObjects(bucket.allocated.objects);
          sum.freed += WholeObjects(bucket.freed.objects);
          sum.in_use += WholeObjects(bucket.in_use.objects);
          sum.lived += bucket.lifetimes.sum_ns;
        },
        &sums);
  }
  EXPECT_EQ(sums[1 << 20].allocated, 3u);
  EXPECT_EQ(sums[1 << 20].freed, 2u);
  EXPECT_EQ(sums[1 << 20].in_use, 5u);
  EXPECT_EQ(sums[1 << 20].lived, 16000u);
  EXPECT_EQ(sums[1 << 21].allocated, 1u);
  EXPECT_EQ(sums[0].allocated, 1u);
}

TEST_F(ProfileTablesTest, OtherLayouts) {
  const auto change = [&](auto StatRoot::*field, auto by) {
    StatRoot root = root_;
    root.*field += by;
    return ProfileTables::IsKnownLayout(root);
  };
  EXPECT_FALSE(change(&StatRoot::bucket_sums_words, 1u));
  EXPECT_FALSE(change(&StatRoot::profile_totals_words, 1u));
  EXPECT_FALSE(change(&StatRoot::stack_head_bytes, 8u));
  EXPECT_FALSE(change(&StatRoot::label_head_bytes, 8u));
  EXPECT_FALSE(change(&StatRoot::bucket_bytes, uint64_t{1} << 20));
  EXPECT_FALSE(change(&StatRoot::bucket_bytes, -uint64_t{8}));
  EXPECT_FALSE(change(&StatRoot::bucket_next, 1u << 20));
  EXPECT_FALSE(change(&StatRoot::bucket_stack, UINT32_MAX - 100));
  EXPECT_FALSE(change(&StatRoot::bucket_labels, 1u << 20));
  EXPECT_FALSE(change(&StatRoot::bucket_size, 1u << 20));
  EXPECT_FALSE(change(&StatRoot::bucket_sums, 8u));
}

TEST_F(ProfileTablesTest, ListsThatDoNotEnd) {
  FillTables();
  const uint64_t first = NewestBucket();
  const uint64_t second = WordAt(first + root_.bucket_next);
  patched_.words[first + root_.bucket_next] = first;
  ExpectUnreadable();
  patched_.words[second + root_.bucket_next] = first;
  ExpectUnreadable();
  patched_.endless = uint64_t{1} << 50;
  patched_.endless_bucket = first;
  patched_.words[first + root_.bucket_next] = patched_.endless;
  ExpectUnreadable();
}

TEST_F(ProfileTablesTest, AddressesThatLeadNowhere) {
  FillTables();
  const uint64_t bucket = NewestBucket();
  for (const uint64_t nowhere :
       {uint64_t{1}, uint64_t{1} << 46, UINT64_MAX, UINT64_MAX - 7}) {
    patched_.words[bucket + root_.bucket_next] = nowhere;
    ExpectUnreadable();
    patched_.words[bucket + root_.bucket_stack] = nowhere;
    ExpectUnreadable();
    patched_.words[bucket + root_.bucket_labels] = nowhere;
    ExpectUnreadable();
    patched_.words[AddressOf(root_.profile_lists.address)] = nowhere;
    ExpectUnreadable();
  }
  patched_.words[bucket + root_.bucket_stack] = 0;
  ExpectUnreadable();
}

TEST_F(ProfileTablesTest, StacksAndLabelsOfAnySize) {
  const LabelSet* const labels =
      profiler_.label_table().With(nullptr, "key", "value");
  const Stack* const stack = StackOf(0x400000, 3);
  Alloc(0x1000, 100, stack, labels);
  ExpectSame();
  for (const uint64_t depth :
       {uint64_t{StackTable::kMaxDepth + 1}, uint64_t{1} << 61, UINT64_MAX}) {
    patched_.words[AddressOf(stack) + offsetof(Stack, depth)] = depth;
    ExpectUnreadable();
  }
  // The count, and in the upper half the bytes of text.
  const uint64_t counts = AddressOf(labels) + offsetof(LabelSet, count);
  for (const uint64_t both :
       {uint64_t{17} | uint64_t{8} << 32, uint64_t{UINT32_MAX},
        uint64_t{1} | uint64_t{7} << 32, uint64_t{1} | uint64_t{9} << 32,
        uint64_t{1} | uint64_t{UINT32_MAX} << 32, UINT64_MAX}) {
    patched_.words[counts] = both;
    ExpectUnreadable();
  }
  // The sizes of the texts.
  patched_.words[AddressOf(labels) + sizeof(LabelSet)] = UINT64_MAX;
  ExpectUnreadable();
  patched_.words[AddressOf(labels) + sizeof(LabelSet)] = 0;
  ExpectUnreadable();
}

// A writer that was stopped, or lost in the middle of a bucket.
TEST_F(ProfileTablesTest, TornRecordIsTakenAsItIs) {
  FillTables();
  const uint64_t sums = NewestBucket() + root_.bucket_sums;
  patched_.words[sums] = WordAt(sums) + 1;
  ExpectSame();
}

// Whatever is there, the tool ends, and if it can read it writes a profile.
TEST_F(ProfileTablesTest, AnyWordMayBeAnything) {
  FillTables();
  std::vector<std::pair<uint64_t, uint64_t>> records;  // And their bytes.
  for (uint64_t bucket = NewestBucket(); bucket != 0;
       bucket = WordAt(bucket + root_.bucket_next)) {
    records.push_back({bucket, root_.bucket_bytes});
    const uint64_t stack = WordAt(bucket + root_.bucket_stack);
    const uint64_t labels = WordAt(bucket + root_.bucket_labels);
    records.push_back({stack, sizeof(Stack)});
    if (labels != 0) records.push_back({labels, 40});
  }
  records.push_back({AddressOf(root_.profile_pool), root_.bucket_bytes});
  records.push_back({AddressOf(root_.profile_totals), 64});
  Random random(1);
  int readable = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto [record, bytes] = records[random.Next() % records.size()];
    uint64_t value = random.Next();
    if (value % 4 == 0) value = 0;
    if (value % 4 == 1) value = UINT64_MAX;
    if (value % 4 == 2) {
      value = records[random.Next() % records.size()].first;
    }
    patched_.words = {{record + random.Next() % (bytes / 8) * 8, value}};
    ProfileTables tables, others;
    if (!Read(&tables)) continue;
    ++readable;
    for (const ProfileType type : kTypes) Message(tables.Source(), type);
    patched_.words.clear();
    ASSERT_TRUE(Read(&others));
    others.Subtract(tables);
    Message(others.Source(), ProfileType::kHeap);
  }
  EXPECT_GT(readable, 100);
  EXPECT_LT(readable, 2900);
}

}  // namespace
}  // namespace spanmalloc
