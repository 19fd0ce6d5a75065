// Profiles of this process as other people's programs read them: pprof itself,
// and protoc with a description of the message.

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "allocator/profile/gzip_writer.h"
#include "allocator/profile/profile_proto.h"
#include "tests/support/fake_system.h"

// Functions of this program, in which memory was allocated.
extern "C" {
void __attribute__((noinline)) MakeGarbage() { asm volatile(""); }
void __attribute__((noinline)) KeepForever() { asm volatile(""); }
}

namespace spanmalloc {
namespace {

// The fields that are written, in our words: what pprof's proto/profile.proto
// has under these numbers.
constexpr char kDescription[] = R"(
syntax = "proto3";
message ValueType { int64 type = 1; int64 unit = 2; }
message Label { int64 key = 1; int64 str = 2; int64 num = 3;
                int64 num_unit = 4; }
message Sample { repeated uint64 location_id = 1; repeated int64 value = 2;
                 repeated Label label = 3; }
message Mapping { uint64 id = 1; uint64 memory_start = 2;
                  uint64 memory_limit = 3; uint64 file_offset = 4;
                  int64 filename = 5; int64 build_id = 6; }
message Line { uint64 function_id = 1; int64 line = 2; }
message Location { uint64 id = 1; uint64 mapping_id = 2; uint64 address = 3;
                   repeated Line line = 4; }
message Function { uint64 id = 1; int64 name = 2; }
message Profile {
  repeated ValueType sample_type = 1;
  repeated Sample sample = 2;
  repeated Mapping mapping = 3;
  repeated Location location = 4;
  repeated Function function = 5;
  repeated string string_table = 6;
  int64 time_nanos = 9;
  int64 duration_nanos = 10;
  ValueType period_type = 11;
  int64 period = 12;
  int64 default_sample_type = 14;
}
)";

class ProfileDecodersTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(folder_), nullptr);
    const LabelSet* const labels =
        labels_.With(labels_.With(nullptr, "thread", "worker"), "tenant",
                     "\xe2\x82\xac \xff");
    Alloc(16, 1000, AddressIn(&MakeGarbage), labels);
    ASSERT_TRUE(profile_.RecordFree(reinterpret_cast<void*>(16), 5000000));
    Alloc(16, 2000, AddressIn(&KeepForever), nullptr);
    Alloc(32, 3000, nullptr, nullptr);
    ASSERT_TRUE(profile_.RecordGrowth(stacks_.unknown(), 1 << 21));
  }
  void TearDown() override {
    EXPECT_EQ(system((std::string("rm -r ") + folder_).c_str()), 0);
  }

  static const void* AddressIn(void (*function)()) {
    return reinterpret_cast<const char*>(function) + 1;
  }

  void Alloc(uintptr_t address, uint64_t size, const void* frame,
             const LabelSet* labels) {
    Sample sample;
    sample.requested_bytes = sample.allocated_bytes = size;
    sample.stack = stacks_.Intern(&frame, frame != nullptr);
    sample.labels = labels;
    ASSERT_TRUE(
        profile_.RecordAlloc(reinterpret_cast<const void*>(address), sample));
  }

  // Writes the profile to a file in the folder, and returns its path.
  std::string Write(ProfileType type, const char* name) {
    const std::string path = std::string(folder_) + "/" + name;
    std::ofstream file(path, std::ios::binary);
    std::vector<uint64_t> for_mappings(8192), memory(16384);
    MappingTable mappings(for_mappings.data(), for_mappings.size() * 8);
    mappings.ReadOwn();
    ProfileSource source = SourceOf(&profile_);
    source.mappings = mappings.begin();
    source.mapping_count = mappings.size();
    source.interval = 4096;
    source.time_ns = 1700000000000000000;
    source.duration_ns = 3000000000;
    const auto writer = std::make_unique<GzipWriter>(ByteSink{
        [](void* context, const void* data, size_t n) {
          static_cast<std::ofstream*>(context)->write(
              static_cast<const char*>(data), static_cast<std::streamsize>(n));
        },
        &file});
    EXPECT_TRUE(WriteProfile(source, type, memory.data(), memory.size() * 8,
                             writer->sink()));
    writer->Finish();
    return path;
  }

  // What the command prints, on stdout and stderr. It has to end well.
  static std::string Run(const std::string& command) {
    FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return "";
    std::string out;
    char part[4096];
    while (const size_t got = fread(part, 1, sizeof(part), pipe)) {
      out.append(part, got);
    }
    EXPECT_EQ(pclose(pipe), 0) << command << "\n" << out;
    return out;
  }
  static bool Has(const char* command) {
    return system((std::string(command) + " > /dev/null 2>&1").c_str()) == 0;
  }
  static void ExpectContains(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }

  // What pprof says of a file, offline, without anything of the user's.
  std::string Pprof(const std::string& arguments) {
    return Run("PPROF_TMPDIR=" + std::string(folder_) + " HOME=" + folder_ +
               " go tool pprof " + arguments);
  }

  char folder_[40] = "/tmp/spanmalloc-profile-XXXXXX";
  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  StackTable stacks_{&arena_};
  LabelTable labels_{&arena_};
  HeapProfile profile_{&arena_, &stacks_};
};

