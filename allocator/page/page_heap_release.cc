// The part of PageHeap that gives memory back to the system.
//
// Pages that are being released are marked as used meanwhile, so that the lock
// need not be held during the system calls and nobody can be handed a page
// that is about to lose its contents.
#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {
namespace {

using Pages = HugePage::Pages;

// The pages that fill whole pages of the system.
Pages WholeSystemPages(const Pages& pages) {
  const size_t page = SystemPageSize();
  if (page <= kPageSize) return pages;
  const size_t unit = page >> kPageShift;
  Pages whole;
  for (size_t at = 0; at < kPagesPerHugePage; at += unit) {
    if (pages.AllSet(at, unit)) whole.SetRange(at, unit);
  }
  return whole;
}

bool IsWhole(const Pages& pages) { return pages.AllSet(0, kPagesPerHugePage); }

}  // namespace

void PageHeap::Tick() {
  MutexLock lock(&lock_);
  idle_.Tick();
}

uint32_t PageHeap::OldestIdleAge() const {
  MutexLock lock(&lock_);
  return idle_.OldestAge();
}

void PageHeap::set_release_lazily(bool lazily) {
  MutexLock lock(&lock_);
  lazily_ = lazily;
}

void PageHeap::set_huge_page_mode(HugePageMode mode) {
  MutexLock lock(&lock_);
  huge_page_mode_ = mode;
  huge_page_mode_known_ = true;
}

// ---- Huge pages that are to be split

bool PageHeap::MayBeHuge(const HugePage& huge_page) const {
  if (huge_page.huge_forbidden) return false;
  return huge_page_mode_ == HugePageMode::kAlways ||
         (huge_page_mode_ == HugePageMode::kMadvise &&
          huge_page.backed_as_whole);
}

void PageHeap::SetForbidden(HugePage* huge_page, bool forbidden) {
  const HugePageFiller::Keys before = HugePageFiller::KeysOf(*huge_page);
  huge_page->SetForbidden(forbidden);
  filler_.Update(huge_page, before);
}

void PageHeap::SetApart(HugePage* huge_page, bool apart) {
  if (huge_page->set_apart == apart) return;
  huge_page->set_apart = apart;
  stats_.huge_set_apart += apart ? size_t{1} : ~size_t{0};
}

// The system is told when the loan is released. What it does not back from then
// on is what is fresh; so all of that is released, too.
void PageHeap::Forbid(Loan* loan) {
  loan->forbid = true;
  loan->set_apart = !loan->huge_page->set_apart;
  SetApart(loan->huge_page, true);
  SetForbidden(loan->huge_page, true);
}

// A huge page that is empty is handed out anew.
void PageHeap::AllowHuge(HugePage* huge_page) {
  const bool wanted =
      huge_page_mode_ == HugePageMode::kAlways ||
      (huge_page_mode_ == HugePageMode::kMadvise && huge_page->backed_as_whole);
  if (!wanted ||
      !system_->advise_huge(reinterpret_cast<void*>(huge_page->address),
                            kHugePageSize)) {
    return;
  }
  SetForbidden(huge_page, false);
  // Where the region was never advised, the advice still sets it apart.
  if (huge_page->backed_as_whole) SetApart(huge_page, false);
}

// ---- Borrowing

// Marks free pages as used.
void PageHeap::Lend(HugePage* huge_page, const Pages& pages, Loan* loan) {
  loan->huge_page = huge_page;
  loan->pages = pages;
  loan->fresh = huge_page->fresh & pages;
  loan->lazy = huge_page->lazy & pages;
  borrowed_ = borrowed_ + Length(pages.Count());
  borrowed_fresh_ = borrowed_fresh_ + Length(loan->fresh.Count());
  borrowed_lazy_ = borrowed_lazy_ + Length(loan->lazy.Count());
  size_t start = 0, count = 0;
  for (size_t at = 0; pages.NextRun(at, &start, &count); at = start + count) {
    TakePages(huge_page, start, count);
  }
}

