#include "allocator/observe/heap_report.h"

#include <gtest/gtest.h>

#include <climits>
#include <cstdlib>
#include <string>

namespace spanmalloc {
namespace {

// Every number is different, so that none can be taken for another.
MemStats Example() {
  MemStats stats = {};
  stats.mallocs = 1001;
  stats.frees = 402;
  stats.heap_alloc = 70003;
  stats.thread_cache_bytes = 5004;
  stats.transfer_cache_bytes = 807;
  stats.central_free_bytes = 6005;
  stats.span_tail_bytes = 706;
  stats.heap_inuse = 82525;
  stats.heap_idle = 90007;
  stats.heap_released = 30008;
  stats.heap_sys = 171725;
  stats.sys = 182734;
  stats.large_objects = 3;
  stats.large_bytes = 40010;
  stats.threads = 12;
  return stats;
}

std::string Xml(const MemStats& stats) {
  char* text = nullptr;
  size_t size = 0;
  FILE* const stream = open_memstream(&text, &size);
  EXPECT_TRUE(WriteHeapXml(stats, stream));
  fclose(stream);
  const std::string result(text, size);
  free(text);
  return result;
}

TEST(HeapReport, Lines) {
  testing::internal::CaptureStderr();
  PrintHeapStats(Example());
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.rfind("spanmalloc: in use by the program ", 0), 0u);
  for (const char* part : {" 70003 bytes\nspanmalloc: held free ",
                           "\nspanmalloc: 1001 mallocs, 402 frees, "}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  // Whole lines, each with the name in front.
  EXPECT_EQ(text.back(), '\n');
  for (size_t at = text.find('\n'); at + 1 < text.size();
       at = text.find('\n', at + 1)) {
    EXPECT_EQ(text.compare(at + 1, 12, "spanmalloc: "), 0) << text;
  }
}

TEST(HeapReport, XmlHasGlibcsRootAndEveryNumber) {
  const std::string xml = Xml(Example());
  EXPECT_EQ(xml.rfind("<malloc version=\"", 0), 0u);
  EXPECT_EQ(xml.substr(xml.size() - 10), "</malloc>\n");
  const struct {
    const char* type;
    const char* size;
  } rows[] = {
      {"mallocs", "1001"},   {"frees", "402"},    {"live", "70003"},
      {"cached", "5004"},    {"transfer", "807"}, {"central", "6005"},
      {"tails", "706"},      {"used", "82525"},   {"free", "90007"},
      {"released", "30008"}, {"heap", "171725"},  {"records", "11009"},
      {"large", "40010"},
  };
  for (const auto& row : rows) {
    const std::string element = std::string("<total type=\"") + row.type +
                                "\" size=\"" + row.size + "\"/>\n";
    EXPECT_NE(xml.find(element), std::string::npos) << element;
  }
  EXPECT_NE(xml.find("<system type=\"current\" size=\"182734\"/>\n"),
            std::string::npos);
}

TEST(HeapReport, XmlTellsAboutAFullStream) {
  FILE* const stream = fopen("/dev/full", "w");
  if (stream == nullptr) GTEST_SKIP() << "no /dev/full";
  setvbuf(stream, nullptr, _IONBF, 0);
  EXPECT_FALSE(WriteHeapXml(Example(), stream));
  fclose(stream);
}

TEST(HeapReport, Mallinfo2) {
  const struct mallinfo2 info = ToMallinfo2(Example());
  EXPECT_EQ(info.arena, 171725u);
  EXPECT_EQ(info.ordblks, 0u);
  EXPECT_EQ(info.hblks, 3u);
  EXPECT_EQ(info.hblkhd, 40010u);
  EXPECT_EQ(info.uordblks, 70003u);
  EXPECT_EQ(info.fordblks, 171725u - 70003u);
  EXPECT_EQ(info.keepcost, 90007u - 30008u);
}

// Counts that were read one after the other may cross.
TEST(HeapReport, Mallinfo2OfASnapshotInMotion) {
  MemStats stats = {};
  stats.heap_alloc = 1;
  EXPECT_EQ(ToMallinfo2(stats).fordblks, 0u);
}

TEST(HeapReport, MallinfoIsCut) {
  MemStats stats = Example();
  struct mallinfo info = ToMallinfo(stats);
  EXPECT_EQ(info.arena, 171725);
  EXPECT_EQ(info.hblks, 3);
  EXPECT_EQ(info.hblkhd, 40010);
  EXPECT_EQ(info.uordblks, 70003);
  EXPECT_EQ(info.fordblks, 171725 - 70003);
  EXPECT_EQ(info.keepcost, 90007 - 30008);
  stats.heap_sys = size_t{1} << 40;
  stats.heap_alloc = size_t{INT_MAX} + 1;
  info = ToMallinfo(stats);
  EXPECT_EQ(info.arena, INT_MAX);
  EXPECT_EQ(info.uordblks, INT_MAX);
  EXPECT_EQ(info.fordblks, INT_MAX);
}

}  // namespace
}  // namespace spanmalloc
