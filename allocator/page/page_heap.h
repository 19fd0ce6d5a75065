// All pages of the heap: who has which, and which are free.
//
// Place:    CentralFreeList, large blocks -> [PageHeap] -> SystemMemory
// Purpose:  Give out small spans (64 KiB, aligned) and large ones (any number
//           of pages), take them back, join what is free, and give memory back
//           to the system when told to.
// Not here: objects (central/), when to release (callers).
//
// Files:    page_heap.cc          pages and their supply
//           page_heap_spans.cc    spans
//           page_heap_release.cc  giving memory back
//           page_heap_limit.cc    the hard limit
//
// Giving back: what has been idle the longest goes first (idle_queues.h), whole
//   huge pages before parts. A part of a huge page that the system may back as
//   a whole (by the mode: any, those we asked for, none) would come back: the
//   system joins small pages to a huge one again, and fills the holes with
//   memory. So such a huge page is first forbidden to be one, until it has been
//   empty and is handed out anew. It is then a mapping of its own in the
//   kernel, of which a process may have 65,530 by default: at most
//   kMaxForbidden huge pages are set apart like that; parts of further ones are
//   kept.
//   With an empty huge page go the records of its spans, where they fill pages
//   of the system: all are unused, and that is what zeroes say.
// Hard limit: what is used never exceeds it; nor does what the system backs, by
//   more than is just being taken and given back: free memory is released
//   before a request fails. Both count the arena's records; those of a region
//   that was got for a request that failed stay.
//
// Concurrency: thread-safe; one lock (rank kPageHeap), which is not held while
//   memory is released or moved. Look-ups take no lock (pagemap(),
//   class_map()).
// Invariants, whenever the lock is free (CheckInvariants)
//   P1  A page of a mapped region is free in its tracker, or belongs to exactly
//       one span, or is in the hands of a thread that releases it or makes
//       room for it just now.
//   P2  A huge page is full, or partial and in filler_, or empty and in runs_.
//   P3  Every large span has at least kPagesPerHeader + 1 pages.
//   P4  The headers of an empty huge page are unused.
//   P5  A huge page with dirty or lazy pages is in one of the lists of idle_,
//       or what it has was refused by the system.
// Cost:    a few hundred instructions a span; system calls only to grow.
// Failure: null or false when the system has no more memory, or the hard limit
//          forbids it. All is as it was.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_PAGE_HEAP_H_
#define SPANMALLOC_ALLOCATOR_PAGE_PAGE_HEAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/published.h"
#include "allocator/os/memory.h"
#include "allocator/os/mutex.h"
#include "allocator/os/system_info.h"
#include "allocator/page/class_map.h"
#include "allocator/page/dirty_pages.h"
#include "allocator/page/huge_page.h"
#include "allocator/page/huge_page_filler.h"
#include "allocator/page/huge_page_runs.h"
#include "allocator/page/idle_queues.h"
#include "allocator/page/metadata_arena.h"
#include "allocator/page/page_id.h"
#include "allocator/page/pagemap.h"
#include "allocator/page/region_supply.h"
#include "allocator/page/span.h"

namespace spanmalloc {

// Pages, by what they are at this moment, and counts since the start. Pages
// that are being released count as free.
//   mapped == used + free; fresh + lazy <= free
//   large_allocations - large_frees == large_count
//   large_bytes_allocated - large_bytes_freed == large.bytes()
struct PageHeapStats {
  Length mapped;
  Length used;
  Length free;
  Length fresh;  // Those free ones that the system does not back.
  Length huge;   // Those mapped ones that were asked for as huge pages.
  Length large;  // Those used ones that are large blocks.
  Length peak_used;
  Length peak_backed;          // Of mapped - fresh - lazy - released_in_spans.
  size_t large_count;          // Large blocks alive.
  uint64_t large_allocations;  // A change in place is neither an allocation nor
  uint64_t large_frees;        // a free of a block, but it is of bytes.
  uint64_t large_bytes_allocated;
  uint64_t large_bytes_freed;
  uint64_t released_bytes;     // Given back since the start, but not lazily.
  uint64_t released_in_spans;  // Bytes of the used pages, not backed.
  size_t class_map_bytes;      // Address space of the class map.
  Length lazy;                 // Those free ones that were released lazily.
  uint64_t lazily_released_bytes;  // Since the start.
  size_t
      huge_set_apart;  // Huge pages that differ from their region: see above.
};

class PageHeap {
 public:
  constexpr explicit PageHeap(const SystemMemory* system)
      : system_(system),
        arena_(system),
        runs_(&pagemap_),
        supply_(system, &class_map_),
        lock_(LockRank::kPageHeap) {}

