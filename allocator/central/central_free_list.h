// The free objects of one size class, kept by the span they were carved from.
//
// Place:    ThreadCache -> TransferCache -> [CentralFreeList] -> PageHeap
// Purpose:  Turn spans into batches of objects and batches back into spans. An
//           object always goes home to its own span, so a span whose objects
//           are all home can leave the class and serve another one.
// Not here: how many objects a thread keeps (thread/).
//
// Guests. The spans of a class that has slack (size_classes.h) also hold
// objects of a smaller class. Their free bits are in the second header of the
// span and under the lock of the host's list; the list of the smaller class
// asks that list before it takes a span of its own.
//
// Sweeps give back what nobody uses: the span that is kept although it is empty
// and, in spans that are partly used, whole pages of the system in which all
// objects and guests are home (central_free_list_release.cc). A part of a span
// that is released stays so until an object in it is handed out; within a span,
// other objects go first.
//
// Concurrency
//   Public methods take lock_ (rank kCentralFreeList), or that of the host. The
//   lock is dropped before PageHeap is called, so a system call or a page fault
//   there never stalls other threads. Price: threads that find the list empty
//   together fetch one span each, and all but the first give theirs back.
//
// Invariants, whenever lock_ is free (CheckInvariants)
//   C1  For each span of the class: free_count is the number of bits set in
//       free_bits, all of them below capacity.
//   C2  A span is in lists_ if and only if free_count > 0, in the list that
//       ListFor(free_count) names; move_at is the next higher free_count at
//       which that changes, or capacity.
//   C3  empty_spans_ is the number of spans of which all objects and guests
//       are home; it is 0 or 1.
//   C4  An object has one owner: the user, one cache, or its span's bitmap.
//   C5  The second header of a span with slack is in with_guests_ if and only
//       if its free_count > 0, which is the number of bits set for guests.
//   C6  The bits of Span::released are set for parts in which all objects and
//       guests are home. While a sweep releases parts of a span (kReleasing),
//       the sweep owns all objects in those and in the released ones; only it
//       looks at `released` then. kReleased: there are any, and no sweep is at
//       it. So a span in no list has none; and in an empty one there are
//       backed objects, since that which was the last to come home is.
//   C7  The parts of all spans' `released` add up to PageHeapStats::
//       released_in_spans, unless a sweep is at one (CentralHeap).
//
// Cost
//   One lock a batch, no memory of the objects is touched. Spans are served
//   fullest first, by sixteenths and among equals with a bias to low addresses,
//   so nearly empty ones drain; from a span the lowest objects come first. That
//   a span may have released parts costs the others one test a batch.
//
// Failure: RemoveRange returns fewer objects than asked, 0 if PageHeap has no
//   memory, be it for a span or for a released part. InsertRange aborts on an
//   object that is free already.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/linked_list.h"
#include "allocator/central/size_classes.h"
#include "allocator/os/mutex.h"
#include "allocator/os/system_info.h"
#include "allocator/page/page_heap.h"
#include "allocator/page/span.h"

namespace spanmalloc {

struct CentralFreeListStats {
  size_t spans = 0;         // Owned by the class.
  size_t free_objects = 0;  // In the bitmaps of those.
  size_t free_guests = 0;
};

// What was released inside of spans that are partly used.
struct SpanRelease {
  size_t bytes = 0;
  size_t spans = 0;
  bool refused = false;  // By the system, once at least.
};

class alignas(kCacheLineSize) CentralFreeList {
 public:
  // `lists` are those of all classes, of which this one finds its host.
  constexpr CentralFreeList(PageHeap* page_heap, size_t size_class,
                            CentralFreeList* lists)
      : page_heap_(page_heap),
        size_class_(size_class),
        info_(&kSizeClasses[size_class]),
        host_(kSizeClasses[size_class].host == 0
                  ? nullptr
                  : lists + kSizeClasses[size_class].host),
        lock_(LockRank::kCentralFreeList) {}

  // Bytes of records about a span of the class: headers, and bitmaps that do
  // not fit into them.
  static constexpr size_t RecordBytes(const SizeClass& info) {
    const size_t words = BitmapWords(info);
    return (info.guest != 0 ? 2 : 1) * sizeof(Span) +
           (words > Span::kInlineWords ? HugePage::RoundedBitmapBytes(words)
                                       : 0);
  }

