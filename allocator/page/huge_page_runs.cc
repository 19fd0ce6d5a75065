#include "allocator/page/huge_page_runs.h"

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {
namespace {

uintptr_t Distance(size_t huge_pages) { return huge_pages << kHugePageShift; }

}  // namespace

size_t HugePageRuns::Key(size_t length) {
  return length < kExact ? length
                         : kExact + static_cast<size_t>(Log2Floor(length));
}

// The huge page at the address if it is empty, else null.
HugePage* HugePageRuns::Neighbour(uintptr_t address) const {
  HugePage* const huge_page = pagemap_->HugePageOf(address);
  if (huge_page == nullptr) return nullptr;
  return huge_page->run_length != 0 ? huge_page : nullptr;
}

// run_length is 0 in every huge page that is not the first or last of a run.
void HugePageRuns::Link(HugePage* first, size_t length) {
  HugePage* const last =
      pagemap_->HugePageOf(first->address + Distance(length - 1));
  first->run_length = last->run_length = length;
  lists_.Add(Key(length), first);
  total_ += length;
}

void HugePageRuns::Unlink(HugePage* first) {
  const size_t length = first->run_length;
  lists_.Remove(Key(length), first);
  pagemap_->HugePageOf(first->address + Distance(length - 1))->run_length = 0;
  first->run_length = 0;
  total_ -= length;
}

void HugePageRuns::Add(HugePage* first, size_t count) {
  if (HugePage* const before = Neighbour(first->address - kHugePageSize)) {
    const size_t length = before->run_length;
    first = pagemap_->HugePageOf(first->address - Distance(length));
    Unlink(first);
    count += length;
  }
  if (HugePage* const after = Neighbour(first->address + Distance(count))) {
    count += after->run_length;
    Unlink(after);
  }
  Link(first, count);
}

HugePage* HugePageRuns::Take(size_t count, size_t alignment) {
  for (size_t key = lists_.Next(Key(count)); key != lists_.kNone;
       key = lists_.Next(key + 1)) {
    HugePage* best = nullptr;
    for (HugePage* run = lists_.list(key).first(); run; run = run->next) {
      const uintptr_t end = run->address + Distance(run->run_length);
      const uintptr_t start = AlignUp(run->address, alignment);
      if (start < run->address || start >= end ||
          end - start < Distance(count)) {
        continue;
      }
      if (best == nullptr || run->run_length < best->run_length ||
          (run->run_length == best->run_length &&
           run->address < best->address)) {
        best = run;
      }
    }
    if (best == nullptr) continue;
    const uintptr_t start = AlignUp(best->address, alignment);
    TakePart(best, (start - best->address) >> kHugePageShift, count);
    return pagemap_->HugePageOf(start);
  }
  return nullptr;
}

bool HugePageRuns::Has(size_t count) const {
  const size_t key = Key(count);
  if (key < kExact || lists_.Next(key) != key) {
    return lists_.Next(key) != lists_.kNone;
  }
  // Lengths of half and twice as much are in one list.
  for (const HugePage* run = lists_.list(key).first(); run; run = run->next) {
    if (run->run_length >= count) return true;
  }
  return lists_.Next(key + 1) != lists_.kNone;
}

void HugePageRuns::TakePart(HugePage* first, size_t skip, size_t count) {
  const size_t length = first->run_length;
  SPANMALLOC_ASSERT(length >= skip + count);
  Unlink(first);
  if (skip != 0) Link(first, skip);
  if (length != skip + count) {
    Link(pagemap_->HugePageOf(first->address + Distance(skip + count)),
         length - skip - count);
  }
}

// The first huge page of the run that an empty one lies in. Only the two ends
// of a run know its length.
HugePage* HugePageRuns::FirstOf(HugePage* huge_page) const {
  const uintptr_t address = huge_page->address;
  if (huge_page->run_length != 0) {
    const HugePage* const before =
        pagemap_->HugePageOf(address - kHugePageSize);
    if (before == nullptr || before->state() != HugePage::State::kEmpty) {
      return huge_page;
    }
    return pagemap_->HugePageOf(address - Distance(huge_page->run_length - 1));
  }
  for (size_t i = 1;; ++i) {
    HugePage* const low = pagemap_->HugePageOf(address - Distance(i));
    if (low->run_length != 0) return low;
    const HugePage* const high = pagemap_->HugePageOf(address + Distance(i));
    if (high->run_length != 0) {
      return pagemap_->HugePageOf(high->address -
                                  Distance(high->run_length - 1));
    }
  }
}

void HugePageRuns::TakeOut(HugePage* huge_page, size_t count) {
  HugePage* const first = FirstOf(huge_page);
  TakePart(first, (huge_page->address - first->address) >> kHugePageShift,
           count);
}

HugePage* HugePageRuns::FindBacked() const {
  constexpr int kLooks = 16;
  int looks = 0;
  for (size_t key = lists_.Next(0); key != lists_.kNone;
       key = lists_.Next(key + 1)) {
    for (HugePage* run = lists_.list(key).first(); run; run = run->next) {
      if (run->has_backed()) return run;
      if (++looks == kLooks) return nullptr;
    }
  }
  return nullptr;
}

size_t HugePageRuns::LengthBefore(uintptr_t address) const {
  const HugePage* const before = Neighbour(address - kHugePageSize);
  return before != nullptr ? before->run_length : 0;
}

void HugePageRuns::CheckInvariants() const {
  lists_.CheckInvariants();
  size_t total = 0;
  for (size_t key = lists_.Next(0); key != lists_.kNone;
       key = lists_.Next(key + 1)) {
    for (const HugePage* run = lists_.list(key).first(); run; run = run->next) {
      const size_t length = run->run_length;
      SPANMALLOC_CHECK(length != 0 && Key(length) == key);
      for (size_t i = 0; i < length; ++i) {
        const HugePage* const huge_page =
            pagemap_->HugePageOf(run->address + Distance(i));
        SPANMALLOC_CHECK(huge_page != nullptr);
        SPANMALLOC_CHECK(huge_page->state() == HugePage::State::kEmpty);
        SPANMALLOC_CHECK(huge_page->run_length ==
                         (i == 0 || i == length - 1 ? length : 0));
      }
      SPANMALLOC_CHECK(Neighbour(run->address - kHugePageSize) == nullptr);
      SPANMALLOC_CHECK(Neighbour(run->address + Distance(length)) == nullptr);
      total += length;
    }
  }
  SPANMALLOC_CHECK(total == total_);
}

}  // namespace spanmalloc