  // Before the first span.
  //   window_size: bytes of the class map's window, 0 = by the limits.
  //   huge_page_threshold: mapped bytes from which on regions ask for huge
  //     pages where the system leaves that to us; SIZE_MAX = never.
  void Configure(size_t window_size, size_t huge_page_threshold)
      LOCKS_EXCLUDED(lock_);

  // Gets the first region, and with it the class map, if that has not been
  // done. Without memory for it the heap stays as it is.
  void Prepare() LOCKS_EXCLUDED(lock_);

  // Eight pages aligned to 64 KiB, whose class map entry is `tag`, with room
  // for `bitmap_words` at free_bits.
  Span* NewSmallSpan(uint8_t tag, size_t bitmap_words = 0)
      LOCKS_EXCLUDED(lock_);

  // A block of `n` pages at a multiple of `alignment` bytes. Its pages are
  // added to `dirty`, if given, but for those that read as zero. REQUIRES: n >
  // kPagesPerHeader pages; alignment is a power of two.
  Span* NewLargeSpan(Length n, size_t alignment, DirtyPages* dirty = nullptr)
      LOCKS_EXCLUDED(lock_);

  // Makes the dirty pages of a block of `n` pages read as zero.
  void Clear(Length n, const DirtyPages& dirty);

  // Memory for a record, from the arena, or where the system has no more, from
  // the heap itself. Null if neither has any.
  // REQUIRES: as for MetadataArena::Allocate.
  void* AllocateRecord(size_t size, RecordKind kind,
                       size_t alignment = MetadataArena::kGranule)
      LOCKS_EXCLUDED(lock_);

  // REQUIRES: the caller owns the span and nobody else knows it; it was made
  // with the same number of words.
  void DeleteSmallSpan(Span* span, size_t bitmap_words = 0)
      LOCKS_EXCLUDED(lock_);

  // Gives memory inside a small span back to the system: `count` of its
  // sixteenths from the `first` on, whose bits it sets in `released`. False if
  // the system refuses. REQUIRES: the caller owns every object that lies there
  // in whole or in part, none of the bits is set, and the bounds are those of
  // pages of the system.
  // A huge page around it that the system may back as a whole is forbidden to
  // be one; false, too, if there are too many of these.
  bool ReleaseInSpan(Span* span, size_t first, size_t count)
      LOCKS_EXCLUDED(lock_);

  // The parts of a small span whose bits are in `parts` are about to be used
  // again. False, with nothing changed, if a limit forbids it.
  // REQUIRES: all of them are set in span->released, which the caller's lock
  // covers.
  bool TakeReleased(Span* span, uint16_t parts) LOCKS_EXCLUDED(lock_);

  // Takes back the large block that starts at the address. False if none does
  // (any more): the address is then no block of ours, or was freed before.
  bool DeleteLargeSpan(uintptr_t address) LOCKS_EXCLUDED(lock_);

  // The large block that starts at the address, or null.
  Span* FindLargeSpan(uintptr_t address) const;

  // Changes the length of a large block where it lies. False if what is behind
  // it is not free. REQUIRES: as for NewLargeSpan.
  bool ResizeLargeSpan(Span* span, Length n) LOCKS_EXCLUDED(lock_);

