// Memory for the allocator's own records.
//
// Place:    page/, below everything that needs records.
// Purpose:  Span headers, bitmaps, thread caches: all that must not live in
//           the heap itself.
// Not here: objects of the program.
//
// Concurrency: thread-safe; the lock is the innermost of all.
// Invariants:  A1  nothing is ever given back: who needs a record no longer
//                  keeps it for the next of its kind. Who has a block of whole
//                  pages of the system may release these.
//              A2  a block reads as zero.
// Cost:        a bump of a pointer. Chunks are touched only as far as they are
//              used.
// Failure:     a null pointer when the system has no more.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_METADATA_ARENA_H_
#define SPANMALLOC_ALLOCATOR_PAGE_METADATA_ARENA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/config.h"
#include "allocator/os/memory.h"
#include "allocator/os/mutex.h"

namespace spanmalloc {

// What a record is for; statistics tell them apart.
enum class RecordKind : unsigned char {
  kSpans,  // Headers, bitmaps, trackers of huge pages.
  kThreadCaches,
  kTransferCaches,
  kPageMap,
  kProfile,  // The tables of the heap profiler.
  kOther,
};
inline constexpr size_t kRecordKinds = 6;

class MetadataArena {
 public:
  // Blocks are multiples of this and aligned to it.
  static constexpr size_t kGranule = kCacheLineSize;

  constexpr explicit MetadataArena(const SystemMemory* system)
      : system_(system), lock_(LockRank::kMetadataArena) {}

  // At least `size` bytes, at a multiple of `alignment`. What is left out for
  // that is never touched, and does not count as used.
  // REQUIRES: alignment is a power of two from kGranule to SystemPageSize().
  void* Allocate(size_t size, RecordKind kind = RecordKind::kOther,
                 size_t alignment = kGranule) LOCKS_EXCLUDED(lock_);
  // Adds memory that reads as zero and stays ours for good: for when the system
  // has no more but the heap has. It counts as taken from the system.
  void Donate(void* memory, size_t size) LOCKS_EXCLUDED(lock_);
  // Corrects how much of what was handed out counts as used, modulo 2^64.
  void Count(RecordKind kind, size_t bytes) LOCKS_EXCLUDED(lock_);

  // Bytes of address space taken from the system, and handed out of it; without
  // the lock.
  size_t system_bytes() const {
    return system_bytes_.load(std::memory_order_relaxed);
  }
  size_t used_bytes(RecordKind kind) const {
    return used_bytes_[static_cast<size_t>(kind)].load(
        std::memory_order_relaxed);
  }
  size_t used_bytes() const {
    size_t sum = 0;
    for (const auto& bytes : used_bytes_) {
      sum += bytes.load(std::memory_order_relaxed);
    }
    return sum;
  }

  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  static constexpr size_t kChunkSize = 512 << 10;
  // Memory taken from the system, for readers from outside the process. Most
  // begin with it; large blocks lie apart from theirs, so that it takes no
  // page.
  struct Chunk {
    Chunk* next;
    size_t bytes;
    void* start;
  };
  static size_t Rounded(size_t size);
  void* Reserve(size_t bytes, Chunk* chunk) REQUIRES(lock_);
  bool GetChunk(size_t size, size_t alignment) REQUIRES(lock_);
  void* Bump(size_t size, size_t alignment) REQUIRES(lock_);
  void* AllocateApart(size_t size) REQUIRES(lock_);
  // Bytes from next_ to the next multiple of `alignment`.
  size_t Gap(size_t alignment) const REQUIRES(lock_) {
    return (0 - reinterpret_cast<uintptr_t>(next_)) & (alignment - 1);
  }
  bool Fits(size_t size, size_t alignment) const REQUIRES(lock_) {
    const size_t gap = Gap(alignment);
    return gap <= left_ && size <= left_ - gap;
  }
  std::atomic<size_t>& used(RecordKind kind) {
    return used_bytes_[static_cast<size_t>(kind)];
  }
  static void Add(std::atomic<size_t>* bytes, size_t n) {
    bytes->store(bytes->load(std::memory_order_relaxed) + n,
                 std::memory_order_relaxed);
  }

  const SystemMemory* const system_;
  mutable Mutex lock_;
  char* next_ GUARDED_BY(lock_) = nullptr;
  size_t left_ GUARDED_BY(lock_) = 0;
  // Written under the lock.
  std::atomic<Chunk*> chunks_{nullptr};
  std::atomic<size_t> system_bytes_{0};
  std::atomic<size_t> used_bytes_[kRecordKinds] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_METADATA_ARENA_H_
