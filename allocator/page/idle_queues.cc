#include "allocator/page/idle_queues.h"

namespace spanmalloc {

void IdleQueues::Leave(HugePage* huge_page) {
  const Idle from = huge_page->idle;
  if (from == Idle::kNone) return;
  huge_page->idle = Idle::kNone;
  huge_page->aged.ClearAll();
  if (from == Idle::kRefused) {
    refused_pages_ -= huge_page->refused_pages;
    huge_page->refused_pages = 0;
    return;
  }
  lists_[IndexOf(from)].Remove(huge_page);
  if (IsQueue(from)) --length_;
}

void IdleQueues::MoveTo(HugePage* huge_page, Idle list) {
  Leave(huge_page);
  huge_page->idle = list;
  if (list == Idle::kNone) return;
  if (list == Idle::kRefused) {
    const size_t pages = huge_page->dirty().Count();
    huge_page->refused_pages = static_cast<uint16_t>(pages);
    refused_pages_ += pages;
    return;
  }
  lists_[IndexOf(list)].PushBack(huge_page);
  huge_page->idle_since = now_;
  if (!IsQueue(list)) return;
  huge_page->aged = huge_page->dirty();
  ++length_;
}

void IdleQueues::TakenFromListed(HugePage* huge_page, size_t from,
                                 size_t count) {
  const Idle list = huge_page->idle;
  if (!huge_page->has_dirty()) {
    if (huge_page->lazy_pages == 0) {
      Leave(huge_page);
    } else if (list != Idle::kHeld) {
      MoveTo(huge_page, Idle::kHeld);
    }
  } else if (list == Idle::kPartial) {
    huge_page->aged.ClearRange(from, count);
  } else if (list == Idle::kEmpty) {
    MoveTo(huge_page, Idle::kPartial);
  } else if (list == Idle::kRefused) {
    MoveTo(huge_page, Idle::kRefused);  // Counts again.
  }
}

void IdleQueues::CheckHugePage(const HugePage& huge_page) {
  const bool empty = huge_page.state() == HugePage::State::kEmpty;
  const bool dirty = huge_page.has_dirty();
  switch (huge_page.idle) {
    case Idle::kNone:
      SPANMALLOC_CHECK(!dirty && huge_page.lazy_pages == 0);
      break;
    case Idle::kEmpty:
    case Idle::kPartial:
      SPANMALLOC_CHECK(dirty && empty == (huge_page.idle == Idle::kEmpty));
      break;
    case Idle::kHeld:
      SPANMALLOC_CHECK(huge_page.lazy_pages != 0 || (dirty && !empty));
      break;
    case Idle::kRefused:
      SPANMALLOC_CHECK(huge_page.refused_pages == huge_page.dirty().Count());
      break;
  }
  SPANMALLOC_CHECK((huge_page.aged - huge_page.dirty()).None());
  SPANMALLOC_CHECK(IsQueue(huge_page.idle) || huge_page.aged.None());
  SPANMALLOC_CHECK(huge_page.idle != Idle::kEmpty ||
                   (huge_page.dirty() - huge_page.aged).None());
}

void IdleQueues::CheckInvariants() const {
  size_t length = 0;
  constexpr Idle kAll[kLists] = {Idle::kEmpty, Idle::kPartial, Idle::kHeld};
  for (const Idle list : kAll) {
    uint32_t age = UINT32_MAX;
    for (const HugePage* at = list_of(list).first(); at != nullptr;
         at = at->next_idle) {
      SPANMALLOC_CHECK(at->idle == list);
      SPANMALLOC_CHECK(AgeOf(*at) <= age);
      age = AgeOf(*at);
      CheckHugePage(*at);
      if (IsQueue(list)) ++length;
    }
  }
  SPANMALLOC_CHECK(length == length_);
}

}  // namespace spanmalloc
