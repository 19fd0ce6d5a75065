#include "allocator/observe/heap_report.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "allocator/base/message.h"
#include "allocator/observe/render.h"

namespace spanmalloc {

namespace {

// A sink: each line as a message. The text must come in whole lines.
int PrintLines(void*, const char* data, size_t size) {
  while (size > 0) {
    const char* const end = static_cast<const char*>(memchr(data, '\n', size));
    if (end == nullptr) return EINVAL;
    const size_t length = static_cast<size_t>(end - data);
    Message().Text(data, length).Print();
    data += length + 1;
    size -= length + 1;
  }
  return 0;
}

}  // namespace

void PrintHeapStats(const MemStats& stats) {
  TextWriter out(PrintLines, nullptr);
  RenderSummary(stats, &out);
  out.Finish();
}

bool WriteHeapXml(const MemStats& stats, FILE* stream) {
  const struct {
    const char* name;
    uint64_t value;
  } rows[] = {
      {"mallocs", stats.mallocs},
      {"frees", stats.frees},
      {"live", stats.heap_alloc},
      {"cached", stats.thread_cache_bytes},
      {"transfer", stats.transfer_cache_bytes},
      {"central", stats.central_free_bytes},
      {"tails", stats.span_tail_bytes},
      {"used", stats.heap_inuse},
      {"free", stats.heap_idle},
      {"released", stats.heap_released},
      {"heap", stats.heap_sys},
      {"records", stats.sys - stats.heap_sys},
      {"large", stats.large_bytes},
  };
  fprintf(stream, "<malloc version=\"spanmalloc-1\">\n");
  for (const auto& row : rows) {
    fprintf(stream, "<total type=\"%s\" size=\"%llu\"/>\n", row.name,
            static_cast<unsigned long long>(row.value));
  }
  fprintf(stream,
          "<system type=\"current\" size=\"%llu\"/>\n"
          "</malloc>\n",
          static_cast<unsigned long long>(stats.sys));
  return ferror(stream) == 0;
}

struct mallinfo2 ToMallinfo2(const MemStats& stats) {
  struct mallinfo2 info = {};
  info.arena = stats.heap_sys;
  info.hblks = stats.large_objects;
  info.hblkhd = stats.large_bytes;
  info.uordblks = stats.heap_alloc;
  info.fordblks =
      stats.heap_sys > stats.heap_alloc ? stats.heap_sys - stats.heap_alloc : 0;
  info.keepcost = stats.heap_idle - stats.heap_released;
  return info;
}

struct mallinfo ToMallinfo(const MemStats& stats) {
  const struct mallinfo2 wide = ToMallinfo2(stats);
  const auto cut = [](size_t n) {
    return n > INT_MAX ? INT_MAX : static_cast<int>(n);
  };
  struct mallinfo info = {};
  info.arena = cut(wide.arena);
  info.hblks = cut(wide.hblks);
  info.hblkhd = cut(wide.hblkhd);
  info.uordblks = cut(wide.uordblks);
  info.fordblks = cut(wide.fordblks);
  info.keepcost = cut(wide.keepcost);
  return info;
}

}  // namespace spanmalloc
