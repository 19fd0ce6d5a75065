#include <unistd.h>

#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"

namespace spanmalloc {
namespace {

// The names that come here have no character that JSON would escape but \ and
// ", and no control characters.
void Quoted(TextWriter* out, const char* text) {
  out->Text("\"");
  for (; *text != '\0'; ++text) {
    if (*text == '"' || *text == '\\') out->Text("\\");
    out->Text(text, 1);
  }
  out->Text("\"");
}

}  // namespace

void RenderJson(const MemStats& stats, TextWriter* out) {
  out->Text("{\n  \"version\": ");
  Quoted(out, kVersion);
  out->Text(",\n  \"revision\": ");
  Quoted(out, kRevision);
  out->Text(",\n  \"compiler\": ");
  Quoted(out, kCompiler);
  out->Text(",\n  \"pid\": ").Decimal(static_cast<uint64_t>(getpid()));
  for (const Metric& metric : kMetrics) {
    out->Text(",\n  ");
    Quoted(out, metric.name);
    out->Text(": ").Decimal(stats.*metric.value);
  }
  out->Text(",\n  \"by_size\": [");
  const char* separator = "\n    ";
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.size == 0) continue;
    out->Text(separator)
        .Text("{\"size\": ")
        .Decimal(size.size)
        .Text(", \"mallocs\": ")
        .Decimal(size.mallocs)
        .Text(", \"frees\": ")
        .Decimal(size.frees)
        .Text("}");
    separator = ",\n    ";
  }
  out->Text("\n  ]\n}\n");
}

}  // namespace spanmalloc
