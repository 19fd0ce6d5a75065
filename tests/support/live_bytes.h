// Which bytes are part of a live object: an oracle that is told of every object
// and finds any two that overlap.
//
// Purpose:  One bit for every four bytes of address space, in chunks that come
//           into being when they are needed.
// Not here: what the objects contain.
//
// Concurrency: all functions may be called from any thread. The bits are set
//   and cleared with relaxed order on purpose: they order nothing, so a thread
//   sanitizer still sees whether the allocator itself does.
#ifndef SPANMALLOC_TESTS_SUPPORT_LIVE_BYTES_H_
#define SPANMALLOC_TESTS_SUPPORT_LIVE_BYTES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace spanmalloc {

class LiveBytes {
 public:
  LiveBytes() : table_(new Slot[kSlots]()) {}
  ~LiveBytes() {
    for (size_t i = 0; i < kSlots; ++i) delete table_[i].chunk.load();
  }
  LiveBytes(const LiveBytes&) = delete;
  LiveBytes& operator=(const LiveBytes&) = delete;

  // False if a byte of it is live already, or it is not made of whole words of
  // four bytes.
  bool Add(const void* p, size_t size) {
    return Change(p, size, [](std::atomic<uint64_t>* word, uint64_t mask) {
      return (word->fetch_or(mask, std::memory_order_relaxed) & mask) == 0;
    });
  }
  // False if not all of it is live.
  bool Remove(const void* p, size_t size) {
    return Change(p, size, [](std::atomic<uint64_t>* word, uint64_t mask) {
      return (word->fetch_and(~mask, std::memory_order_relaxed) & mask) == mask;
    });
  }

 private:
  static constexpr size_t kGranule = 4;
  static constexpr size_t kChunkBytes = 64 << 10;
  static constexpr size_t kSlots = 1 << 14;  // For up to a gibibyte.

  struct Chunk {
    std::atomic<uint64_t> words[kChunkBytes / kGranule / 64] = {};
  };
  // The number of the chunk's place plus one, and then its bits.
  struct Slot {
    std::atomic<uintptr_t> place{0};
    std::atomic<Chunk*> chunk{nullptr};
  };

  template <typename F>
  bool Change(const void* p, size_t size, F&& f) {
    uintptr_t address = reinterpret_cast<uintptr_t>(p);
    if (address % kGranule != 0 || size % kGranule != 0) return false;
    bool ok = true;
    while (size != 0) {
      const size_t first = address % kChunkBytes / kGranule;
      size_t n = 64 - first % 64;
      if (n > size / kGranule) n = size / kGranule;
      const uint64_t ones = n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
      ok = f(&ChunkOf(address)->words[first / 64], ones << first % 64) && ok;
      address += n * kGranule;
      size -= n * kGranule;
    }
    return ok;
  }

  Chunk* ChunkOf(uintptr_t address) {
    const uintptr_t place = address / kChunkBytes + 1;
    for (size_t i = place % kSlots;; i = (i + 1) % kSlots) {
      Slot& slot = table_[i];
      uintptr_t there = slot.place.load(std::memory_order_relaxed);
      if (there == 0) {
        slot.place.compare_exchange_strong(there, place,
                                           std::memory_order_relaxed);
        if (there == 0) there = place;
      }
      if (there == place) return ChunkIn(&slot);
    }
  }
  static Chunk* ChunkIn(Slot* slot) {
    // Its own first writes are all there is to order.
    Chunk* chunk = slot->chunk.load(std::memory_order_acquire);
    if (chunk != nullptr) return chunk;
    auto made = std::make_unique<Chunk>();
    if (slot->chunk.compare_exchange_strong(chunk, made.get(),
                                            std::memory_order_acq_rel)) {
      return made.release();
    }
    return chunk;
  }

  const std::unique_ptr<Slot[]> table_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_LIVE_BYTES_H_