  // Moves a large block to a place with room for `n` pages without copying.
  // Returns the new span, or null if that can't be done; then nothing changed.
  // REQUIRES: n > span->length().
  Span* MoveLargeSpan(Span* span, Length n) LOCKS_EXCLUDED(lock_);

  // All that is idle gets one tick older.
  void Tick() LOCKS_EXCLUDED(lock_);

  // Gives back what has been idle for at least `min_age` ticks until `bytes`
  // are released or there is no more. Returns how many bytes were. With an age
  // of 0, everything free goes that the system backs: also what was released
  // lazily, and parts of huge pages too small to split one for. What the system
  // refuses is not tried again before pages are put there.
  // Parts of huge pages have to be idle for `min_age_of_parts`: they are
  // fetched again page by page, at several times the price. REQUIRES:
  // min_age_of_parts >= min_age; both are 0 or none.
  size_t ReleaseIdle(size_t bytes, uint32_t min_age, uint32_t min_age_of_parts)
      LOCKS_EXCLUDED(lock_);
  size_t ReleaseIdle(size_t bytes, uint32_t min_age) {
    return ReleaseIdle(bytes, min_age, min_age);
  }
  size_t ReleaseAtLeast(size_t bytes) { return ReleaseIdle(bytes, 0); }

  // How many ticks the oldest idle memory has been idle; 0 if there is none.
  uint32_t OldestIdleAge() const LOCKS_EXCLUDED(lock_);

  // From now on memory that has been idle for a while (an age above 0) is only
  // offered to the system: it takes it when it is short of memory. Where the
  // system has no such thing, it is released.
  void set_release_lazily(bool lazily) LOCKS_EXCLUDED(lock_);

  // When the system backs memory by huge pages on its own account. To be told
  // again when it changes.
  void set_huge_page_mode(HugePageMode mode) LOCKS_EXCLUDED(lock_);

  // What is used, and what the system backs, may not exceed this; 0 = no limit.
  void set_hard_limit(size_t bytes) {
    hard_limit_.store(bytes, std::memory_order_relaxed);
  }

  const PageMap& pagemap() const { return pagemap_; }
  const ClassMap& class_map() const { return class_map_; }
  constexpr MetadataArena& arena() { return arena_; }
  const MetadataArena& arena() const { return arena_; }
  // As of the end of the last change, without the lock.
  PageHeapStats stats() const {
    PageHeapStats stats;
    published_.Load(&stats);
    return stats;
  }
  // Bytes in spans, without the lock: a moment old.
  size_t used_bytes() const {
    return used_bytes_.load(std::memory_order_relaxed);
  }

  // The same of what the system backs for us, records included.
  size_t footprint_bytes() const {
    return backed_bytes_.load(std::memory_order_relaxed) + arena_.used_bytes();
  }
  // Huge pages with idle memory that will be old enough one day.
  size_t idle_huge_pages() const {
    return idle_huge_pages_.load(std::memory_order_relaxed);
  }
  // Free bytes that the system backs and has not refused to take back. Parts of
  // huge pages too small to split one for are among them.
  size_t idle_bytes() const {
    return idle_bytes_.load(std::memory_order_relaxed);
  }

  static constexpr size_t kMaxForbidden = 8192;
  // Idle pages for which a huge page is split, 256 KiB. Small pages serve the
  // rest from then on: random reads of it took 1.8 times as long. Splitting
  // takes 14 us; and the part is faulted in again in 155 us.
  static constexpr size_t kLeastPart = kPagesPerHugePage / 8;

  void CheckInvariants() const LOCKS_EXCLUDED(lock_);
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  // Holds the lock, and publishes the statistics before it is let go.
  class SCOPED_CAPABILITY Change {
   public:
    explicit Change(PageHeap* heap) ACQUIRE(heap->lock_) : heap_(heap) {
      heap_->lock_.Lock();
    }
    ~Change() RELEASE() {
      heap_->Publish();
      heap_->lock_.Unlock();
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    PageHeap* const heap_;
  };

