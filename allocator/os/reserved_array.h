// An array of memory of its own, for the time of one piece of work.
//
// Place:    os/, above memory.h.
// Purpose:  Room for as much as there may be, of which only what is used costs
//           memory.
// Not here: constructors and destructors: elements begin as zero bytes,
//           which must be a value of theirs.
//
// Failure:  an array of no elements.
#ifndef SPANMALLOC_ALLOCATOR_OS_RESERVED_ARRAY_H_
#define SPANMALLOC_ALLOCATOR_OS_RESERVED_ARRAY_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/bits.h"
#include "allocator/base/config.h"
#include "allocator/os/memory.h"

namespace spanmalloc {

template <typename T>
class ReservedArray {
 public:
  explicit ReservedArray(size_t count) {
    if (count == 0 || count > SIZE_MAX / 2 / sizeof(T)) return;
    bytes_ = AlignUp(count * sizeof(T), size_t{kMaxSystemPageSize});
    first_ = static_cast<T*>(kLinuxMemory.reserve(bytes_));
    if (first_ != nullptr) capacity_ = count;
  }
  ~ReservedArray() {
    if (first_ != nullptr) kLinuxMemory.unmap(first_, bytes_);
  }
  ReservedArray(const ReservedArray&) = delete;
  ReservedArray& operator=(const ReservedArray&) = delete;

  // Null if there is no room for one more.
  T* Add() { return size_ < capacity_ ? &first_[size_++] : nullptr; }
  // Forgets those from there on. REQUIRES: size <= size().
  void Shrink(size_t size) { size_ = size; }

  T* begin() { return first_; }
  T* end() { return first_ + size_; }
  const T* begin() const { return first_; }
  const T* end() const { return first_ + size_; }
  T& operator[](size_t i) { return first_[i]; }
  const T& operator[](size_t i) const { return first_[i]; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }

 private:
  T* first_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  size_t bytes_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_RESERVED_ARRAY_H_
