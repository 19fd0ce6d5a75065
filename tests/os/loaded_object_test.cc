#include "allocator/os/loaded_object.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>

#include "allocator/os/readable_memory.h"
#include "tests/support/guarded_pages.h"

namespace spanmalloc {
namespace {

int a_variable = 1;
const char kConstant[] = "constant";

uintptr_t Address(const void* p) { return reinterpret_cast<uintptr_t>(p); }
uintptr_t OfThisProgram() {
  return reinterpret_cast<uintptr_t>(&OfThisProgram);
}

TEST(LoadedObjectTest, ThisProgramAndTheCLibrary) {
  LoadedObject program, library, again;
  ASSERT_TRUE(FindLoadedObject(OfThisProgram(), &program));
  EXPECT_TRUE(program.range.Contains(OfThisProgram()));
  EXPECT_NE(program.frame_index, 0u);
  ASSERT_TRUE(FindLoadedObject(reinterpret_cast<uintptr_t>(&qsort), &library));
  EXPECT_TRUE(library.range.Contains(library.frame_index));
  ASSERT_TRUE(FindLoadedObject(library.frame_index, &again));
  EXPECT_EQ(again.range.start, library.range.start);
  EXPECT_EQ(again.range.end, library.range.end);
  EXPECT_EQ(again.frame_index, library.frame_index);
}

TEST(LoadedObjectTest, NoObject) {
  const GuardedPages pages(kMaxSystemPageSize);
  LoadedObject object;
  int local = 0;
  EXPECT_FALSE(FindLoadedObject(0, &object));
  EXPECT_FALSE(FindLoadedObject(UINTPTR_MAX, &object));
  EXPECT_FALSE(FindLoadedObject(Address(pages.start()), &object));
  EXPECT_FALSE(FindLoadedObject(Address(&local), &object));
}

TEST(LoadedObjectTest, Segments) {
  LoadedObject object;
  ASSERT_TRUE(FindLoadedObject(OfThisProgram(), &object));
  for (const uintptr_t address : {object.frame_index, OfThisProgram(),
                                  Address(kConstant), Address(&a_variable)}) {
    const ByteRange segment = ReadableSegment(object, address);
    EXPECT_TRUE(segment.Contains(address));
    EXPECT_GE(segment.start, object.range.start);
    for (uintptr_t page = segment.start; page < segment.end;
         page += kMinSystemPageSize) {
      ASSERT_TRUE(PageIsReadable(page));
    }
    EXPECT_TRUE(PageIsReadable(segment.end - 1));
  }
  EXPECT_LT(ReadableSegment(object, object.frame_index).end,
            ReadableSegment(object, Address(&a_variable)).end);
  // What belongs to others.
  const uintptr_t other = reinterpret_cast<uintptr_t>(&qsort);
  EXPECT_FALSE(ReadableSegment(object, other).Contains(other));
}

TEST(LoadedObjectTest, BuildIds) {
  LoadedObject library;
  ASSERT_TRUE(FindLoadedObject(reinterpret_cast<uintptr_t>(&qsort), &library));
  const uintptr_t id = FindBuildId(library);
  if (id == 0) GTEST_SKIP() << "the C library has no build ID";
  EXPECT_TRUE(library.range.Contains(id, kBuildIdSize));
  // Its header is before it: type, and name.
  EXPECT_EQ(*reinterpret_cast<const uint32_t*>(id - 8), 3u);
  EXPECT_STREQ(reinterpret_cast<const char*>(id - 4), "GNU");
}

TEST(LoadedObjectTest, WithoutHeadersASegmentIsTheObject) {
  const GuardedPages pages(kMaxSystemPageSize);
  const LoadedObject object = {{Address(pages.start()), Address(pages.end())},
                               Address(pages.start())};
  const ByteRange segment = ReadableSegment(object, Address(pages.start()) + 5);
  EXPECT_EQ(segment.start, object.range.start);
  EXPECT_EQ(segment.end, object.range.end);
  const uintptr_t behind = object.range.end;
  EXPECT_FALSE(ReadableSegment(object, behind).Contains(behind));
}

}  // namespace
}  // namespace spanmalloc