  // Moves up to `n` objects into batch[0..]; returns how many. The lowest
  // addresses come last, where a cache takes from first.
  size_t RemoveRange(void** batch, size_t n) LOCKS_EXCLUDED(lock_);

  // Takes back objects of this class, in any order.
  // REQUIRES: every pointer is the start of an object of this class and owned
  // by the caller (C4).
  void InsertRange(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);

  // Gives the span that is kept although it is empty to the page heap. False if
  // there is none.
  bool ReleaseEmptySpan() LOCKS_EXCLUDED(lock_) {
    return GiveUpEmptySpan(false);
  }
  // A sweep: the same if nobody has used it since the last one.
  bool ReleaseUnusedEmptySpan() LOCKS_EXCLUDED(lock_) {
    return GiveUpEmptySpan(true);
  }

  // A sweep: gives whole free pages in spans that are partly used back to the
  // system, until `max_bytes` or a little more are released. With `idle_only`,
  // in those spans that nobody has used since the last sweep; a call that
  // stopped early is then continued, and one that returns less has been
  // through. Otherwise it begins anew with all of them.
  SpanRelease ReleaseFreePages(bool idle_only, size_t max_bytes,
                               size_t page_size = SystemPageSize())
      LOCKS_EXCLUDED(lock_);

  // False if sweeps will find nothing until objects come home. Without the
  // lock.
  bool HasUnused() const {
    return to_sweep_.load(std::memory_order_relaxed) != 0;
  }

  // Adds the bytes of C7; for checks. False if a sweep is at a span.
  bool AddReleasedBytes(size_t* bytes) const LOCKS_EXCLUDED(lock_);

  // True if the object is in its span's bitmap: a slow question for checks.
  // REQUIRES: p is the start of an object of this class.
  bool IsFree(const void* p) LOCKS_EXCLUDED(lock_);

  // Without the lock: the two may be a moment apart.
  CentralFreeListStats stats() const {
    return {spans_.load(std::memory_order_relaxed),
            free_objects_.load(std::memory_order_relaxed),
            free_guests_.load(std::memory_order_relaxed)};
  }
  void CheckInvariants() const LOCKS_EXCLUDED(lock_);
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  // Objects that are put back under one lock, so that it is not held for long.
  static constexpr size_t kChunk = 256;

  using Spans = LinkedList<Span>;

  // Bits of Span::sweep.
  static constexpr uint8_t kTouched = 1;  // Used since the last sweep.
  static constexpr uint8_t kSwept = 2;  // Has no more to release, if not used.
  static constexpr uint8_t kReleasing = 4;  // C6
  static constexpr uint8_t kReleased = 8;   // C6
  // Bits of to_sweep_: what a sweep may find.
  static constexpr uint8_t kEmptySpan = 1;
  static constexpr uint8_t kFreePages = 2;

  // Spans whose pages are released between two holds of the lock, and those
  // that are looked at for it.
  static constexpr size_t kBorrow = 16;
  static constexpr size_t kLook = 64;
  // A span of which a sweep owns the objects in some parts.
  struct Borrowed {
    Span* span;
    uint16_t parts;    // Those to release.
    uint16_t objects;  // Those with its objects: the same and the released.
    bool done;
  };