TEST_F(ProfileDecodersTest, PprofReadsEveryType) {
  if (!Has("go tool -n pprof")) GTEST_SKIP() << "no go tool pprof";
  const std::string heap =
      Pprof("-raw " + Write(ProfileType::kHeap, "heap.pb.gz"));
  ExpectContains(heap, "PeriodType: space bytes");
  ExpectContains(heap, "Period: 4096");
  ExpectContains(heap, "Duration: 3");
  ExpectContains(heap,
                 "alloc_objects/count alloc_space/bytes inuse_objects/count "
                 "inuse_space/bytes[dflt]");
  ExpectContains(heap, "tenant:[\xe2\x82\xac ?]");
  ExpectContains(heap, "thread:[worker]");
  ExpectContains(heap, "bytes:[1000 bytes]");
  ExpectContains(heap, "[stack not known]");
  const std::string peak =
      Pprof("-raw " + Write(ProfileType::kPeak, "peak.pb.gz"));
  ExpectContains(peak, "peak_objects/count peak_space/bytes[dflt]");
  const std::string growth =
      Pprof("-raw " + Write(ProfileType::kGrowth, "growth.pb.gz"));
  ExpectContains(growth, "growth_objects/count growth_space/bytes[dflt]");
  ExpectContains(growth, "2097152");
  const std::string lifetimes =
      Pprof("-raw " + Write(ProfileType::kLifetimes, "lifetimes.pb.gz"));
  ExpectContains(lifetimes,
                 "freed_objects/count freed_space/bytes[dflt] "
                 "lifetime/microseconds");
  ExpectContains(lifetimes, "lifetime_avg:[5000000 nanoseconds]");
}

TEST_F(ProfileDecodersTest, PprofSumsUp) {
  if (!Has("go tool -n pprof")) GTEST_SKIP() << "no go tool pprof";
  const std::string path = Write(ProfileType::kHeap, "heap.pb.gz");
  const std::string in_use = Pprof("-symbolize=none -top -addresses " + path);
  ExpectContains(in_use, "Type: inuse_space");
  ExpectContains(in_use, "Total samples = 4.88kB");  // 2,000 + 3,000.
  ExpectContains(in_use, "Build ID: ");
  const std::string all =
      Pprof("-symbolize=none -sample_index=alloc_space -top " + path);
  ExpectContains(all, "Total samples = 5.86kB");
  const std::string tags =
      Pprof("-symbolize=none -sample_index=alloc_objects -tags " + path);
  ExpectContains(tags, "worker");
}

// The names of functions are in reach: by mapping and offset from the file
// that the profile names.
TEST_F(ProfileDecodersTest, PlacesInFiles) {
  if (!Has("go tool -n pprof") || !Has("addr2line --version")) {
    GTEST_SKIP() << "no go tool pprof, or no addr2line";
  }
  const std::string raw =
      Pprof("-symbolize=none -raw " + Write(ProfileType::kHeap, "heap.pb.gz"));
  // "1: 0x1000/0x2000/0x500 file ..."
  const size_t mappings = raw.find("Mappings\n1: ");
  ASSERT_NE(mappings, std::string::npos) << raw;
  uint64_t start = 0, offset = 0;
  char file[512] = "";
  ASSERT_EQ(sscanf(raw.c_str() + mappings, "Mappings 1: %lx/0x%*x/%lx %511s",
                   &start, &offset, file),
            3);
  std::string names;
  // "2: 0x1234 M=1"
  for (size_t at = raw.find("Locations"); at < mappings;
       at = raw.find('\n', at) + 1) {
    uint64_t address = 0, mapping = 0;
    if (sscanf(raw.c_str() + at, " %*u: %lx M=%lu", &address, &mapping) != 2 ||
        mapping != 1) {
      continue;
    }
    char place[32];
    snprintf(place, sizeof(place), " 0x%lx", address - start + offset);
    names += Run("addr2line -f -e '" + std::string(file) + "'" + place);
  }
  ExpectContains(names, "MakeGarbage");
  ExpectContains(names, "KeepForever");
}

TEST_F(ProfileDecodersTest, ProtocReadsEveryType) {
  if (!Has("protoc --version") || !Has("gzip --version")) {
    GTEST_SKIP() << "no protoc, or no gzip";
  }
  std::ofstream(std::string(folder_) + "/profile.proto") << kDescription;
  const auto decode = [&](ProfileType type, const char* name) {
    return Run("gzip -dc < " + Write(type, name) + " | protoc -I" + folder_ +
               " --decode=Profile profile.proto");
  };
  const std::string heap = decode(ProfileType::kHeap, "heap.pb.gz");
  ExpectContains(heap, "period: 4096");
  ExpectContains(heap, "duration_nanos: 3000000000");
  ExpectContains(heap, "string_table: \"\\342\\202\\254 ?\"");
  ExpectContains(heap, "  value: 1\n  value: 1000\n  value: 0\n  value: 0\n");
  ExpectContains(heap,
                 "  value: 1\n  value: 2000\n  value: 1\n  value: 2000\n");
  ExpectContains(decode(ProfileType::kPeak, "peak.pb.gz"),
                 "string_table: \"peak_space\"");
  ExpectContains(decode(ProfileType::kGrowth, "growth.pb.gz"),
                 "  value: 1\n  value: 2097152\n");
  ExpectContains(decode(ProfileType::kLifetimes, "lifetimes.pb.gz"),
                 "  value: 1\n  value: 1000\n  value: 5000\n");
  // A number in place of a name would be a field that is not described.
  for (char digit = '1'; digit <= '9'; ++digit) {
    EXPECT_EQ(heap.find(std::string("\n") + digit), std::string::npos);
    EXPECT_EQ(heap.find(std::string("\n  ") + digit), std::string::npos);
  }
}

}  // namespace
}  // namespace spanmalloc
