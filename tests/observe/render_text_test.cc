#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"
#include "tests/observe/rendering.h"

namespace spanmalloc {
namespace {

TEST(RenderText, Summary) {
  MemStats stats = ExampleStats();
  stats.mallocs = 2308;
  stats.frees = 1206;
  stats.heap_objects = 1102;
  stats.peak_heap_alloc = 70500;
  stats.threads = 12;
  EXPECT_EQ(
      Rendered([&](TextWriter* out) { RenderSummary(stats, out); }),
      "in use by the program             68.4 KiB             70003 bytes\n"
      "held free in caches and spans     12.2 KiB             12522 bytes\n"
      "idle in the heap                  58.6 KiB             59999 bytes\n"
      "released, address space only      29.3 KiB             30008 bytes\n"
      "records of the allocator          10.8 KiB             11009 bytes\n"
      "address space in all             178.5 KiB            182734 bytes\n"
      "most ever in use                  68.8 KiB             70500 bytes\n"
      "2308 mallocs, 1206 frees, 1102 blocks live, 12 threads\n");
}

TEST(RenderText, EveryMetric) {
  const MemStats stats = ExampleStats();
  const std::string text =
      Rendered([&](TextWriter* out) { RenderText(stats, out); });
  EXPECT_NE(text.find("process " + std::to_string(getpid()) + "\n"),
            std::string::npos);
  for (const Metric& metric : kMetrics) {
    const size_t at = text.find(std::string("\n") + metric.name + " ");
    ASSERT_NE(at, std::string::npos) << metric.name;
    const std::string line = text.substr(at + 1, text.find('\n', at + 1) - at);
    const std::string tail =
        metric.unit == MetricUnit::kBytes ? " bytes\n" : "\n";
    EXPECT_NE(line.find(" " + std::to_string(stats.*metric.value) + tail),
              std::string::npos)
        << line;
  }
}

TEST(RenderText, SizeClassesThatWereUsed) {
  MemStats stats = ExampleStats();
  stats.large_mallocs = 31;
  stats.large_frees = 11;
  stats.large_objects = 20;
  stats.large_bytes = 2000000;
  const std::string text =
      Rendered([&](TextWriter* out) { RenderText(stats, out); });
  const std::string end =
      "\n"
      "      size         mallocs           frees      blocks             "
      "bytes\n"
      "        16            2003            1001        1002             "
      "16032\n"
      "     32768             305             205         100           "
      "3276800\n"
      "    larger              31              11          20           "
      "2000000\n";
  ASSERT_GE(text.size(), end.size());
  EXPECT_EQ(text.substr(text.size() - end.size()), end);
}

TEST(RenderText, NoLargeBlocksNoLine) {
  MemStats stats = ExampleStats();
  stats.large_mallocs = 0;
  EXPECT_EQ(
      Rendered([&](TextWriter* out) { RenderText(stats, out); }).find("larger"),
      std::string::npos);
}

}  // namespace
}  // namespace spanmalloc