bool PageHeap::MayRelease(const HugePage& huge_page,
                          const ReleaseRequest& request) const {
  if (huge_page.state() != HugePage::State::kEmpty) return false;
  if (huge_page.idle == HugePage::Idle::kHeld) return request.min_age == 0;
  return huge_page.idle == HugePage::Idle::kEmpty &&
         idle_.AgeOf(huge_page) >= request.min_age;
}

// Borrows an empty huge page, and as many of its neighbours as may be released,
// in order of address. Returns how many; `bytes` is what is still wanted.
size_t PageHeap::BorrowEmpty(HugePage* huge_page, const ReleaseRequest& request,
                             Loan* loans, size_t max_loans, size_t* bytes) {
  const auto gain = [&](const HugePage& candidate) {
    return Length((request.min_age == 0 ? candidate.free - candidate.fresh
                                        : candidate.aged)
                      .Count())
        .bytes();
  };
  size_t sum = gain(*huge_page), count = 1;
  uintptr_t first = huge_page->address;
  const auto extend = [&](uintptr_t address) REQUIRES(lock_) {
    if (count == max_loans || sum >= *bytes) return false;
    const HugePage* const neighbour = pagemap_.HugePageOf(address);
    if (neighbour == nullptr || !MayRelease(*neighbour, request)) return false;
    sum += gain(*neighbour);
    ++count;
    return true;
  };
  while (extend(first + (count << kHugePageShift))) {
  }
  while (extend(first - kHugePageSize)) first -= kHugePageSize;
  runs_.TakeOut(pagemap_.HugePageOf(first), count);
  for (size_t i = 0; i < count; ++i) {
    HugePage* const one = pagemap_.HugePageOf(first + (i << kHugePageShift));
    Lend(one, one->free, &loans[i]);
  }
  *bytes -= sum < *bytes ? sum : *bytes;
  return count;
}

// Borrows idle pages of a huge page that is partly used. Where nothing of it
// can be released now, it leaves its place in the queue: false.
bool PageHeap::BorrowPart(HugePage* huge_page, const ReleaseRequest& request,
                          Loan* loan, size_t* bytes) {
  using Idle = HugePage::Idle;
  const bool everything = request.min_age == 0;
  const Pages wanted =
      everything ? huge_page->free - huge_page->fresh : huge_page->aged;
  // Those that were put there later have their time still to come.
  const Idle unless_later = everything ? Idle::kRefused : Idle::kHeld;
  const auto leave = [&](Idle list) REQUIRES(lock_) {
    const bool later = !(huge_page->dirty() - wanted).None();
    idle_.MoveTo(huge_page, later ? Idle::kPartial : list);
    return false;
  };
  const bool forbid = MayBeHuge(*huge_page);
  if (forbid && !MayForbid(*huge_page)) {
    idle_.MoveTo(huge_page, Idle::kRefused);
    return false;
  }
  if (forbid && !everything && wanted.Count() < kLeastPart) {
    return leave(unless_later);
  }
  const Pages whole =
      WholeSystemPages(forbid ? wanted | huge_page->fresh : wanted);
  if ((whole & wanted).None()) return leave(Idle::kRefused);

  Pages lent;
  bool all = true;
  size_t start = 0, count = 0;
  for (size_t at = 0; whole.NextRun(at, &start, &count); at = start + count) {
    const Length gain(wanted.CountRange(start, count));
    if (gain != Length(0) && *bytes == 0) {
      all = false;
      continue;
    }
    lent.SetRange(start, count);
    *bytes -= gain.bytes() < *bytes ? gain.bytes() : *bytes;
  }
  Lend(huge_page, lent, loan);
  if (forbid) Forbid(loan);
  if (all && huge_page->has_dirty()) leave(Idle::kRefused);
  return true;
}

