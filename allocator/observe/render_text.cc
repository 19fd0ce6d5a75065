#include <unistd.h>

#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"

namespace spanmalloc {
namespace {

constexpr size_t kHumanEnd = 42, kExactEnd = 60;

void Row(TextWriter* out, const char* what, uint64_t bytes) {
  out->Text(what).HumanTo(kHumanEnd, bytes);
  out->DecimalTo(kExactEnd, bytes).Text(" bytes\n");
}

void SizeClasses(const MemStats& stats, TextWriter* out) {
  static constexpr size_t kEnds[] = {10, 26, 42, 54, 72};
  static constexpr const char* kTitles[] = {"      size", "         mallocs",
                                            "           frees", "      blocks",
                                            "             bytes"};
  out->Text("\n");
  for (const char* title : kTitles) out->Text(title);
  out->Text("\n");
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.mallocs == 0) continue;
    const uint64_t blocks = size.mallocs - size.frees;
    const uint64_t values[] = {size.size, size.mallocs, size.frees, blocks,
                               blocks * size.size};
    for (size_t i = 0; i < 5; ++i) out->DecimalTo(kEnds[i], values[i]);
    out->Text("\n");
  }
  if (stats.large_mallocs != 0) {
    const uint64_t values[] = {stats.large_mallocs, stats.large_frees,
                               stats.large_objects, stats.large_bytes};
    out->Text("    larger");
    for (size_t i = 0; i < 4; ++i) out->DecimalTo(kEnds[i + 1], values[i]);
    out->Text("\n");
  }
}

}  // namespace

// The first five add up to the sixth.
void RenderSummary(const MemStats& stats, TextWriter* out) {
  Row(out, "in use by the program", stats.heap_alloc);
  Row(out, "held free in caches and spans",
      stats.heap_inuse - stats.heap_alloc);
  Row(out, "idle in the heap", stats.heap_idle - stats.heap_released);
  Row(out, "released, address space only", stats.heap_released);
  Row(out, "records of the allocator", stats.sys - stats.heap_sys);
  Row(out, "address space in all", stats.sys);
  Row(out, "most ever in use", stats.peak_heap_alloc);
  out->Decimal(stats.mallocs)
      .Text(" mallocs, ")
      .Decimal(stats.frees)
      .Text(" frees, ")
      .Decimal(stats.heap_objects)
      .Text(" blocks live, ")
      .Decimal(stats.threads)
      .Text(" threads\n");
}

void RenderText(const MemStats& stats, TextWriter* out) {
  out->Text("spanmalloc ")
      .Text(kVersion)
      .Text(", process ")
      .Decimal(static_cast<uint64_t>(getpid()))
      .Text("\n\n");
  RenderSummary(stats, out);
  out->Text("\n");
  for (const Metric& metric : kMetrics) {
    const uint64_t value = stats.*metric.value;
    if (metric.unit == MetricUnit::kBytes) {
      Row(out, metric.name, value);
    } else {
      out->Text(metric.name).DecimalTo(kExactEnd, value).Text("\n");
    }
  }
  SizeClasses(stats, out);
}

}  // namespace spanmalloc
