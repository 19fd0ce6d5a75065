#include "allocator/central/central_heap.h"

#include "allocator/base/check.h"

namespace spanmalloc {

CentralRelease CentralHeap::ReleaseUnused(bool idle_only) {
  CentralRelease release;
  for (size_t c = 1; c < kNumClasses; ++c) {
    TransferCache& transfer = transfers_[c];
    CentralFreeList& list = lists_[c];
    release.objects += idle_only ? transfer.ReleaseUnused() : transfer.Flush();
    release.empty_spans +=
        idle_only ? list.ReleaseUnusedEmptySpan() : list.ReleaseEmptySpan();
  }
  return release;
}

SpanRelease CentralHeap::ReleaseFreePagesInSpans(bool idle_only,
                                                 size_t max_bytes) {
  const size_t page_size = SystemPageSize();
  size_t c = next_to_sweep_.load(std::memory_order_relaxed);
  size_t left = idle_only ? kNumClasses - c : kNumClasses - 1;
  SpanRelease sum;
  for (bool more = true; more && left != 0; --left) {
    const SpanRelease release =
        lists_[c].ReleaseFreePages(idle_only, max_bytes - sum.bytes, page_size);
    sum.bytes += release.bytes;
    sum.spans += release.spans;
    sum.refused = release.refused;
    more = sum.bytes < max_bytes && !sum.refused;
    // By age, the sweep of a class must end before the others have their turn.
    if (more || !idle_only) c = c + 1 < kNumClasses ? c + 1 : 1;
  }
  next_to_sweep_.store(c, std::memory_order_relaxed);
  return sum;
}

bool CentralHeap::HasUnused() const {
  for (size_t c = 1; c < kNumClasses; ++c) {
    if (transfers_[c].objects() != 0 || lists_[c].HasUnused()) return true;
  }
  return false;
}

void CentralHeap::CheckInvariants() const {
  for (size_t c = 1; c < kNumClasses; ++c) {
    transfers_[c].CheckInvariants();
    lists_[c].CheckInvariants();
  }
  page_heap_.CheckInvariants();
}

void CentralHeap::CheckWhenQuiet() const {
  CheckInvariants();
  size_t released = 0;
  bool all = true;
  for (size_t c = 1; c < kNumClasses; ++c) {
    all = lists_[c].AddReleasedBytes(&released) && all;
  }
  SPANMALLOC_CHECK(!all || released == page_heap_.stats().released_in_spans);
}

}  // namespace spanmalloc