  // With guests, the other half is for them.
  static constexpr size_t BitmapWords(const SizeClass& info) {
    return info.guest != 0 ? 2 * info.words : info.words;
  }
  // What a span of the class says it is.
  uint16_t kind() const {
    return Span::Kind(SpanState::kSmall, TagOfClass(size_class_));
  }
  static void Add(std::atomic<size_t>* count, size_t n) {
    count->store(count->load(std::memory_order_relaxed) + n,
                 std::memory_order_relaxed);
  }
  // The header for the guests of a span.
  static Span* GuestsOf(Span* span) { return span + 1; }
  static const Span* GuestsOf(const Span* span) { return span + 1; }
  bool IsEmpty(const Span* span) const {
    return span->free_count == span->capacity &&
           (info_->guest == 0 || GuestsOf(span)->free_count == span->capacity);
  }
  // Something has come home.
  void NoteToSweep() REQUIRES(lock_) {
    to_sweep_.store(kEmptySpan | kFreePages, std::memory_order_relaxed);
  }
  void SetToSweep(uint8_t bit, bool value) REQUIRES(lock_) {
    const uint8_t old = to_sweep_.load(std::memory_order_relaxed);
    to_sweep_.store(static_cast<uint8_t>(value ? old | bit : old & ~bit),
                    std::memory_order_relaxed);
  }
  size_t RemoveGuests(void** end, size_t n) LOCKS_EXCLUDED(lock_);
  void InsertGuests(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);
  bool IsGuestHome(const void* p) LOCKS_EXCLUDED(lock_);
  bool HasSpan(const void* p) const;
  void InsertOwn(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);
  bool Leave(Span* span) REQUIRES(lock_);
  void Link(Span* span) REQUIRES(lock_);
  void Unlink(Span* span) REQUIRES(lock_);
  Span* FullestSpan() const REQUIRES(lock_);
  size_t TakeFrom(Span* span, void** end, size_t n, bool backed_only = false)
      REQUIRES(lock_);
  size_t TakeBacked(void** end, size_t n) REQUIRES(lock_);
  size_t TakeGuests(Span* span, void** end, size_t n, bool backed_only)
      REQUIRES(lock_);
  void MoveDown(Span* span) REQUIRES(lock_);
  bool MoveUp(Span* span, size_t before) REQUIRES(lock_);
  void InsertChunk(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);
  void CheckSpan(const Span* span) const REQUIRES(lock_);
  bool Fetch() LOCKS_EXCLUDED(lock_);
  void Delete(Span* span) LOCKS_EXCLUDED(lock_);
  void DeleteAll(Span* span) LOCKS_EXCLUDED(lock_);
  bool GiveUpEmptySpan(bool unused_only) LOCKS_EXCLUDED(lock_);
  size_t HideReleased(Span* span, Span* header, size_t n, bool backed_only)
      REQUIRES(lock_);
  void ShowReleased(const Span* span, Span* header) REQUIRES(lock_);
  bool UseReleased(Span* span, const Span* header, size_t n) REQUIRES(lock_);
  size_t FewestToRelease(size_t parts_per_page) const;
  uint16_t FreePages(const Span* span, size_t parts_per_page) const
      REQUIRES(lock_);
  void BeginSweep(bool idle_only, size_t parts_per_page) LOCKS_EXCLUDED(lock_);
  Span* NextToSweep(size_t end_list) REQUIRES(lock_);
  bool Borrow(bool idle_only, size_t bytes, Borrowed* borrowed, size_t* n)
      LOCKS_EXCLUDED(lock_);
  void BorrowFrom(Span* span, uint16_t parts, Borrowed* borrowed)
      REQUIRES(lock_);
  void ReleaseBorrowed(Borrowed* borrowed, SpanRelease* release)
      LOCKS_EXCLUDED(lock_);
  void Return(const Borrowed* borrowed, size_t n) LOCKS_EXCLUDED(lock_);
  void CheckReleased(const Span* span) const REQUIRES(lock_);

  PageHeap* const page_heap_;
  const size_t size_class_;
  const SizeClass* const info_;
  CentralFreeList* const host_;  // Null if it has none.
  Spans lists_[kSpanLists] GUARDED_BY(lock_);
  uint32_t nonempty_ GUARDED_BY(lock_) = 0;  // One bit for each list.
  uint32_t empty_spans_ GUARDED_BY(lock_) = 0;
  Spans with_guests_ GUARDED_BY(lock_);
  // Written under the lock.
  std::atomic<size_t> spans_{0};
  std::atomic<size_t> free_objects_{0};
  std::atomic<size_t> free_guests_{0};
  std::atomic<uint8_t> to_sweep_{0};
  uint8_t parts_per_page_ GUARDED_BY(lock_) = 1;  // As of the last sweep.
  mutable Mutex lock_;
  // Where the sweep of free pages is: what comes next in the list at hand, and
  // how many lists come after that one.
  Span* next_to_sweep_ GUARDED_BY(lock_) = nullptr;
  uint32_t lists_to_sweep_ GUARDED_BY(lock_) = 0;
  uint32_t releasing_spans_ GUARDED_BY(lock_) = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_
