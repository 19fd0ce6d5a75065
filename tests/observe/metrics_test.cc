#include "allocator/observe/metrics.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstddef>
#include <set>
#include <string>

namespace spanmalloc {
namespace {

bool EndsIn(const std::string& text, const std::string& end) {
  return text.size() >= end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}

TEST(Metrics, EveryFieldOnceInTheStructuresOrder) {
  // by_size is in the midst of them.
  constexpr size_t kBefore = offsetof(MemStats, by_size) / sizeof(uint64_t);
  EXPECT_EQ(kNumMetrics * sizeof(uint64_t) + sizeof(MemStats::by_size),
            sizeof(MemStats));
  const MemStats stats = {};
  for (size_t i = 0; i < kNumMetrics; ++i) {
    const char* const field =
        reinterpret_cast<const char*>(&(stats.*kMetrics[i].value));
    EXPECT_EQ(field - reinterpret_cast<const char*>(&stats),
              static_cast<ptrdiff_t>(i * sizeof(uint64_t) +
                                     (i < kBefore ? 0 : sizeof(stats.by_size))))
        << kMetrics[i].name;
  }
}

TEST(Metrics, NamesAreUnique) {
  std::set<std::string> names, prometheus;
  for (const Metric& metric : kMetrics) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_TRUE(prometheus.insert(metric.prometheus).second) << metric.name;
  }
}

TEST(Metrics, NamesTellUnitAndKind) {
  for (const Metric& metric : kMetrics) {
    const std::string name = metric.name, prometheus = metric.prometheus;
    const bool counter = metric.kind == MetricKind::kCounter;
    EXPECT_EQ(EndsIn(name, "_total"), counter) << name;
    EXPECT_EQ(EndsIn(prometheus, "_total"), counter) << name;
    const bool bytes = metric.unit == MetricUnit::kBytes;
    EXPECT_EQ(name.find("bytes") != std::string::npos, bytes) << name;
    EXPECT_EQ(prometheus.find("bytes") != std::string::npos, bytes) << name;
    EXPECT_NE(name.find('.'), std::string::npos) << name;
    for (const char c : name) {
      EXPECT_TRUE(islower(c) || c == '_' || c == '.') << name;
    }
    for (const char c : prometheus) EXPECT_TRUE(islower(c) || c == '_') << name;
  }
}

// They go into JSON and into lines of text as they are.
TEST(Metrics, HelpIsOneSentence) {
  for (const Metric& metric : kMetrics) {
    const std::string help = metric.help;
    EXPECT_TRUE(isupper(help.front()) && help.back() == '.') << metric.name;
    EXPECT_EQ(help.find_first_of("\n\"\\"), std::string::npos) << metric.name;
  }
}

// What client_golang calls go_memstats_*, as far as the thing exists here.
TEST(Metrics, GosNames) {
  std::set<std::string> names;
  for (const Metric& metric : kMetrics) names.insert(metric.prometheus);
  for (const char* name :
       {"alloc_bytes", "alloc_bytes_total", "sys_bytes", "mallocs_total",
        "frees_total", "heap_alloc_bytes", "heap_sys_bytes", "heap_idle_bytes",
        "heap_inuse_bytes", "heap_released_bytes", "heap_objects",
        "mspan_inuse_bytes", "mspan_sys_bytes", "mcache_inuse_bytes",
        "mcache_sys_bytes", "buck_hash_sys_bytes", "gc_sys_bytes",
        "other_sys_bytes"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
}

TEST(Metrics, FoundByName) {
  for (const Metric& metric : kMetrics) {
    EXPECT_EQ(FindMetric(metric.name), &metric);
  }
  for (const char* name : {"", "heap", "heap.inuse_bytes ", "heap.inuse_byte",
                           "Heap.inuse_bytes", "heap_inuse_bytes"}) {
    EXPECT_EQ(FindMetric(name), nullptr) << name;
  }
}

}  // namespace
}  // namespace spanmalloc
