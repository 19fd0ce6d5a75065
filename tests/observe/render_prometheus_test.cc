#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"
#include "tests/observe/rendering.h"

namespace spanmalloc {
namespace {

ProcessInfo ExampleProcess() {
  ProcessInfo info;
  info.cpu_hundredths = {true, 1234};
  info.start_hundredths = {true, 170000000005};
  info.virtual_bytes = {true, 5000001};
  info.max_virtual_bytes = {true, UINT64_MAX};
  info.resident_bytes = {true, 4000001};
  info.open_files = {true, 7};
  info.max_files = {true, 1024};
  return info;
}

std::string Prometheus(const MemStats& stats, const ProcessInfo& process) {
  return Rendered(
      [&](TextWriter* out) { RenderPrometheus(stats, process, out); });
}

// Each family has its help, its type and then its samples, and stands once.
TEST(RenderPrometheus, Grammar) {
  const std::regex help("# HELP ([a-z_]+) [^\\\\]+\\.");
  const std::regex type("# TYPE ([a-z_]+) (gauge|counter)");
  const std::regex sample(
      "([a-z_]+)(\\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\\})? "
      "[0-9]+(\\.[0-9]+)?");
  std::istringstream lines(Prometheus(ExampleStats(), ExampleProcess()));
  std::set<std::string> families, series;
  std::string line, family;
  while (std::getline(lines, line)) {
    std::smatch parts;
    if (std::regex_match(line, parts, help)) {
      family = parts[1];
      EXPECT_TRUE(families.insert(family).second) << line;
      ASSERT_TRUE(std::getline(lines, line));
      ASSERT_TRUE(std::regex_match(line, parts, type)) << line;
      EXPECT_EQ(parts[1], family);
      const std::string end = "_total";
      EXPECT_EQ(family.size() > end.size() &&
                    family.substr(family.size() - end.size()) == end,
                parts[2] == "counter")
          << line;
      continue;
    }
    ASSERT_TRUE(std::regex_match(line, parts, sample)) << line;
    EXPECT_EQ(parts[1], family) << line;
    EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << line;
  }
  EXPECT_EQ(families.size(), kNumMetrics + 2 + 1 + 7);
}

TEST(RenderPrometheus, EveryNumber) {
  const MemStats stats = ExampleStats();
  const std::string text = Prometheus(stats, ExampleProcess());
  for (const Metric& metric : kMetrics) {
    const bool seconds = metric.unit == MetricUnit::kNanoseconds;
    const std::string value = std::to_string(stats.*metric.value);
    // A made-up number has four digits.
    const std::string line = std::string("\nspanmalloc_memstats_") +
                             metric.prometheus + " " +
                             (seconds ? "0.00000" : "") + value + "\n";
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
  for (const char* line : {
           "\nspanmalloc_memstats_by_size_mallocs_total{size=\"16\"} 2003\n",
           "\nspanmalloc_memstats_by_size_mallocs_total{size=\"48\"} 0\n",
           "\nspanmalloc_memstats_by_size_frees_total{size=\"32768\"} 205\n",
           "\nprocess_cpu_seconds_total 12.34\n",
           "\nprocess_open_fds 7\n",
           "\nprocess_max_fds 1024\n",
           "\nprocess_virtual_memory_bytes 5000001\n",
           "\nprocess_virtual_memory_max_bytes 18446744073709551615\n",
           "\nprocess_resident_memory_bytes 4000001\n",
           "\nprocess_start_time_seconds 1700000000.05\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
  EXPECT_NE(
      text.find(std::string("\nspanmalloc_build_info{version=\"") + kVersion +
                "\",revision=\"" + kRevision + "\",compiler=\""),
      std::string::npos);
}

TEST(RenderPrometheus, WhatIsNotKnownIsAbsent) {
  const std::string text = Prometheus(ExampleStats(), ProcessInfo());
  EXPECT_EQ(text.find("process_"), std::string::npos);
}

}  // namespace
}  // namespace spanmalloc