// Borrows what is to be released next: empty huge pages, then parts of others,
// then what was held back. Returns the number of loans.
size_t PageHeap::Borrow(const ReleaseRequest& request, Loan* loans) {
  using Idle = HugePage::Idle;
  size_t bytes = request.bytes;
  size_t n = 0;
  constexpr Idle kOrder[] = {Idle::kEmpty, Idle::kPartial, Idle::kHeld};
  for (const Idle list : kOrder) {
    if (list == Idle::kHeld && request.min_age != 0) break;
    const uint32_t min_age =
        list == Idle::kPartial ? request.min_age_of_parts : request.min_age;
    while (n < kLoans && bytes != 0) {
      HugePage* const oldest = idle_.Oldest(list, min_age);
      if (oldest == nullptr) break;
      if (oldest->state() == HugePage::State::kEmpty) {
        n += BorrowEmpty(oldest, request, &loans[n], kLoans - n, &bytes);
      } else if (BorrowPart(oldest, request, &loans[n], &bytes)) {
        ++n;
      }
    }
  }
  return n;
}

// ---- Taking back

void PageHeap::PutAll(HugePage* huge_page, const Pages& pages,
                      Contents contents) {
  size_t start = 0, count = 0;
  for (size_t at = 0; pages.NextRun(at, &start, &count); at = start + count) {
    Unuse(huge_page, start, count, contents);
  }
}

// Frees the pages again, as what they are now. Returns the bytes released.
size_t PageHeap::TakeBack(const Loan& loan) {
  HugePage* const huge_page = loan.huge_page;
  if (loan.forbid && !loan.forbidden) {
    SetForbidden(huge_page, false);
    if (loan.set_apart) SetApart(huge_page, false);
  }
  borrowed_ = borrowed_ - Length(loan.pages.Count());
  borrowed_fresh_ = borrowed_fresh_ - Length(loan.fresh.Count());
  borrowed_lazy_ = borrowed_lazy_ - Length(loan.lazy.Count());
  const Pages released = loan.pages - loan.refused - loan.fresh;
  const Pages refused = loan.refused - loan.fresh;
  const Pages lazy =
      loan.lazily ? released | (loan.lazy & refused) : loan.lazy & refused;
  PutAll(huge_page, loan.pages - refused - lazy, Contents::kFresh);
  PutAll(huge_page, lazy, Contents::kLazy);
  PutAll(huge_page, refused - lazy, Contents::kDirty);
  if (!refused.None()) idle_.MoveTo(huge_page, HugePage::Idle::kRefused);
  if (loan.lazily) {
    const Length pages((released - loan.lazy).Count());
    stats_.lazily_released_bytes += pages.bytes();
    return pages.bytes();
  }
  const Length pages(released.Count());
  stats_.released_bytes += pages.bytes();
  return pages.bytes();
}

// ---- Releasing

// If the system does not release lazily but does release, `lazily` is cleared.
bool PageHeap::ReleaseRange(void* start, size_t bytes, bool* lazily) {
  if (*lazily && system_->release_lazily(start, bytes)) return true;
  if (!system_->release(start, bytes)) return false;
  *lazily = false;
  return true;
}

void PageHeap::ReleaseLoan(Loan* loan, bool* lazily) {
  const uintptr_t address = loan->huge_page->address;
  if (loan->forbid) {
    loan->forbidden =
        system_->forbid_huge(reinterpret_cast<void*>(address), kHugePageSize);
    if (!loan->forbidden) {
      loan->refused = loan->pages;
      return;
    }
  }
  loan->lazily = *lazily;
  size_t start = 0, count = 0;
  for (size_t at = 0; loan->pages.NextRun(at, &start, &count);) {
    at = start + count;
    const PageId page = PageId::Containing(address) + Length(start);
    if (!ReleaseRange(page.pointer(), Length(count).bytes(), lazily)) {
      loan->refused.SetRange(start, count);
    } else if (loan->lazily && !*lazily) {
      // All over again, so that it is one kind.
      loan->lazily = false;
      loan->refused.ClearAll();
      at = 0;
    }
  }
}