  // Blocks below this size are copied: moving them would cost more, and every
  // move may leave a seam in the kernel's map of the process.
  static constexpr Length kMinMove{4 * kPagesPerHugePage};
  static constexpr size_t kMaxMoves = 16384;
  // Clearing pages is twice as fast as giving them back and having them faulted
  // in again; but in blocks of this size they may well never be touched, and
  // some of those that count as dirty never were.
  static constexpr Length kClearByRelease{32 * kPagesPerHugePage};
  // Huge pages that are released between two looks at the heap.
  static constexpr size_t kLoans = 32;

  enum class Contents : uint8_t { kDirty, kFresh, kLazy };

  void Publish() REQUIRES(lock_);
  PageId AllocateSmallSpanPages(DirtyPages* dirty = nullptr) REQUIRES(lock_);
  PageId AllocatePages(Length n, size_t alignment, DirtyPages* dirty = nullptr)
      REQUIRES(lock_);
  Length PagesToStraddle(const HugePage& huge_page, Length n) const
      REQUIRES(lock_);
  void FreePages(PageId first, Length n, bool fresh) REQUIRES(lock_);
  void FreeUntouched(PageId first, Length n, const DirtyPages& dirty)
      REQUIRES(lock_);
  bool GrowInPlace(const Span& span, Length n, DirtyPages* dirty = nullptr)
      REQUIRES(lock_);
  HugePage* TakeEmpty(size_t count, size_t alignment) REQUIRES(lock_);
  bool Grow(size_t needed) REQUIRES(lock_);
  bool Adopt(const Region& region) REQUIRES(lock_);
  void SetUsed(Length used) REQUIRES(lock_) {
    stats_.used = used;
    used_bytes_.store(used.bytes(), std::memory_order_relaxed);
  }
  void Use(HugePage* huge_page, size_t from, size_t count,
           DirtyPages* dirty = nullptr) REQUIRES(lock_);
  void TakePages(HugePage* huge_page, size_t from, size_t count)
      REQUIRES(lock_);
  void Unuse(HugePage* huge_page, size_t from, size_t count, Contents contents)
      REQUIRES(lock_);
  Span* MakeSpan(PageId first, Length n, uint16_t kind) REQUIRES(lock_);
  Span* MakeSmallSpan(PageId first, uint8_t tag, size_t bitmap_words)
      REQUIRES(lock_);
  Span* MakeLargeSpan(PageId first, Length n) REQUIRES(lock_);
  void NoteLargeFreed(Length n) REQUIRES(lock_);
  void NoteLargeResized(Span* span, Length n) REQUIRES(lock_);

  bool MakeUniform(PageId first, Length n) REQUIRES(lock_);

  // ---- page_heap_release.cc

  // Pages of one huge page that are being released. Meanwhile they are used.
  struct Loan {
    HugePage* huge_page = nullptr;
    HugePage::Pages pages;
    HugePage::Pages fresh;  // What some of them were before.
    HugePage::Pages lazy;
    HugePage::Pages refused;  // By the system.
    bool lazily = false;
    bool forbid = false;  // Huge, before the pages are released.
    bool forbidden = false;
    bool set_apart = false;  // By this loan.
  };
  struct ReleaseRequest {
    size_t bytes;
    uint32_t min_age;
    uint32_t min_age_of_parts;
    bool lazily;
  };
  size_t Borrow(const ReleaseRequest& request, Loan* loans) REQUIRES(lock_);
  size_t BorrowEmpty(HugePage* huge_page, const ReleaseRequest& request,
                     Loan* loans, size_t max_loans, size_t* bytes)
      REQUIRES(lock_);
  bool BorrowPart(HugePage* huge_page, const ReleaseRequest& request,
                  Loan* loan, size_t* bytes) REQUIRES(lock_);
  bool MayRelease(const HugePage& huge_page,
                  const ReleaseRequest& request) const REQUIRES(lock_);
  void Lend(HugePage* huge_page, const HugePage::Pages& pages, Loan* loan)
      REQUIRES(lock_);
  size_t TakeBack(const Loan& loan) REQUIRES(lock_);
  void PutAll(HugePage* huge_page, const HugePage::Pages& pages,
              Contents contents) REQUIRES(lock_);
  bool ReleaseRange(void* start, size_t bytes, bool* lazily);
  void ReleaseLoan(Loan* loan, bool* lazily);
  void ReleaseLoans(Loan* loans, size_t n, bool* lazily);
  void ReleaseRecords(const Loan* loans, size_t n);

