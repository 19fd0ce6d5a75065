#include "allocator/observe/heap_report.h"

#include <limits.h>

#include "allocator/base/message.h"

namespace spanmalloc {

void PrintHeapStats(const HeapStats& stats) {
  Message()
      .Decimal(stats.mallocs)
      .Text(" mallocs, ")
      .Decimal(stats.frees)
      .Text(" frees, ")
      .Decimal(stats.mallocs - stats.frees)
      .Text(" blocks live")
      .Print();
  Message()
      .Decimal(stats.live_bytes)
      .Text(" bytes live, ")
      .Decimal(stats.large_bytes)
      .Text(" of them in ")
      .Decimal(stats.large_blocks)
      .Text(" large blocks")
      .Print();
  Message()
      .Decimal(stats.cached_bytes)
      .Text(" bytes in the caches of ")
      .Decimal(stats.threads)
      .Text(" threads, ")
      .Decimal(stats.transfer_bytes)
      .Text(" in transfer caches, ")
      .Decimal(stats.central_bytes)
      .Text(" in central lists, ")
      .Decimal(stats.span_tails)
      .Text(" in tails of spans")
      .Print();
  Message()
      .Decimal(stats.free_bytes)
      .Text(" bytes free, ")
      .Decimal(stats.released_bytes)
      .Text(" of them without memory behind them")
      .Print();
  Message()
      .Decimal(stats.system_bytes)
      .Text(" bytes of address space: ")
      .Decimal(stats.heap_bytes)
      .Text(" heap, ")
      .Decimal(stats.metadata_bytes)
      .Text(" records")
      .Print();
}

bool WriteHeapXml(const HeapStats& stats, FILE* stream) {
  const struct {
    const char* name;
    uint64_t value;
  } rows[] = {
      {"mallocs", stats.mallocs},         {"frees", stats.frees},
      {"live", stats.live_bytes},         {"cached", stats.cached_bytes},
      {"transfer", stats.transfer_bytes}, {"central", stats.central_bytes},
      {"tails", stats.span_tails},        {"used", stats.used_bytes},
      {"free", stats.free_bytes},         {"released", stats.released_bytes},
      {"heap", stats.heap_bytes},         {"records", stats.metadata_bytes},
      {"large", stats.large_bytes},
  };
  fprintf(stream, "<malloc version=\"spanmalloc-1\">\n");
  for (const auto& row : rows) {
    fprintf(stream, "<total type=\"%s\" size=\"%llu\"/>\n", row.name,
            static_cast<unsigned long long>(row.value));
  }
  fprintf(stream,
          "<system type=\"current\" size=\"%zu\"/>\n"
          "</malloc>\n",
          stats.system_bytes);
  return ferror(stream) == 0;
}

struct mallinfo2 ToMallinfo2(const HeapStats& stats) {
  struct mallinfo2 info = {};
  info.arena = stats.heap_bytes;
  info.hblks = stats.large_blocks;
  info.hblkhd = stats.large_bytes;
  info.uordblks = stats.live_bytes;
  info.fordblks = stats.heap_bytes > stats.live_bytes
                      ? stats.heap_bytes - stats.live_bytes
                      : 0;
  info.keepcost = stats.free_bytes - stats.released_bytes;
  return info;
}

struct mallinfo ToMallinfo(const HeapStats& stats) {
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
