// Conformance: the entries that tell about the heap or tune it. What they print
// and count is the allocator's own affair; that they return, tell the truth
// about one large block, and keep the shapes that callers parse, is checked
// here.

#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/conformance/entries.h"
#include "tests/conformance/face_test.h"

namespace conformance {
namespace {

constexpr size_t kTenMiB = size_t{10} << 20;

class FaceIntrospection : public FaceTest {};
SPANMALLOC_BOTH_FACES(FaceIntrospection);

// mallinfo(3): "uordblks: The total number of bytes used by in-use
// allocations." glibc counts blocks from mmap apart, in hblkhd: "The number of
// bytes in blocks currently allocated using mmap(2)".
TEST_P(FaceIntrospection, Mallinfo2SeesALargeBlock) {
  const struct mallinfo2 before = face().mallinfo2_();
  void* const block = face().malloc_(kTenMiB);
  ASSERT_NE(block, nullptr);
  const struct mallinfo2 during = face().mallinfo2_();
  if (OnSpanmalloc()) {
    EXPECT_GE(during.uordblks, before.uordblks + kTenMiB);
  } else {
    EXPECT_GE(during.uordblks + during.hblkhd,
              before.uordblks + before.hblkhd + kTenMiB);
  }
  EXPECT_GE(during.arena + during.hblkhd, during.uordblks);
  face().free_(block);
  const struct mallinfo2 after = face().mallinfo2_();
  EXPECT_LT(after.uordblks, before.uordblks + kTenMiB);
}

// The same for small blocks, which sit in caches when they are free.
TEST_P(FaceIntrospection, Mallinfo2SeesSmallBlocks) {
  const size_t before = face().mallinfo2_().uordblks;
  std::vector<void*> blocks(20000);
  for (void*& block : blocks) block = face().malloc_(100);
  EXPECT_GE(face().mallinfo2_().uordblks, before + 20000 * 100);
  for (void* block : blocks) face().free_(block);
  if (OnSpanmalloc()) {  // glibc counts the blocks in its thread caches as in
                         // use.
    EXPECT_LT(face().mallinfo2_().uordblks, before + 200000);
  }
}

// mallinfo(3): "the fields of the mallinfo structure that is returned by the
// older mallinfo() function are typed as int". They may wrap, they may not
// crash.
TEST_P(FaceIntrospection, MallinfoReturns) {
  void* const block = face().malloc_(kTenMiB);
  const struct mallinfo info = face().mallinfo_();
  EXPECT_GE(info.uordblks + info.hblkhd, static_cast<int>(kTenMiB));
  face().free_(block);
}

// malloc_info(3): "exports an XML string that describes the current state of
// the memory-allocation implementation in the caller. The string is printed on
// the file stream stream." RETURN VALUE "On success, malloc_info() returns 0."
TEST_P(FaceIntrospection, MallocInfoWritesXml) {
  char* text = nullptr;
  size_t size = 0;
  FILE* const stream = open_memstream(&text, &size);
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(face().malloc_info_(0, stream), 0);
  fclose(stream);
  const std::string xml(text, size);
  StandardFace().free_(text);
  const size_t start = xml.find("<malloc version=");
  ASSERT_NE(start, std::string::npos) << xml;
  EXPECT_NE(xml.find("</malloc>", start), std::string::npos) << xml;
  // Well formed: tags close in the order of opening.
  std::vector<std::string> open_tags;
  for (size_t at = xml.find('<'); at != std::string::npos;
       at = xml.find('<', at)) {
    const size_t end = xml.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = xml.substr(at + 1, end - at - 1);
    at = end;
    if (tag.empty() || tag[0] == '?' || tag[0] == '!' || tag.back() == '/')
      continue;
    if (tag[0] != '/') {
      open_tags.push_back(tag.substr(0, tag.find_first_of(" \t\n")));
      continue;
    }
    ASSERT_FALSE(open_tags.empty()) << tag;
    EXPECT_EQ(tag.substr(1), open_tags.back());
    open_tags.pop_back();
  }
  EXPECT_TRUE(open_tags.empty());
}

// malloc_info(3): "EINVAL options was nonzero."
TEST_P(FaceIntrospection, MallocInfoRefusesOptions) {
  FILE* const stream = fopen("/dev/null", "we");
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(face().malloc_info_(1, stream), EINVAL);
  fclose(stream);
}

// malloc_stats(3): "prints (on standard error) statistics about memory
// allocated".
TEST_P(FaceIntrospection, MallocStatsPrintsOnStandardError) {
  testing::internal::CaptureStderr();
  face().malloc_stats_();
  EXPECT_FALSE(testing::internal::GetCapturedStderr().empty());
}

// mallopt(3): "On success, mallopt() returns 1. On error, it returns 0."
// Programs set these and go on whatever the answer.
TEST_P(FaceIntrospection, MalloptAnswers) {
  for (const int parameter :
       {M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX,
        M_CHECK_ACTION, M_ARENA_TEST, M_ARENA_MAX}) {
    const int answer =
        face().mallopt_(parameter, parameter == M_CHECK_ACTION ? 3 : 64 * 1024);
    EXPECT_TRUE(answer == 0 || answer == 1) << parameter << ": " << answer;
  }
  if (OnSpanmalloc()) {  // glibc answers 1 to parameters that it does not know.
    EXPECT_EQ(face().mallopt_(123456, 1), 0);
  }
  void* const block = face().malloc_(1000);
  ASSERT_NE(block, nullptr);
  face().free_(block);
}

// malloc_trim(3): "returns 1 if memory was actually released back to the
// system, or 0 if it was not possible to release any memory."
TEST_P(FaceIntrospection, MallocTrimAnswersZeroOrOne) {
  for (const size_t pad : {size_t{0}, size_t{1}, size_t{1} << 20, ~size_t{0}}) {
    const int answer = face().malloc_trim_(pad);
    EXPECT_TRUE(answer == 0 || answer == 1) << answer;
  }
}

// The prefixed names are the same allocator: blocks may cross over.
TEST(PrefixedNames, ShareTheHeapWithTheStandardOnes) {
  if (!OnSpanmalloc()) GTEST_SKIP() << "not spanmalloc";
  for (const size_t size : {size_t{1}, size_t{100}, size_t{5000},
                            size_t{100000}, size_t{5} << 20}) {
    void* const one = PrefixedFace().malloc_(size);
    EXPECT_EQ(StandardFace().malloc_usable_size_(one),
              PrefixedFace().malloc_usable_size_(one));
    StandardFace().free_(one);
    void* const other = StandardFace().malloc_(size);
    PrefixedFace().free_(PrefixedFace().realloc_(other, size * 2));
  }
}

// The build sets the variable wherever spanmalloc has to be there: a preload
// that did not happen would turn the suite into a test of the system's
// allocator.
TEST(PrefixedNames, ExistWhereSpanmallocIsExpected) {
  if (getenv("SPANMALLOC_TEST_EXPECTED") == nullptr) GTEST_SKIP() << "not said";
  EXPECT_TRUE(OnSpanmalloc());
}

// Every name of the table exists.
TEST(PrefixedNames, AreComplete) {
  if (!OnSpanmalloc()) GTEST_SKIP() << "not spanmalloc";
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  EXPECT_NE(StandardFace().name##_, nullptr) << #name;                \
  EXPECT_NE(PrefixedFace().name##_, nullptr) << "spanmalloc_" #name;
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
  EXPECT_NE(CxxOperators().name##_, nullptr) << #form;
#include "allocator/api/entry_points.def"
}

}  // namespace
}  // namespace conformance
