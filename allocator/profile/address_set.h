// A set of addresses in memory that somebody lends.
//
// Place:    profile/, for the encoder of profiles.
// Purpose:  Name each address once, of those whose hash ends in given bits; so
//           that a set too large for the memory is seen in parts.
//
// Concurrency: one thread.
// Invariants:  an empty place is 0; so the address 0 has a flag of its own.
// Failure:     is_full(), as soon as one is left out.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_ADDRESS_SET_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_ADDRESS_SET_H_

#include <string.h>

#include <cstddef>
#include <cstdint>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {

class AddressSet {
 public:
  static constexpr size_t kLeastBytes = 64 * sizeof(uint64_t);

  // REQUIRES: bytes >= kLeastBytes; memory is aligned to 8 bytes.
  AddressSet(void* memory, size_t bytes)
      : places_(static_cast<uint64_t*>(memory)),
        mask_((size_t{1} << Log2Floor(bytes / sizeof(uint64_t))) - 1) {}

  // Empties it, for the addresses whose hash ends in the `count` lowest of
  // `bits`.
  void Restart(uint64_t bits, int count) {
    memset(places_, 0, (mask_ + 1) * sizeof(uint64_t));
    bits_ = bits;
    count_ = count;
    size_ = 0;
    has_zero_ = false;
    is_full_ = false;
  }

  void Insert(uint64_t address) {
    const uint64_t hash = Hash(address);
    if ((hash & ((uint64_t{1} << count_) - 1)) != bits_) return;
    if (address == 0) {
      has_zero_ = true;
      return;
    }
    // By other bits than those that all have in common.
    size_t at = hash >> 32 & mask_;
    while (places_[at] != 0 && places_[at] != address) at = (at + 1) & mask_;
    if (places_[at] == address) return;
    if (size_ >= (mask_ + 1) / 4 * 3) {
      is_full_ = true;
      return;
    }
    ++size_;
    places_[at] = address;
  }

  bool is_full() const { return is_full_; }
  size_t size() const { return size_ + has_zero_; }

  template <typename Function>  // void(uint64_t)
  void ForEach(Function function) const {
    if (has_zero_) function(uint64_t{0});
    for (size_t i = 0; i <= mask_; ++i) {
      if (places_[i] != 0) function(places_[i]);
    }
  }

 private:
  static uint64_t Hash(uint64_t address) {
    const uint64_t hash = (address ^ address >> 32) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
  }

  uint64_t* places_;
  size_t mask_;
  uint64_t bits_ = 0;
  int count_ = 0;
  size_t size_ = 0;
  bool has_zero_ = false;
  bool is_full_ = false;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_ADDRESS_SET_H_
