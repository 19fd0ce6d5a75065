#include "allocator/profile/frame_names.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

extern "C" __attribute__((noinline)) int AFunctionWithAName(int i) {
  asm volatile("");
  return i + 1;
}

namespace spanmalloc {
namespace {

alignas(Mapping) char memory[1 << 20];

// As a return address into it.
const void* Inside(int (*function)(int)) {
  return reinterpret_cast<const char*>(function) + 2;
}

std::string String(Text text) { return std::string(text.start, text.bytes); }

bool ReadOwnMemory(void* other_build, uint64_t address, void* out, size_t n) {
  memcpy(out, reinterpret_cast<const void*>(address), n);
  // No other part of a file that is looked at is that long.
  constexpr size_t kBuildIdBytes = 20;
  if (n == kBuildIdBytes && other_build != nullptr) {
    *static_cast<char*>(out) ^= 1;
  }
  return true;
}

void ReadMappings(void* other_build, MappingTable* mappings) {
  std::ifstream lines("/proc/self/maps");
  for (std::string line; std::getline(lines, line);) {
    if (line.find('[') == std::string::npos) {
      mappings->AddLine(line.c_str(), {ReadOwnMemory, other_build});
    }
  }
}

TEST(FrameNamesTest, FunctionsOfTwoFiles) {
  MappingTable mappings(memory, sizeof(memory));
  mappings.ReadOwn();
  FrameNames names(&mappings, 4);
  const void* const own = Inside(AFunctionWithAName);
  const void* const foreign = reinterpret_cast<char*>(&a64l) + 2;
  const void* const nowhere = reinterpret_cast<void*>(0x10);
  const void* const frames[] = {nowhere, foreign, own, own};
  ASSERT_TRUE(names.Add(frames, 2));
  ASSERT_TRUE(names.Add(frames + 2, 2));
  EXPECT_FALSE(names.Add(frames, 1));
  names.Resolve();
  EXPECT_EQ(names.size(), 3u);
  const FrameName* name = names.Find(own);
  ASSERT_NE(name, nullptr);
  EXPECT_EQ(String(name->function()), "AFunctionWithAName");
  EXPECT_EQ(name->code.address - name->code.start, 1u);
  EXPECT_NE(String(name->module()).find("frame_names_test"), std::string::npos);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(own) - 1, name->address);
  name = names.Find(foreign);
  ASSERT_NE(name, nullptr);
  EXPECT_EQ(String(name->function()), "a64l");
  EXPECT_NE(String(name->module()).find("libc"), std::string::npos);
  name = names.Find(nowhere);
  ASSERT_NE(name, nullptr);
  EXPECT_EQ(String(name->function()), "");
  EXPECT_EQ(String(name->module()), "");
  EXPECT_EQ(names.Find(reinterpret_cast<void*>(0x20)), nullptr);
}

TEST(FrameNamesTest, NoNamesOfAFileThatIsAnotherOneNow) {
  const void* const own = Inside(AFunctionWithAName);
  char other_build = 0;
  for (void* const which :
       {static_cast<void*>(nullptr), static_cast<void*>(&other_build)}) {
    MappingTable mappings(memory, sizeof(memory));
    ReadMappings(which, &mappings);
    FrameNames names(&mappings, 1);
    ASSERT_TRUE(names.Add(&own, 1));
    names.Resolve();
    const FrameName* const name = names.Find(own);
    ASSERT_NE(name, nullptr);
    if (name->mapping != nullptr && name->mapping->build_id_bytes != 20) {
      GTEST_SKIP() << "built without a build ID of 20 bytes";
    }
    EXPECT_EQ(String(name->function()),
              which == nullptr ? "AFunctionWithAName" : "");
    EXPECT_NE(String(name->module()), "");
  }
}

}  // namespace
}  // namespace spanmalloc
