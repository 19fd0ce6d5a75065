// Which free memory has been idle for how long.
//
// Place:    page/, inside PageHeap.
// Purpose:  Find what has been idle the longest without looking at the rest:
//           queues of the huge pages that have dirty pages, oldest first.
// Not here: time (whoever calls Tick), releasing (page_heap_release.cc).
//
// A huge page carries one stamp, the tick of which is the age of its pages in
// `aged`. Dirty pages that came later are not in `aged`: they count from the
// day when those in `aged` are gone. So nothing is ever taken for older than it
// is, and it is released at most one age later than it could be.
//
// A huge page that becomes empty starts anew, with all of its dirty pages: it
// was in use until now, and all of it can then be released in one piece. One
// that is no longer empty starts anew, too: it will probably be used further.
//
// Lists   kEmpty    empty huge pages with dirty pages,
//         kPartial  others with dirty pages,
//         kHeld     those that only a request for everything gives back: they
//                   have lazy pages, or dirty ones too few to split a huge page
//                   for,
//         kRefused  no list: what is dirty there cannot be released. It is not
//                   tried again before pages are put there.
//         kNone     no list: neither dirty nor lazy pages.
//
// Concurrency: none; the page heap's lock covers it.
// Invariants:  I1  stamps do not fall from the head of a queue to its tail.
//              I2  a huge page is in kEmpty or kPartial only if it has dirty
//                  pages and is, or is not, empty.
//              I3  one with dirty or lazy pages is not kNone.
//              I4  aged is a subset of the dirty pages, all of them in kEmpty,
//                  and none outside of the two queues.
// Cost:        constant, a few instructions where nothing moves.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_IDLE_QUEUES_H_
#define SPANMALLOC_ALLOCATOR_PAGE_IDLE_QUEUES_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/check.h"
#include "allocator/base/linked_list.h"
#include "allocator/page/huge_page.h"

namespace spanmalloc {

class IdleQueues {
 public:
  using Idle = HugePage::Idle;

  void Tick() { ++now_; }
  uint32_t now() const { return now_; }

  // ---- To be called after each change of a huge page

  // Pages were taken.
  void Taken(HugePage* huge_page, size_t from, size_t count) {
    if (huge_page->idle != Idle::kNone) TakenFromListed(huge_page, from, count);
  }
  // Dirty pages were put there.
  void PutDirty(HugePage* huge_page, size_t from, size_t count) {
    if (huge_page->state() == HugePage::State::kEmpty) {
      MoveTo(huge_page, Idle::kEmpty);
    } else if (huge_page->idle != Idle::kPartial) {
      MoveTo(huge_page, Idle::kPartial);
    } else if (huge_page->idle_since == now_) {
      huge_page->aged.SetRange(from, count);
    }
  }
  // Fresh or lazy pages were put there.
  void PutClean(HugePage* huge_page) {
    const Idle idle = huge_page->idle;
    if (idle == Idle::kNone) {
      if (huge_page->lazy_pages != 0) MoveTo(huge_page, Idle::kHeld);
    } else if ((idle == Idle::kPartial || idle == Idle::kHeld) &&
               huge_page->state() == HugePage::State::kEmpty &&
               huge_page->has_dirty()) {
      MoveTo(huge_page, Idle::kEmpty);
    }
  }

  // ---- For whoever releases

  // The head of a list, if it has been there for `min_age` ticks; else null.
  HugePage* Oldest(Idle list, uint32_t min_age) const {
    HugePage* const head = list_of(list).first();
    return head != nullptr && AgeOf(*head) >= min_age ? head : nullptr;
  }
  uint32_t AgeOf(const HugePage& huge_page) const {
    return now_ - huge_page.idle_since;
  }
  uint32_t OldestAge() const {
    const HugePage* const empty = list_of(Idle::kEmpty).first();
    const HugePage* const partial = list_of(Idle::kPartial).first();
    const uint32_t a = empty != nullptr ? AgeOf(*empty) : 0;
    const uint32_t b = partial != nullptr ? AgeOf(*partial) : 0;
    return a > b ? a : b;
  }
  // Puts it at the tail of a list, or into none; it starts anew there.
  void MoveTo(HugePage* huge_page, Idle list);

  // Huge pages in the two queues.
  size_t length() const { return length_; }
  // Dirty pages that are not to be tried.
  size_t refused_pages() const { return refused_pages_; }

  static void CheckHugePage(const HugePage& huge_page);
  // Of all that are in lists.
  void CheckInvariants() const;

 private:
  using List = LinkedList<HugePage, &HugePage::next_idle, &HugePage::prev_idle>;
  static constexpr size_t kLists = 3;

  static constexpr size_t IndexOf(Idle list) {
    return static_cast<size_t>(list) - static_cast<size_t>(Idle::kEmpty);
  }
  const List& list_of(Idle list) const { return lists_[IndexOf(list)]; }
  static bool IsQueue(Idle list) {
    return list == Idle::kEmpty || list == Idle::kPartial;
  }
  void TakenFromListed(HugePage* huge_page, size_t from, size_t count);
  void Leave(HugePage* huge_page);

  uint32_t now_ = 0;
  size_t length_ = 0;
  size_t refused_pages_ = 0;
  List lists_[kLists];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_IDLE_QUEUES_H_
