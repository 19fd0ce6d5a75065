// Lists numbered by a key, and the smallest key whose list is not empty.
//
// Place:    page/.
// Purpose:  "The best that fits" in constant time: one list a key and a bitmap
//           of the keys that have members.
// Concurrency: none; the owner's lock covers it.
// Invariants:  a bit is set if and only if its list is not empty.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_INDEXED_LISTS_H_
#define SPANMALLOC_ALLOCATOR_PAGE_INDEXED_LISTS_H_

#include <cstddef>

#include "allocator/base/bitmap.h"
#include "allocator/base/check.h"

namespace spanmalloc {

template <typename List, size_t kKeys>
class IndexedLists {
 public:
  static constexpr size_t kNone = (kKeys + 63) / 64 * 64;

  template <typename Node>
  void Add(size_t key, Node* node) {
    lists_[key].PushByAddress(node);
    nonempty_.Set(key);
  }
  template <typename Node>
  void Remove(size_t key, Node* node) {
    lists_[key].Remove(node);
    if (lists_[key].empty()) nonempty_.Clear(key);
  }
  // The smallest key >= `key` with a list that is not empty, or kNone.
  size_t Next(size_t key) const { return nonempty_.FindSet(key); }
  const List& list(size_t key) const { return lists_[key]; }

  void CheckInvariants() const {
    for (size_t key = 0; key < kKeys; ++key) {
      SPANMALLOC_CHECK(nonempty_.Get(key) == !lists_[key].empty());
    }
  }

 private:
  List lists_[kKeys];
  Bitmap<kNone> nonempty_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_INDEXED_LISTS_H_
