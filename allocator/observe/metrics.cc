#include "allocator/observe/metrics.h"

#include <string.h>

namespace spanmalloc {

const Metric* FindMetric(const char* name) {
  for (const Metric& metric : kMetrics) {
    if (strcmp(metric.name, name) == 0) return &metric;
  }
  return nullptr;
}

}  // namespace spanmalloc
