// The line that scavtrace=1 prints for each cycle that did something, with the
// numbers of Go's scavtrace, in KiB.
#include "allocator/base/message.h"
#include "allocator/scavenge/scavenger.h"

namespace spanmalloc {
namespace {

constexpr const char* kReasons[] = {"thread", "inline", "call", "limit",
                                    "out of memory"};

}  // namespace

void Scavenger::Trace(const Work& work, uint64_t nanoseconds) const {
  const PageHeapStats pages = central_->page_heap().stats();
  const size_t not_backed =
      (pages.fresh + pages.lazy).bytes() + pages.released_in_spans;
  Message()
      .Text("scav ")
      .Decimal(cycles_.load(std::memory_order_relaxed))
      .Text(" (")
      .Text(kReasons[static_cast<size_t>(work.reason)])
      .Text("): ")
      .Decimal(work.bytes >> 10)
      .Text(" KiB released, ")
      .Decimal(work.objects)
      .Text(" objects sent home in ")
      .Decimal(nanoseconds / 1000)
      .Text(" us; inuse ")
      .Decimal(pages.used.bytes() >> 10)
      .Text(", idle ")
      .Decimal(pages.free.bytes() >> 10)
      .Text(", sys ")
      .Decimal(pages.mapped.bytes() >> 10)
      .Text(", released ")
      .Decimal(not_backed >> 10)
      .Text(", consumed ")
      .Decimal((pages.mapped.bytes() - not_backed) >> 10)
      .Text(" (KiB)")
      .Print();
}

}  // namespace spanmalloc
