// Which pages of a block may hold something other than zeros.
//
// Place:    page/, between PageHeap and whoever clears a block.
// Purpose:  A short list of ranges, so that clearing a block need not touch
//           pages that read as zero anyway.
//
// Concurrency: none.
// Invariants:  D1  ranges are in order of address and do not touch.
//              D2  every page that was added lies in a range; where there were
//                  more than kMost, those with the fewest clean pages between
//                  them became one.
// Cost:        constant, but for a look at all ranges when there are too many.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_DIRTY_PAGES_H_
#define SPANMALLOC_ALLOCATOR_PAGE_DIRTY_PAGES_H_

#include <cstddef>

#include "allocator/base/check.h"
#include "allocator/page/page_id.h"

namespace spanmalloc {

class DirtyPages {
 public:
  static constexpr size_t kMost = 32;

  DirtyPages() {}

  struct Range {
    PageId first;
    Length length;

    PageId end() const { return first + length; }
  };

  // REQUIRES: `first` is not before the end of what was added so far.
  void Add(PageId first, Length n) {
    if (count_ != 0) {
      Range& last = ranges_[count_ - 1];
      SPANMALLOC_ASSERT(!(first < last.end()));
      if (last.end() == first) {
        last.length = last.length + n;
        return;
      }
    }
    ranges_[count_++] = {first, n};
    if (count_ > kMost) JoinNearest();
  }

  const Range* begin() const { return ranges_; }
  const Range* end() const { return ranges_ + count_; }
  bool empty() const { return count_ == 0; }

 private:
  void JoinNearest() {
    size_t nearest = 1;
    Length least = ranges_[1].first - ranges_[0].end();
    for (size_t i = 2; i < count_; ++i) {
      const Length gap = ranges_[i].first - ranges_[i - 1].end();
      if (gap < least) {
        least = gap;
        nearest = i;
      }
    }
    Range& joined = ranges_[nearest - 1];
    joined.length = ranges_[nearest].end() - joined.first;
    --count_;
    for (size_t i = nearest; i < count_; ++i) ranges_[i] = ranges_[i + 1];
  }

  size_t count_ = 0;
  union {
    Range ranges_[kMost + 1];  // As many as counted: setting up all takes time.
  };
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_DIRTY_PAGES_H_
