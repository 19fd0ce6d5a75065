// The part of PageHeap that keeps the hard limit.
//
// Pages that are being released by anyone count as released here: their threads
// are about to see to it. Should the system refuse, the next request finds out.
#include "allocator/page/page_heap.h"

namespace spanmalloc {

Length PageHeap::Backed() const {
  return stats_.mapped - stats_.fresh - stats_.lazy;
}

// Whether `more` bytes could be used.
bool PageHeap::WithinLimit(size_t more) const {
  const size_t limit = hard_limit();
  if (limit == 0) return true;
  const size_t used = (stats_.used - donated_ - borrowed_).bytes() -
                      stats_.released_in_spans + arena_.used_bytes();
  return used <= limit && more <= limit - used;
}

// How many bytes too many the system backs, if `more` are added and `less`
// taken away.
size_t PageHeap::Excess(size_t more, size_t less) const {
  const size_t limit = hard_limit();
  if (limit == 0) return 0;
  const Length backed = Backed() - donated_ - borrowed_;
  const size_t bytes =
      backed.bytes() - stats_.released_in_spans + arena_.used_bytes() + more;
  return bytes > limit + less ? bytes - less - limit : 0;
}

// Releases free memory until the system backs no more than the limit. False if
// there is not enough of it.
bool PageHeap::MakeRoom(size_t more, size_t less) {
  // Others take memory meanwhile, and free some, so nothing released once is
  // not yet the end.
  constexpr int kTries = 8;
  for (int i = 0;; ++i) {
    size_t excess;
    {
      MutexLock lock(&lock_);
      excess = Excess(more, less);
    }
    if (excess == 0) return true;
    if (i == kTries) return false;
    ReleaseIdle(excess, 0);
  }
}

// Whether `bytes` could be used and backed; makes room for them.
bool PageHeap::HasRoomFor(size_t bytes) {
  if (hard_limit() == 0) return true;
  {
    MutexLock lock(&lock_);
    if (!WithinLimit(bytes)) return false;
  }
  return MakeRoom(bytes, 0);
}

// Where pages are allocated they are judged only then: now it is known how many
// of them the system has yet to back. Until that is decided they are used, but
// belong to no span.

// As AllocatePages, or where the alignment is 0, as AllocateSmallSpanPages.
// The contents of `moved` pages are to be moved there, which are then neither
// used nor backed twice. REQUIRES: dirty is empty.
PageId PageHeap::AllocateWithinLimit(Length n, size_t alignment, Length moved,
                                     DirtyPages* dirty) {
  PageId first;
  Length added;
  {
    Change change(this);
    if (!WithinLimit((n - moved).bytes())) return PageId();
    const Length before = Backed();
    first = alignment == 0 ? AllocateSmallSpanPages(dirty)
                           : AllocatePages(n, alignment, dirty);
    if (first == PageId() || Excess(0, moved.bytes()) == 0) return first;
    added = Backed() - before;
    undecided_ = undecided_ + added;
  }
  return Decide(first, n, *dirty, added, moved) ? first : PageId();
}

bool PageHeap::GrowWithinLimit(const Span& span, Length n) {
  DirtyPages dirty;
  Length added;
  {
    Change change(this);
    if (!WithinLimit(n.bytes())) return false;
    const Length before = Backed();
    if (!GrowInPlace(span, n, &dirty)) return false;
    if (Excess(0, 0) == 0) return true;
    added = Backed() - before;
    undecided_ = undecided_ + added;
  }
  return Decide(span.first_page() + span.length(), n, dirty, added, Length(0));
}

// Pages that brought the heap above the limit, `added` of which the system does
// not back yet, stay allocated if room can be made for them.
bool PageHeap::Decide(PageId first, Length n, const DirtyPages& dirty,
                      Length added, Length moved) {
  const bool fits = MakeRoom(0, moved.bytes());
  {
    Change change(this);
    undecided_ = undecided_ - added;
    if (!fits) FreeUntouched(first, n, dirty);
  }
  if (!fits) MakeRoom(0, 0);  // For what was lazy before.
  return fits;
}

}  // namespace spanmalloc
