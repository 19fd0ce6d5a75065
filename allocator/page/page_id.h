// Types for page numbers and page counts.
//
// Place:    page/, below everything else there.
// Purpose:  Bytes, pages and huge pages cannot be mixed up; every conversion
//           has a name.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_PAGE_ID_H_
#define SPANMALLOC_ALLOCATOR_PAGE_PAGE_ID_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/base/config.h"

namespace spanmalloc {

// A number of pages of 8 KiB.
class Length {
 public:
  constexpr Length() = default;
  constexpr explicit Length(size_t pages) : pages_(pages) {}
  static constexpr Length FromBytesRoundingUp(size_t bytes) {
    return Length(DivideRoundingUp(bytes, kPageSize));
  }

  constexpr size_t pages() const { return pages_; }
  constexpr size_t bytes() const { return pages_ << kPageShift; }

  friend constexpr Length operator+(Length a, Length b) {
    return Length(a.pages_ + b.pages_);
  }
  friend constexpr Length operator-(Length a, Length b) {
    return SPANMALLOC_ASSERT(a.pages_ >= b.pages_), Length(a.pages_ - b.pages_);
  }
  friend constexpr bool operator==(Length a, Length b) {
    return a.pages_ == b.pages_;
  }
  friend constexpr bool operator!=(Length a, Length b) { return !(a == b); }
  friend constexpr bool operator<(Length a, Length b) {
    return a.pages_ < b.pages_;
  }
  friend constexpr bool operator>(Length a, Length b) { return b < a; }
  friend constexpr bool operator<=(Length a, Length b) { return !(b < a); }
  friend constexpr bool operator>=(Length a, Length b) { return !(a < b); }

 private:
  size_t pages_ = 0;
};

// The number of a page: its address divided by the page size.
class PageId {
 public:
  constexpr PageId() = default;
  constexpr explicit PageId(uintptr_t index) : index_(index) {}
  static PageId Containing(const void* p) {
    return PageId(reinterpret_cast<uintptr_t>(p) >> kPageShift);
  }
  static constexpr PageId Containing(uintptr_t address) {
    return PageId(address >> kPageShift);
  }

  constexpr uintptr_t index() const { return index_; }
  constexpr uintptr_t address() const { return index_ << kPageShift; }
  void* pointer() const { return reinterpret_cast<void*>(address()); }

  // Position within the huge page that contains this page.
  constexpr size_t index_in_huge_page() const {
    return index_ % kPagesPerHugePage;
  }
  constexpr uintptr_t huge_page_address() const {
    return AlignDown(address(), kHugePageSize);
  }

  friend constexpr PageId operator+(PageId a, Length n) {
    return PageId(a.index_ + n.pages());
  }
  friend constexpr Length operator-(PageId a, PageId b) {
    return SPANMALLOC_ASSERT(a.index_ >= b.index_), Length(a.index_ - b.index_);
  }
  friend constexpr bool operator==(PageId a, PageId b) {
    return a.index_ == b.index_;
  }
  friend constexpr bool operator!=(PageId a, PageId b) { return !(a == b); }
  friend constexpr bool operator<(PageId a, PageId b) {
    return a.index_ < b.index_;
  }

 private:
  uintptr_t index_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_PAGE_ID_H_
