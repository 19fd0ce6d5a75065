// Profiles as messages: every type, labels, mappings, stacks that are not
// known, little memory, changes meanwhile.

#include "allocator/profile/profile_proto.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/profile/decoded_profile.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

using Strings = std::map<std::string, std::string>;
using Type = std::pair<std::string, std::string>;

const void* Address(uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}

class ProfileProtoTest : public testing::Test {
 protected:
  void Alloc(uintptr_t address, uint64_t size,
             const std::vector<uintptr_t>& frames,
             const LabelSet* labels = nullptr, uint64_t time_ns = 0) {
    std::vector<const void*> pointers;
    for (uintptr_t frame : frames) pointers.push_back(Address(frame));
    Sample sample;
    sample.requested_bytes = size;
    sample.allocated_bytes = size;
    sample.time_ns = time_ns;
    sample.stack = stacks_.Intern(pointers.data(), pointers.size());
    sample.labels = labels;
    ASSERT_TRUE(profile_.RecordAlloc(Address(address), sample));
  }

  std::string Write(ProfileType type, size_t bytes = 1 << 20) {
    std::string out;
    std::vector<uint64_t> memory(bytes / sizeof(uint64_t));
    source_.mappings = mappings_.data();
    source_.mapping_count = mappings_.size();
    const ByteSink sink = {[](void* context, const void* data, size_t n) {
                             static_cast<std::string*>(context)->append(
                                 static_cast<const char*>(data), n);
                           },
                           &out};
    EXPECT_TRUE(WriteProfile(source_, type, memory.data(), bytes, sink));
    return out;
  }
  DecodedProfile Read(ProfileType type, size_t bytes = 1 << 20) {
    return DecodedProfile(Write(type, bytes));
  }
  void AddMapping(uint64_t start, uint64_t limit, const char* name,
                  const std::string& build_id = "") {
    Mapping mapping = {};
    mapping.start = start;
    mapping.limit = limit;
    mapping.offset = 0x1000;
    mapping.name = {name, strlen(name)};
    mapping.build_id_bytes = build_id.size();
    memcpy(mapping.build_id, build_id.data(), build_id.size());
    mappings_.push_back(mapping);
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  StackTable stacks_{&arena_};
  LabelTable labels_{&arena_};
  HeapProfile profile_{&arena_, &stacks_};
  std::vector<Mapping> mappings_;
  ProfileSource source_ = SourceOf(&profile_);
};

TEST_F(ProfileProtoTest, NothingRecorded) {
  for (const ProfileType type :
       {ProfileType::kHeap, ProfileType::kPeak, ProfileType::kGrowth,
        ProfileType::kLifetimes}) {
    const DecodedProfile profile = Read(type);
    EXPECT_TRUE(profile.samples.empty());
    EXPECT_TRUE(profile.mappings.empty());
  }
}

TEST_F(ProfileProtoTest, Types) {
  source_.interval = 512 << 10;
  source_.time_ns = 1700000000000000000;
  source_.duration_ns = 5000000000;
  const DecodedProfile heap = Read(ProfileType::kHeap);
  EXPECT_EQ(heap.types, (std::vector<Type>{{"alloc_objects", "count"},
                                           {"alloc_space", "bytes"},
                                           {"inuse_objects", "count"},
                                           {"inuse_space", "bytes"}}));
  EXPECT_EQ(heap.default_type, "inuse_space");
  EXPECT_EQ(heap.period_type, Type("space", "bytes"));
  EXPECT_EQ(heap.period, 512 << 10);
  EXPECT_EQ(heap.time_ns, 1700000000000000000);
  EXPECT_EQ(heap.duration_ns, 5000000000);
  const DecodedProfile peak = Read(ProfileType::kPeak);
  EXPECT_EQ(peak.types, (std::vector<Type>{{"peak_objects", "count"},
                                           {"peak_space", "bytes"}}));
  EXPECT_EQ(peak.default_type, "peak_space");
  const DecodedProfile growth = Read(ProfileType::kGrowth);
  EXPECT_EQ(growth.types, (std::vector<Type>{{"growth_objects", "count"},
                                             {"growth_space", "bytes"}}));
  EXPECT_EQ(growth.default_type, "growth_space");
  const DecodedProfile lifetimes = Read(ProfileType::kLifetimes);
  EXPECT_EQ(lifetimes.types, (std::vector<Type>{{"freed_objects", "count"},
                                                {"freed_space", "bytes"},
                                                {"lifetime", "microseconds"}}));
  EXPECT_EQ(lifetimes.default_type, "freed_space");
}

TEST_F(ProfileProtoTest, OneBucketInEveryType) {
  AddMapping(0x1000, 0x3000, "/bin/a", "\x01\xab\xff");
  AddMapping(0x4000, 0x5000, "/lib/b.so");
  Alloc(16, 100, {0x1234, 0x2000, 0x4001, 0x9000}, nullptr, 1000000);
  Alloc(32, 100, {0x1234, 0x2000, 0x4001, 0x9000}, nullptr, 1000000);
  ASSERT_TRUE(profile_.RecordFree(Address(16), 3000000));
  ASSERT_TRUE(profile_.RecordGrowth(stacks_.unknown(), 4096));

  const DecodedProfile heap = Read(ProfileType::kHeap);
  ASSERT_EQ(heap.samples.size(), 1u);
  const DecodedProfile::Sample& sample = heap.samples[0];
  EXPECT_EQ(sample.values, (std::vector<int64_t>{2, 200, 1, 100}));
  EXPECT_TRUE(sample.labels.empty());
  ASSERT_EQ(sample.numbers.size(), 1u);
  EXPECT_EQ(sample.numbers.at("bytes").first, 100);
  EXPECT_EQ(sample.numbers.at("bytes").second, "bytes");
  ASSERT_EQ(sample.stack.size(), 4u);
  EXPECT_EQ(sample.stack[0].address, 0x1233u);
  EXPECT_EQ(sample.stack[0].mapping, 1u);
  EXPECT_EQ(sample.stack[1].address, 0x1fffu);
  EXPECT_EQ(sample.stack[2].address, 0x4000u);
  EXPECT_EQ(sample.stack[2].mapping, 2u);
  EXPECT_EQ(sample.stack[3].address, 0x8fffu);
  EXPECT_EQ(sample.stack[3].mapping, 0u);
  ASSERT_EQ(heap.mappings.size(), 2u);
  EXPECT_EQ(heap.mappings.at(1).start, 0x1000u);
  EXPECT_EQ(heap.mappings.at(1).limit, 0x3000u);
  EXPECT_EQ(heap.mappings.at(1).offset, 0x1000u);
  EXPECT_EQ(heap.mappings.at(1).name, "/bin/a");
  EXPECT_EQ(heap.mappings.at(1).build_id, "01abff");
  EXPECT_EQ(heap.mappings.at(2).build_id, "");

  const DecodedProfile peak = Read(ProfileType::kPeak);
  ASSERT_EQ(peak.samples.size(), 1u);
  EXPECT_EQ(peak.samples[0].values, (std::vector<int64_t>{2, 200}));
  const DecodedProfile lifetimes = Read(ProfileType::kLifetimes);
  ASSERT_EQ(lifetimes.samples.size(), 1u);
  EXPECT_EQ(lifetimes.samples[0].values, (std::vector<int64_t>{1, 100, 2000}));
  for (const char* key : {"lifetime_min", "lifetime_avg", "lifetime_max"}) {
    EXPECT_EQ(lifetimes.samples[0].numbers.at(key).first, 2000000);
    EXPECT_EQ(lifetimes.samples[0].numbers.at(key).second, "nanoseconds");
  }
  const DecodedProfile growth = Read(ProfileType::kGrowth);
  ASSERT_EQ(growth.samples.size(), 1u);
  EXPECT_EQ(growth.samples[0].values, (std::vector<int64_t>{1, 4096}));
  EXPECT_TRUE(growth.samples[0].numbers.empty());
  ASSERT_EQ(growth.samples[0].stack.size(), 1u);
  EXPECT_EQ(growth.samples[0].stack[0].function, "[stack not known]");
}

// A bucket that has nothing of a type is no sample of it.
TEST_F(ProfileProtoTest, EmptyBucketsAreLeftOut) {
  Alloc(16, 16, {0x1000});
  profile_.RecordFree(Address(16), 0);
  profile_.ResetPeak();
  Alloc(16, 32, {0x2000});
  const DecodedProfile peak = Read(ProfileType::kPeak);
  ASSERT_EQ(peak.samples.size(), 1u);
  EXPECT_EQ(peak.samples[0].values[1], 32);
  const DecodedProfile lifetimes = Read(ProfileType::kLifetimes);
  ASSERT_EQ(lifetimes.samples.size(), 1u);
  EXPECT_EQ(lifetimes.samples[0].values[1], 16);
  EXPECT_EQ(Read(ProfileType::kHeap).samples.size(), 2u);
}

TEST_F(ProfileProtoTest, NumbersThatAreTooLarge) {
  Alloc(16, uint64_t{1} << 63, {0x1000});
  profile_.RecordFree(Address(16), UINT64_MAX);
  const DecodedProfile heap = Read(ProfileType::kHeap);
  EXPECT_EQ(heap.samples[0].values, (std::vector<int64_t>{1, INT64_MAX, 0, 0}));
  EXPECT_EQ(heap.samples[0].numbers.at("bytes").first, INT64_MAX);
  const DecodedProfile lifetimes = Read(ProfileType::kLifetimes);
  EXPECT_EQ(lifetimes.samples[0].numbers.at("lifetime_max").first, INT64_MAX);
}

TEST_F(ProfileProtoTest, Labels) {
  const LabelSet* const thread = labels_.With(nullptr, "thread", "main");
  const LabelSet* const both = labels_.With(thread, "request", "a\xff/b");
  Alloc(16, 16, {0x1000}, thread);
  Alloc(32, 16, {0x1000}, both);
  Alloc(48, 16, {0x1000});
  Alloc(64, 32, {0x2000}, both);
  const DecodedProfile profile = Read(ProfileType::kHeap);
  std::map<Strings, int> seen;
  for (const DecodedProfile::Sample& sample : profile.samples) {
    ++seen[sample.labels];
    EXPECT_EQ(sample.numbers.count("bytes"), 1u);
  }
  EXPECT_EQ(seen, (std::map<Strings, int>{
                      {{}, 1},
                      {{{"thread", "main"}}, 1},
                      {{{"thread", "main"}, {"request", "a?/b"}}, 2}}));
}

// Each set's strings are written once, unless very many others come between.
TEST_F(ProfileProtoTest, ManyLabels) {
  const size_t before = Read(ProfileType::kHeap).strings;
  uintptr_t address = 0;
  for (int times = 1; times <= 5; ++times) {
    for (int i = 0; i < 50; ++i) {
      const std::string value = std::to_string(i);
      Alloc(address += 16, 16, {static_cast<uintptr_t>(times) * 4096},
            labels_.With(nullptr, "key", value.c_str()));
    }
  }
  std::map<std::string, int> seen;
  DecodedProfile profile = Read(ProfileType::kHeap);
  for (const auto& sample : profile.samples) ++seen[sample.labels.at("key")];
  EXPECT_EQ(seen.size(), 50u);
  for (const auto& [value, times] : seen) EXPECT_EQ(times, 5) << value;
  EXPECT_LE(profile.strings, before + 5 * 100);
  for (int i = 0; i < 2000; ++i) {
    Alloc(address += 16, 16, {0x1000},
          labels_.With(nullptr, "more", std::to_string(i).c_str()));
  }
  std::set<std::string> values;
  profile = Read(ProfileType::kHeap);
  for (const auto& sample : profile.samples) {
    const auto it = sample.labels.find("more");
    if (it != sample.labels.end()) values.insert(it->second);
  }
  EXPECT_EQ(values.size(), 2000u);
}

TEST_F(ProfileProtoTest, TheLargestSample) {
  const LabelSet* labels = nullptr;
  for (char c = 'a'; c < 'a' + 16; ++c) {
    labels = labels_.With(labels, std::string(64, c).c_str(),
                          std::string(128, c).c_str());
  }
  std::vector<uintptr_t> frames;
  for (uintptr_t i = 0; i < 64; ++i) frames.push_back(UINT64_MAX / 2 - i * 99);
  Alloc(16, uint64_t{1} << 62, frames, labels);
  profile_.RecordFree(Address(16), uint64_t{1} << 62);
  for (const ProfileType type :
       {ProfileType::kHeap, ProfileType::kPeak, ProfileType::kLifetimes}) {
    const DecodedProfile profile = Read(type);
    ASSERT_EQ(profile.samples.size(), 1u);
    EXPECT_EQ(profile.samples[0].stack.size(), 64u);
    EXPECT_EQ(profile.samples[0].labels.size(), 16u);
  }
}

TEST_F(ProfileProtoTest, StacksWithoutFrames) {
  stacks_.set_limit(0);
  Alloc(16, 16, {0x1000});
  Alloc(32, 16, {});
  const DecodedProfile profile = Read(ProfileType::kHeap);
  ASSERT_EQ(profile.samples.size(), 2u);
  std::set<std::string> names;
  for (const auto& sample : profile.samples) {
    ASSERT_EQ(sample.stack.size(), 1u);
    EXPECT_EQ(sample.stack[0].address, 0u);
    names.insert(sample.stack[0].function);
  }
  EXPECT_EQ(names, (std::set<std::string>{"[no room for the stack]",
                                          "[stack not known]"}));
}

TEST_F(ProfileProtoTest, AddressesAtTheEndsOfMappings) {
  AddMapping(0x1000, 0x2000, "/a");
  AddMapping(0x2000, 0x3000, "/b");
  AddMapping(0x4000, 0x5000, "/c");
  // The address before, in each case.
  Alloc(16, 16,
        {0x1000, 0x1001, 0x2000, 0x2001, 0x3000, 0x3001, 0x4000, 0x4001, 0x5000,
         0x5001, 0, 1});
  const DecodedProfile profile = Read(ProfileType::kHeap);
  std::vector<uint64_t> mappings;
  for (const auto& location : profile.samples[0].stack) {
    mappings.push_back(location.mapping);
  }
  EXPECT_EQ(mappings,
            (std::vector<uint64_t>{0, 1, 1, 2, 2, 0, 0, 3, 3, 0, 0, 0}));
}

TEST_F(ProfileProtoTest, TextThatIsNoUtf8) {
  AddMapping(0x1000, 0x2000, "/\xe2\x82\xac/\x80\xff/\xe2\x82");
  const std::string heads(1000, '\xc3');
  AddMapping(0x2000, 0x3000, heads.c_str());
  const DecodedProfile profile = Read(ProfileType::kHeap);
  EXPECT_EQ(profile.mappings.at(1).name, "/\xe2\x82\xac/\?\?/\?\?");
  EXPECT_EQ(profile.mappings.at(2).name, std::string(1000, '?'));
}

// More addresses than the memory can hold at once.
TEST_F(ProfileProtoTest, LittleMemory) {
  std::mt19937_64 random(1);
  std::map<std::vector<uint64_t>, int64_t> expected;
  std::set<uint64_t> addresses;
  for (int i = 0; i < 300; ++i) {
    AddMapping(0x10000u * (i + 1), 0x10000u * (i + 1) + 0x8000, "/lib/x.so");
  }
  for (uintptr_t i = 1; i <= 1500; ++i) {
    std::vector<uintptr_t> frames(random() % 30 + 1);
    std::vector<uint64_t> stack;
    for (uintptr_t& frame : frames) {
      frame = 0x10000 + random() % (310 * 0x10000);
      stack.push_back(frame - 1);
      addresses.insert(frame - 1);
    }
    Alloc(i * 16, 16, frames);
    expected[stack] += 16;
  }
  const size_t least =
      kLeastProfileMemory + mappings_.size() * sizeof(uint64_t);
  for (size_t bytes : {least, least + 8, size_t{200} << 10, size_t{4} << 20}) {
    const DecodedProfile profile = Read(ProfileType::kHeap, bytes);
    EXPECT_EQ(profile.samples.size(), expected.size());
    for (const auto& sample : profile.samples) {
      std::vector<uint64_t> stack;
      for (const auto& location : sample.stack) {
        stack.push_back(location.address);
      }
      EXPECT_EQ(expected.at(stack), sample.values[3]);
    }
    // Those with a name besides.
    EXPECT_EQ(profile.locations.size(), addresses.size() + 2);
  }
}

TEST_F(ProfileProtoTest, TooLittleMemory) {
  size_t written = 0;
  const ByteSink sink = {[](void* context, const void*, size_t n) {
                           *static_cast<size_t*>(context) += n;
                         },
                         &written};
  std::vector<uint64_t> memory(kLeastProfileMemory / 8);
  EXPECT_FALSE(WriteProfile(source_, ProfileType::kHeap, memory.data(),
                            kLeastProfileMemory - 8, sink));
  AddMapping(0x1000, 0x2000, "/a");
  source_.mappings = mappings_.data();
  source_.mapping_count = 1;
  EXPECT_FALSE(WriteProfile(source_, ProfileType::kHeap, memory.data(),
                            kLeastProfileMemory, sink));
  EXPECT_EQ(written, 0u);
}

// Every profile that is written while samples go on is whole: the decoder
// checks that all it refers to is there.
TEST_F(ProfileProtoTest, WhileSamplesGoOn) {
  std::atomic<bool> done{false};
  std::thread thread([&] {
    for (uintptr_t i = 1; !done.load() && i < 200000; ++i) {
      Alloc(i * 16, 16 << i % 4, {i % 5000 * 64 + 64, i % 777 * 4096},
            labels_.With(nullptr, "key", std::to_string(i % 100).c_str()), i);
      if (i % 3 != 0) profile_.RecordFree(Address(i * 16), i);
    }
  });
  for (int i = 0; i < 8; ++i) {
    for (const ProfileType type :
         {ProfileType::kHeap, ProfileType::kPeak, ProfileType::kLifetimes}) {
      Read(type, kLeastProfileMemory);
    }
  }
  done.store(true);
  thread.join();
}

}  // namespace
}  // namespace spanmalloc
