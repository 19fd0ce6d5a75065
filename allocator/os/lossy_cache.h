// A small map from words to words that forgets.
//
// Place:    os/.
// Purpose:  Remember what is dear to find out, for all threads and for signal
//           handlers that interrupt each other, without a lock.
//
// Each key has one entry, which it shares with others; the last one inserted
// stays. An entry is two words, which are stored one after the other, so a
// reader may see one of this and one of that insertion. Therefore one word is
// not the key but key XOR value. Words that were not stored together are those
// of a third key, which nobody asks for: keys are mixed, so one in 2^64 might.
//
// Concurrency: any function from any thread and signal handler.
// Cost:        one line of memory.
#ifndef SPANMALLOC_ALLOCATOR_OS_LOSSY_CACHE_H_
#define SPANMALLOC_ALLOCATOR_OS_LOSSY_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/bits.h"

namespace spanmalloc {

// One to one, and every bit of the result depends on all bits of `x`.
constexpr uint64_t MixBits(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  return x ^ (x >> 32);
}

template <size_t kEntries>
class LossyCache {
  static_assert(IsPowerOfTwo(kEntries) && kEntries > 1, "an index is bits");

 public:
  constexpr LossyCache() = default;

  // The value, or 0. REQUIRES: the bits of `key` are mixed.
  uint64_t Find(uint64_t key) const {
    const Entry& entry = EntryOf(key);
    const uint64_t value = entry.value.load(std::memory_order_relaxed);
    const uint64_t check = entry.check.load(std::memory_order_relaxed);
    return check == (key ^ value) ? value : 0;
  }

  // REQUIRES: as above; value != 0.
  void Insert(uint64_t key, uint64_t value) {
    Entry& entry = EntryOf(key);
    entry.value.store(value, std::memory_order_relaxed);
    entry.check.store(key ^ value, std::memory_order_relaxed);
  }

 private:
  friend struct LossyCacheTestPeer;
  struct alignas(16) Entry {
    std::atomic<uint64_t> check{0};
    std::atomic<uint64_t> value{0};
  };
  const Entry& EntryOf(uint64_t key) const { return entries_[key % kEntries]; }
  Entry& EntryOf(uint64_t key) { return entries_[key % kEntries]; }

  Entry entries_[kEntries];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_LOSSY_CACHE_H_
