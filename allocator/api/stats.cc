// The functions of spanmalloc's own through which a program reads statistics
// by name or has them written.
//
// Place:    what programs call.
// Not here: the snapshot itself (malloc.cc), reports that nobody calls for
//           (stats_reports.h).
#include <errno.h>

#include "allocator/api/allocator.h"
#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"
#include "spanmalloc/spanmalloc.h"

namespace spanmalloc {
namespace {

static_assert(static_cast<int>(MetricUnit::kBytes) == SPANMALLOC_UNIT_BYTES);
static_assert(static_cast<int>(MetricUnit::kCount) == SPANMALLOC_UNIT_COUNT);
static_assert(static_cast<int>(MetricUnit::kNanoseconds) ==
              SPANMALLOC_UNIT_NANOSECONDS);
static_assert(static_cast<int>(MetricKind::kGauge) == SPANMALLOC_KIND_GAUGE);
static_assert(static_cast<int>(MetricKind::kCounter) ==
              SPANMALLOC_KIND_COUNTER);

}  // namespace
}  // namespace spanmalloc

#pragma GCC visibility push(default)

using spanmalloc::the_allocator;

int spanmalloc_property(const char* name, uint64_t* value) {
  if (name == nullptr || value == nullptr) return EINVAL;
  const spanmalloc::Metric* const metric = spanmalloc::FindMetric(name);
  if (metric == nullptr) return ENOENT;
  *value = the_allocator.ReadStats().*metric->value;
  return 0;
}

int spanmalloc_metric_at(size_t index, spanmalloc_metric* out) {
  if (out == nullptr) return EINVAL;
  if (index >= spanmalloc::kNumMetrics) return ENOENT;
  const spanmalloc::Metric& metric = spanmalloc::kMetrics[index];
  *out = {metric.name, metric.help, static_cast<int>(metric.unit),
          static_cast<int>(metric.kind)};
  return 0;
}

int spanmalloc_write_stats(int fd, const char* format) {
  spanmalloc::StatsFormat parsed;
  if (format == nullptr || !spanmalloc::ParseStatsFormat(format, &parsed)) {
    return EINVAL;
  }
  spanmalloc::TextWriter out(spanmalloc::TextWriter::ToDescriptor, &fd);
  spanmalloc::RenderStats(parsed, the_allocator.ReadStats(), &out);
  return out.Finish();
}

#pragma GCC visibility pop