  bool MayBeHuge(const HugePage& huge_page) const REQUIRES(lock_);
  bool MayForbid(const HugePage& huge_page) const REQUIRES(lock_) {
    return huge_page.set_apart || stats_.huge_set_apart < kMaxForbidden;
  }
  void Forbid(Loan* loan) REQUIRES(lock_);
  void SetForbidden(HugePage* huge_page, bool forbidden) REQUIRES(lock_);
  void SetApart(HugePage* huge_page, bool apart) REQUIRES(lock_);
  void AllowHuge(HugePage* huge_page) REQUIRES(lock_);

  // ---- page_heap_limit.cc

  size_t hard_limit() const {
    return hard_limit_.load(std::memory_order_relaxed);
  }
  bool WithinLimit(size_t more) const REQUIRES(lock_);
  size_t Excess(size_t more, size_t less) const REQUIRES(lock_);
  bool MakeRoom(size_t more, size_t less) LOCKS_EXCLUDED(lock_);
  bool HasRoomFor(size_t bytes) LOCKS_EXCLUDED(lock_);
  PageId AllocateWithinLimit(Length n, size_t alignment, Length moved,
                             DirtyPages* dirty) LOCKS_EXCLUDED(lock_);
  bool GrowWithinLimit(const Span& span, Length n) LOCKS_EXCLUDED(lock_);
  bool Decide(PageId first, Length n, const DirtyPages& dirty, Length added,
              Length moved) LOCKS_EXCLUDED(lock_);
  Length Backed() const REQUIRES(lock_);

  const SystemMemory* const system_;
  PageMap pagemap_;
  ClassMap class_map_;
  MetadataArena arena_;
  HugePageRuns runs_ GUARDED_BY(lock_);
  HugePageFiller filler_ GUARDED_BY(lock_);
  IdleQueues idle_ GUARDED_BY(lock_);
  RegionSupply supply_ GUARDED_BY(lock_);
  size_t huge_page_threshold_ GUARDED_BY(lock_) = SIZE_MAX;
  size_t moves_ GUARDED_BY(lock_) = 0;
  bool lazily_ GUARDED_BY(lock_) = false;
  HugePageMode huge_page_mode_ GUARDED_BY(lock_) = HugePageMode::kMadvise;
  bool huge_page_mode_known_ GUARDED_BY(lock_) = false;
  std::atomic<size_t> hard_limit_{0};
  PageHeapStats stats_ GUARDED_BY(lock_) = {};
  Length borrowed_ GUARDED_BY(lock_);  // Used only while they are released;
  Length borrowed_fresh_ GUARDED_BY(lock_);  // those that were fresh before,
  Length borrowed_lazy_ GUARDED_BY(lock_);   // and those that were lazy.
  Length donated_ GUARDED_BY(lock_);         // To the arena, which counts them.
  Length undecided_ GUARDED_BY(lock_);       // Used, but only if there is room.
  Published<PageHeapStats> published_;
  mutable Mutex lock_;
  // For readers that have no business with the lock's cache line: stats_.used,
  // and what follows from the rest.
  alignas(kCacheLineSize) std::atomic<size_t> used_bytes_{0};
  std::atomic<size_t> backed_bytes_{0};
  std::atomic<size_t> idle_huge_pages_{0};
  std::atomic<size_t> idle_bytes_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_PAGE_HEAP_H_
