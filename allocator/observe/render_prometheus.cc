#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"

namespace spanmalloc {
namespace {

constexpr char kPrefix[] = "spanmalloc_memstats_";

void Head(TextWriter* out, const char* prefix, const char* name,
          MetricKind kind, const char* help) {
  out->Text("# HELP ").Text(prefix).Text(name).Text(" ").Text(help);
  out->Text("\n# TYPE ").Text(prefix).Text(name);
  out->Text(kind == MetricKind::kCounter ? " counter\n" : " gauge\n");
}

void SizeClasses(const MemStats& stats, TextWriter* out, const char* name,
                 uint64_t spanmalloc_size_stats::*value, const char* help) {
  Head(out, kPrefix, name, MetricKind::kCounter, help);
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.size == 0) continue;
    out->Text(kPrefix).Text(name).Text("{size=\"").Decimal(size.size);
    out->Text("\"} ").Decimal(size.*value).Text("\n");
  }
}

void LabelValue(TextWriter* out, const char* text) {
  for (; *text != '\0'; ++text) {
    if (*text == '"' || *text == '\\') out->Text("\\");
    out->Text(text, 1);
  }
}

void BuildInfo(TextWriter* out) {
  Head(out, "spanmalloc_", "build_info", MetricKind::kGauge,
       "Always 1; the labels tell what the library was built from.");
  out->Text("spanmalloc_build_info{version=\"");
  LabelValue(out, kVersion);
  out->Text("\",revision=\"");
  LabelValue(out, kRevision);
  out->Text("\",compiler=\"");
  LabelValue(out, kCompiler);
  out->Text("\"} 1\n");
}

void Process(TextWriter* out, const ProcessInfo::Number& number,
             const char* name, MetricKind kind, const char* help,
             bool hundredths = false) {
  if (!number.known) return;
  Head(out, "process_", name, kind, help);
  out->Text("process_").Text(name).Text(" ");
  if (hundredths) {
    out->Hundredths(number.value);
  } else {
    out->Decimal(number.value);
  }
  out->Text("\n");
}

}  // namespace

void RenderPrometheus(const MemStats& stats, const ProcessInfo& process,
                      TextWriter* out) {
  for (const Metric& metric : kMetrics) {
    Head(out, kPrefix, metric.prometheus, metric.kind, metric.help);
    out->Text(kPrefix).Text(metric.prometheus).Text(" ");
    if (metric.unit == MetricUnit::kNanoseconds) {
      out->Billionths(stats.*metric.value);
    } else {
      out->Decimal(stats.*metric.value);
    }
    out->Text("\n");
  }
  SizeClasses(stats, out, "by_size_mallocs_total",
              &spanmalloc_size_stats::mallocs,
              "Blocks of a size class allocated since start.");
  SizeClasses(stats, out, "by_size_frees_total", &spanmalloc_size_stats::frees,
              "Blocks of a size class freed since start.");
  BuildInfo(out);
  Process(out, process.cpu_hundredths, "cpu_seconds_total",
          MetricKind::kCounter, "User and system CPU time spent in seconds.",
          true);
  Process(out, process.open_files, "open_fds", MetricKind::kGauge,
          "Number of open file descriptors.");
  Process(out, process.max_files, "max_fds", MetricKind::kGauge,
          "Maximum number of open file descriptors.");
  Process(out, process.virtual_bytes, "virtual_memory_bytes",
          MetricKind::kGauge, "Virtual memory size in bytes.");
  Process(out, process.max_virtual_bytes, "virtual_memory_max_bytes",
          MetricKind::kGauge,
          "Maximum amount of virtual memory available in bytes.");
  Process(out, process.resident_bytes, "resident_memory_bytes",
          MetricKind::kGauge, "Resident memory size in bytes.");
  Process(out, process.start_hundredths, "start_time_seconds",
          MetricKind::kGauge,
          "Start time of the process since the Unix epoch in seconds.", true);
}

}  // namespace spanmalloc
