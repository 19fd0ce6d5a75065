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
//
// Cost
//   One lock a batch, no memory of the objects is touched. Spans are served
//   fullest first, by sixteenths and among equals with a bias to low addresses,
//   so nearly empty ones drain; from a span the lowest objects come first.
//
// Failure: RemoveRange returns fewer objects than asked, 0 if PageHeap has no
//   memory. InsertRange aborts on an object that is free already.
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
#include "allocator/page/page_heap.h"
#include "allocator/page/span.h"

namespace spanmalloc {

struct CentralFreeListStats {
  size_t spans = 0;         // Owned by the class.
  size_t free_objects = 0;  // In the bitmaps of those.
  size_t free_guests = 0;
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
    const size_t headers = info.guest != 0 ? 2 : 1;
    const size_t words = info.words * headers;
    const size_t bitmap =
        words > Span::kInlineWords
            ? AlignUp(words * sizeof(uint64_t), MetadataArena::kGranule)
            : 0;
    return headers * sizeof(Span) + bitmap;
  }

  // Moves up to `n` objects into batch[0..]; returns how many. The lowest
  // addresses come last, where a cache takes from first.
  size_t RemoveRange(void** batch, size_t n) LOCKS_EXCLUDED(lock_);

  // Takes back objects of this class, in any order.
  // REQUIRES: every pointer is the start of an object of this class and owned
  // by the caller (C4).
  void InsertRange(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);

  // Gives the span that is kept although it is empty to the page heap.
  void ReleaseEmptySpan() LOCKS_EXCLUDED(lock_);

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
  size_t RemoveGuests(void** end, size_t n) LOCKS_EXCLUDED(lock_);
  void InsertGuests(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);
  bool IsGuestHome(const void* p) LOCKS_EXCLUDED(lock_);
  bool HasSpan(const void* p) const;
  void InsertOwn(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);
  bool Leave(Span* span) REQUIRES(lock_);
  void Link(Span* span) REQUIRES(lock_);
  void Unlink(Span* span) REQUIRES(lock_);
  Span* FullestSpan() const REQUIRES(lock_);
  size_t TakeFrom(Span* span, void** end, size_t n) REQUIRES(lock_);
  bool MoveUp(Span* span, size_t before) REQUIRES(lock_);
  void InsertChunk(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);
  void CheckSpan(const Span* span) const REQUIRES(lock_);
  bool Fetch() LOCKS_EXCLUDED(lock_);
  void Delete(Span* span) LOCKS_EXCLUDED(lock_);
  void DeleteAll(Span* span) LOCKS_EXCLUDED(lock_);

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
  mutable Mutex lock_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_
