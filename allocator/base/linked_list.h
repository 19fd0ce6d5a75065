// A doubly linked list of things that carry their own links.
//
// Place:    base/.
// Purpose:  Membership without memory: T has members `T* next` and `T* prev`.
// Concurrency: none; the owner's lock covers it.
// Invariants: a node is in at most one list through one pair of links; outside
//           any list its links mean nothing.
// Cost:     constant for everything but size().
#ifndef SPANMALLOC_ALLOCATOR_BASE_LINKED_LIST_H_
#define SPANMALLOC_ALLOCATOR_BASE_LINKED_LIST_H_

#include <cstddef>

#include "allocator/base/check.h"

namespace spanmalloc {

template <typename T, T* T::*kNext = &T::next, T* T::*kPrev = &T::prev>
class LinkedList {
 public:
  constexpr LinkedList() = default;

  bool empty() const { return first_ == nullptr; }
  T* first() const { return first_; }
  static T* Next(const T* node) { return node->*kNext; }

  void PushFront(T* node) {
    node->*kPrev = nullptr;
    node->*kNext = first_;
    (first_ != nullptr ? first_->*kPrev : last_) = node;
    first_ = node;
  }
  void PushBack(T* node) {
    node->*kNext = nullptr;
    node->*kPrev = last_;
    (last_ != nullptr ? last_->*kNext : first_) = node;
    last_ = node;
  }
  // Front if `node` lies below the first one, else back: a cheap bias towards
  // low addresses.
  void PushByAddress(T* node) {
    if (first_ == nullptr || node < first_) {
      PushFront(node);
    } else {
      PushBack(node);
    }
  }
  // REQUIRES: node is in this list.
  void Remove(T* node) {
    T* const next = node->*kNext;
    T* const prev = node->*kPrev;
    SPANMALLOC_ASSERT(prev != nullptr ? prev->*kNext == node : first_ == node);
    SPANMALLOC_ASSERT(next != nullptr ? next->*kPrev == node : last_ == node);
    (prev != nullptr ? prev->*kNext : first_) = next;
    (next != nullptr ? next->*kPrev : last_) = prev;
  }
  T* PopFront() {
    T* const node = first_;
    if (node != nullptr) Remove(node);
    return node;
  }
  size_t size() const {
    size_t n = 0;
    for (T* node = first_; node != nullptr; node = node->*kNext) ++n;
    return n;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_LINKED_LIST_H_