// Neighbours that are borrowed as a whole take one call, unless the system
// refuses: then it is seen which of them it means.
void PageHeap::ReleaseLoans(Loan* loans, size_t n, bool* lazily) {
  for (size_t i = 0; i < n;) {
    const uintptr_t start = loans[i].huge_page->address;
    size_t count = 1;
    while (i + count < n && IsWhole(loans[i + count].pages) &&
           IsWhole(loans[i + count - 1].pages) &&
           loans[i + count].huge_page->address ==
               start + (count << kHugePageShift)) {
      ++count;
    }
    const bool released =
        count != 1 && ReleaseRange(reinterpret_cast<void*>(start),
                                   count << kHugePageShift, lazily);
    for (const size_t end = i + count; i < end; ++i) {
      if (released) {
        loans[i].lazily = *lazily;
      } else {
        ReleaseLoan(&loans[i], lazily);
      }
    }
  }
  ReleaseRecords(loans, n);
}

// Headers and bitmaps of huge pages that were released as a whole. Look-ups of
// headers go on meanwhile; what they find reads as unused before and after. A
// refusal does not matter.
void PageHeap::ReleaseRecords(const Loan* loans, size_t n) {
  static_assert(HugePage::kBitmapBytes % HugePage::kHeaderBytes == 0);
  if (HugePage::kHeaderBytes % SystemPageSize() != 0) return;
  const auto gone = [&](size_t i) {
    return i < n && IsWhole(loans[i].pages) && loans[i].refused.None() &&
           !loans[i].lazily;
  };
  for (size_t i = 0, end = 0; i < n; i = end) {
    end = i + 1;
    if (!gone(i)) continue;
    char* const records = loans[i].huge_page->bitmaps;
    while (gone(end) && loans[end].huge_page->bitmaps ==
                            records + (end - i) * HugePage::kSpanRecordBytes) {
      ++end;
    }
    system_->release(records, (end - i) * HugePage::kSpanRecordBytes);
  }
}

size_t PageHeap::ReleaseIdle(size_t bytes, uint32_t min_age,
                             uint32_t min_age_of_parts) {
  size_t released = 0;
  bool lazily = false;
  {
    Change change(this);
    lazily = lazily_ && min_age != 0;
  }
  const bool wanted_lazily = lazily;
  while (released < bytes) {
    Loan loans[kLoans];
    size_t n = 0;
    {
      Change change(this);
      n = Borrow({bytes - released, min_age, min_age_of_parts, lazily}, loans);
    }
    if (n == 0) break;
    ReleaseLoans(loans, n, &lazily);
    size_t now = 0;
    Change change(this);
    for (size_t i = 0; i < n; ++i) now += TakeBack(loans[i]);
    // The system can't: the next time it is not asked.
    if (wanted_lazily && !lazily) lazily_ = false;
    // It refuses all: so it would the rest, which is left for another day.
    if (now == 0) break;
    released += now;
  }
  return released;
}

// ---- Parts of spans

bool PageHeap::ReleaseInSpan(Span* span, size_t first, size_t count) {
  HugePage* const huge_page = pagemap_.HugePageOf(span->address());
  const size_t bytes = count * Span::kReleaseUnit;
  char* const start =
      static_cast<char*>(span->start()) + first * Span::kReleaseUnit;
  Loan loan;  // Of what is fresh around it, where that is backed, too.
  loan.huge_page = huge_page;
  {
    Change change(this);
    if (MayBeHuge(*huge_page)) {
      if (!MayForbid(*huge_page)) return false;
      Lend(huge_page, WholeSystemPages(huge_page->fresh), &loan);
      Forbid(&loan);
    }
  }
  bool lazily = false;
  ReleaseLoan(&loan, &lazily);
  const bool released =
      loan.forbid == loan.forbidden && system_->release(start, bytes);
  Change change(this);
  TakeBack(loan);
  if (!released) return false;
  span->released |= static_cast<uint16_t>(((1u << count) - 1) << first);
  stats_.released_in_spans += bytes;
  stats_.released_bytes += bytes;
  return true;
}

bool PageHeap::TakeReleased(Span* span, uint16_t parts) {
  SPANMALLOC_ASSERT((span->released & parts) == parts);
  const size_t bytes = CountOnes(parts) * Span::kReleaseUnit;
  if (!HasRoomFor(bytes)) return false;
  Change change(this);
  span->released &= static_cast<uint16_t>(~parts);
  stats_.released_in_spans -= bytes;
  return true;
}

}  // namespace spanmalloc
