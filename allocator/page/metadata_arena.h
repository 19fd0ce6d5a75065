// Memory for the allocator's own records.
//
// Place:    page/, below everything that needs records.
// Purpose:  Span headers, bitmaps, thread caches: all that must not live in
//           the heap itself.
// Not here: objects of the program.
//
// Concurrency: thread-safe; the lock is the innermost of all.
// Invariants:  A1  address space is never given back to the system, only reused
//                  by later requests of the same rounded size. Who has a block
//                  of whole pages of the system may release these.
//              A2  a block that was never used before reads as zero.
// Cost:        a bump of a pointer or a pop from a list. Chunks are touched
//              only as far as they are used.
// Failure:     a null pointer when the system has no more, and nothing that was
//              freed is large enough.
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
  // Larger blocks can't be freed.
  static constexpr size_t kMaxReusable = 2048;

  constexpr explicit MetadataArena(const SystemMemory* system)
      : system_(system), lock_(LockRank::kMetadataArena) {}

  // At least `size` bytes, at a multiple of `alignment`. What is left out for
  // that is never touched, and does not count as used.
  // REQUIRES: alignment is kGranule; or size > kMaxReusable, and alignment a
  // larger power of two, but no more than SystemPageSize().
  void* Allocate(size_t size, RecordKind kind = RecordKind::kOther,
                 size_t alignment = kGranule) LOCKS_EXCLUDED(lock_);
  // Adds memory that reads as zero and stays ours for good: for when the system
  // has no more but the heap has. It counts as taken from the system.
  void Donate(void* memory, size_t size) LOCKS_EXCLUDED(lock_);
  // REQUIRES: p came from Allocate(size, kind), size <= kMaxReusable.
  void Free(void* p, size_t size, RecordKind kind = RecordKind::kOther)
      LOCKS_EXCLUDED(lock_);

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
  struct FreeBlock {
    FreeBlock* next;
  };
  // At the start of every chunk, for readers from outside the process.
  struct Chunk {
    Chunk* next;
    size_t bytes;
  };
  static size_t Rounded(size_t size);
  void* TakeFreed(size_t size, size_t block_size) REQUIRES(lock_);
  void AddFree(void* p, size_t size) REQUIRES(lock_);
  void* Reserve(size_t bytes) REQUIRES(lock_);
  bool GetChunk(size_t size, size_t alignment) REQUIRES(lock_);
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
  FreeBlock* free_[kMaxReusable / kGranule + 1] GUARDED_BY(lock_) = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_METADATA_ARENA_H_
