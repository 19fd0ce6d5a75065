// The numbers of a snapshot, each with its names and its meaning.
//
// Place:    observe/, above mem_stats.h.
// Purpose:  One table behind every rendering and behind spanmalloc_property.
// Not here: the lines of the table (metrics.def).
//
// Concurrency: constants and pure functions.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_METRICS_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_METRICS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/observe/mem_stats.h"

namespace spanmalloc {

enum class MetricUnit { kBytes, kCount, kNanoseconds };
enum class MetricKind { kGauge, kCounter };

struct Metric {
  const char* name;        // "heap.inuse_bytes"
  const char* prometheus;  // "heap_inuse_bytes"
  const char* help;        // A sentence.
  uint64_t MemStats::*value;
  MetricUnit unit;
  MetricKind kind;
};

inline constexpr Metric kMetrics[] = {
#define SPANMALLOC_METRIC(field, name, unit, kind, prometheus, help) \
  {name,                                                             \
   prometheus,                                                       \
   help,                                                             \
   &MemStats::field,                                                 \
   MetricUnit::unit,                                                 \
   MetricKind::kind},
#include "allocator/observe/metrics.def"
#undef SPANMALLOC_METRIC
};
inline constexpr size_t kNumMetrics = sizeof(kMetrics) / sizeof(kMetrics[0]);

// The metric of that name, or null.
const Metric* FindMetric(const char* name);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_METRICS_H_
