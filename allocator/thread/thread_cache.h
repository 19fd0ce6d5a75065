// The objects that one thread keeps at hand.
//
// Place:    malloc, free -> [ThreadCache] -> CentralFreeList
// Purpose:  Serve almost every call with a handful of instructions and no lock.
// Not here: which threads have one, and when (thread_registry.h); how the
//           objects of idle threads go home (cache_drainer.h).
//
// For each size class a bin: an array of pointers to free objects, used as a
// stack. Nothing is written into the objects. The hot half of a bin (Bin) is
// half a cache line; the rest (BinInfo) lies in an array of the same stride, so
// that one register, the class's tag, reaches both.
//
//   slots[-1]  null: what an empty bin pops, so that empty needs no comparison
//   slots[0]   the oldest object
//   top[-1]    the newest
//   limit      where the bin counts as full; at most the end of the array
//
// A bin begins with a short array next to those of the other classes and moves
// to a longer one when its limit outgrows that; where the longest is far from
// all others, one of middle length comes before it. The rest and all short
// arrays fit in two pages of the system, at its smallest, and those of middle
// length in a third: a thread that uses every class a little touches no more.
//
// Limits. A bin that was never used has the limit 0. At the first miss it gets
// kFirstLimit objects, fewer if they are large, and doubles at each further one
// up to SizeClass::max_cached, as long as the sum over all bins stays within
// the allowance: the thread's share of the process's cache, but no more than
// its part of a quarter of the heap or kLeastTotal, for small programs shall
// have small caches. A miss fetches half the limit, the first one all of it; a
// full bin gives back its older half, for other threads to take.
// Bins that were not used for a while are emptied.
//
// Counts. A malloc is counted before the bin is looked into. So an attempt that
// finds the bin empty is under way until Refill or GiveUp ends it; and a bin
// that is at rest says so:
//
//   top - slots == moved + frees - mallocs        (modulo 2^32)
//
// where `moved` is what slow steps and drainers have put in, less what they
// have taken out. While an operation is under way the left side is one more.
//
// Concurrency: used by its owner, and by a drainer at moments when the owner
//   is on no slow path and waits before the next one; counters may be read by
//   anyone.
// Invariants (CheckInvariants)
//   T1  slots <= top <= limit <= slots + the array's capacity. After a drainer
//       was there: limit == slots; the lowest slots are null; the rest is what
//       the owner pushed just then. The next slow step settles it.
//   T2  the slots below top hold distinct objects of the class.
//   T3  limit_bytes_ is the sum of limit * size.
//   T4  the equation above, without the nulls of T1.
// Cost:    malloc 19 instructions, free 24, entry points included.
// Failure: Refill returns null if the central list has nothing. A block that is
//   freed twice in a row is refused the second time, unless a drainer has just
//   borrowed it: then it is found when it comes home.
#ifndef SPANMALLOC_ALLOCATOR_THREAD_THREAD_CACHE_H_
#define SPANMALLOC_ALLOCATOR_THREAD_THREAD_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/owner_counter.h"
#include "allocator/base/unlocked.h"
#include "allocator/central/central_heap.h"
#include "allocator/central/size_classes.h"
#include "allocator/os/gate.h"

namespace spanmalloc {

// What a cache is told about all of them; changes as threads come and go.
struct CacheShare {
  std::atomic<size_t> bytes;  // What each cache may hold at most.
  std::atomic<size_t> threads{1};
  // Set by a cache that had no room for anything when it makes some.
  std::atomic<bool> filled{false};
};

class alignas(kCacheLineSize) ThreadCache {
 public:
  // A cache that has nothing and takes nothing: every operation misses.
  struct NoCache {};
  constexpr explicit ThreadCache(NoCache);

  // A cache in `memory`, which has kBlockSize bytes and best begins with a page
  // of the system. `share` is read at every slow step.
  static ThreadCache* Create(void* memory, CentralHeap* central,
                             CacheShare* share);
  static const size_t kBlockSize;

  // Makes it as it was when it was created, for another thread; but the counts
  // of mallocs and frees go on. What it held is forgotten.
  // REQUIRES: no drainer is there.
  void Reset();

  // ---- Hot path

  // An object of at least `size` bytes, or null: if the size is small, an
  // attempt is then under way, as after Pop.
  SPANMALLOC_ALWAYS_INLINE void* Allocate(size_t size) {
    if (SPANMALLOC_UNLIKELY(size > kMaxSmallSize)) return nullptr;
    return Pop(class_of_size.TagFor(size));
  }

  // Takes the object back, or the guest (size_classes.h). False, with nothing
  // done, if p is not in a small span of the window, or Push refuses it.
  SPANMALLOC_ALWAYS_INLINE bool Free(void* p) {
    size_t tag;
    if (SPANMALLOC_UNLIKELY(
            !class_map_.Find(reinterpret_cast<uintptr_t>(p), &tag))) {
      return false;
    }
    Bin& bin = BinOf(tag);
    const BinInfo& info = InfoOf(bin);
    const uint32_t product = Product(info, p);
    if (SPANMALLOC_LIKELY(product < info.valid_below)) return PushTo(bin, p);
    // Keeps what guests need of the registers of those that are none.
    std::atomic_signal_fence(std::memory_order_acq_rel);
    return IsGuest(info, product) && PushTo(GuestBinOf(bin), p);
  }

  // The same; false also if a request of `size` bytes has another class.
  SPANMALLOC_ALWAYS_INLINE bool FreeSized(void* p, size_t size) {
    return SPANMALLOC_LIKELY(size <= kMaxSmallSize) &&
           FreeOfClass(p, class_of_size.TagFor(size));
  }

  // The same; false also if the object is of another class than the tag's.
  SPANMALLOC_ALWAYS_INLINE bool FreeOfClass(void* p, size_t wanted) {
    size_t tag;
    return SPANMALLOC_LIKELY(
               class_map_.Find(reinterpret_cast<uintptr_t>(p), &tag)) &&
           SPANMALLOC_LIKELY(tag == wanted) && Push(tag, p);
  }

  // The same for guests alone.
  SPANMALLOC_ALWAYS_INLINE bool FreeGuestOfClass(void* p, size_t wanted) {
    size_t tag;
    if (!class_map_.Find(reinterpret_cast<uintptr_t>(p), &tag)) return false;
    Bin& bin = BinOf(tag);
    const BinInfo& info = InfoOf(bin);
    const uint32_t product = Product(info, p);
    return product >= info.valid_below && IsGuest(info, product) &&
           &GuestBinOf(bin) == &BinOf(wanted) && PushTo(BinOf(wanted), p);
  }

  // Pops an object of the class, or null: then the attempt is counted and under
  // way, until Refill or GiveUp.
  SPANMALLOC_ALWAYS_INLINE void* Pop(size_t tag) {
    Bin& bin = BinOf(tag);
    bin.mallocs.Increment();
    // Who finds the object gone finds it counted (cache_drainer.h).
    std::atomic_signal_fence(std::memory_order_seq_cst);
    void** const top = bin.top;
    void* const object = LoadUnlocked(top - 1);
    if (SPANMALLOC_LIKELY(object != nullptr)) SetTop(bin, top - 1);
    return object;
  }

  // Pushes p. False, with nothing done, if no object of the class starts at p,
  // the bin is full, or p is the object that was pushed last.
  // With tag 0 always false.
  SPANMALLOC_ALWAYS_INLINE bool Push(size_t tag, void* p) {
    Bin& bin = BinOf(tag);
    const BinInfo& info = InfoOf(bin);
    return SPANMALLOC_LIKELY(Product(info, p) < info.valid_below) &&
           PushTo(bin, p);
  }

  // ---- Slow path

  // Ends the attempt that is under way: fetches objects of an empty bin's class
  // and takes one. Null, with the attempt still under way, if there are none.
  void* Refill(size_t tag);

  // Ends the attempt that is under way without an object; its count is taken
  // back.
  void GiveUp(size_t tag);

  // Makes room in a full bin. A drainer may come right after it and take that
  // away again.
  void MakeRoom(size_t tag);

  // True if p is the object that was pushed last.
  bool IsNewest(size_t tag, const void* p) {
    return LoadUnlocked(BinOf(tag).top - 1) == p;
  }

  // Sends all objects home to their spans.
  void Flush();

  // The same, and lets the bins begin anew: it is as if drained.
  void Empty();

  // ---- Anyone

  // Both counts are monotone, but for attempts that are given up, and outlive
  // the thread.
  uint64_t mallocs(size_t size_class) const {
    return bins_[size_class].mallocs.Get();
  }
  uint64_t frees(size_t size_class) const {
    return bins_[size_class].frees.Get();
  }
  // Objects in the bin; a snapshot that may be off by what happens meanwhile.
  size_t cached_objects(size_t size_class) const;
  // False if no bin has room: nothing is cached, but for what a push was about
  // to bring when a drainer left.
  bool holds() const {
    return limit_bytes_.load(std::memory_order_relaxed) != 0;
  }

  // REQUIRES: called by the owner, or the owner is quiet; no drainer is there,
  // no attempt under way.
  void CheckInvariants() const { CheckInvariants(0); }

 private:
  friend struct StatLayout;
  friend class CacheDrainer;
  friend class ThreadCachePeer;  // Of the tests.
  struct Bin {
    void** top;
    void** limit;
    OwnerCounter mallocs;
    OwnerCounter frees;
  };
  struct BinInfo {
    uint32_t reciprocal;   // Copies from the class table.
    uint32_t valid_below;  // 0 in a cache that takes nothing.
    void** slots;
    uint32_t operations_seen;  // mallocs + frees at the last look, modulo.
    uint16_t limit;            // In objects.
    uint16_t capacity;         // Of the array.
    // The start of a guest is that of an object and the size of one later; so
    // its offset times the reciprocal is more by this. 0 without guests.
    uint32_t guest_product;
    int32_t guest_bin;  // Bytes from this bin to that of the guests.
  };
  // The tag is the bin's place in units of eight bytes.
  static_assert(sizeof(Bin) == kTagScale * 8);
  static_assert(sizeof(BinInfo) == kTagScale * 8);

  static constexpr uint32_t kFirstLimit = 8;
  static constexpr uint32_t kFirstLimitBytes = 4 << 10;
  // Of all threads together; and of one.
  static constexpr size_t kLeastTotal = 4 << 20;
  static constexpr size_t kLeastAllowance = 128 << 10;
  static constexpr uint32_t kMiddleArray = 16;
  static constexpr size_t kFarArray = 512;  // A page of slots.
  static constexpr uint32_t kStepsBetweenLooks = 512;

  ThreadCache() = default;

  SPANMALLOC_ALWAYS_INLINE Bin& BinOf(size_t tag) {
    return *reinterpret_cast<Bin*>(reinterpret_cast<char*>(bins_) + tag * 8);
  }
  // Through the bin, so that one address serves for both.
  static SPANMALLOC_ALWAYS_INLINE BinInfo& InfoOf(Bin& bin) {
    return *reinterpret_cast<BinInfo*>(reinterpret_cast<char*>(&bin) +
                                       sizeof(bins_));
  }

  static SPANMALLOC_ALWAYS_INLINE uint32_t Product(const BinInfo& info,
                                                   const void* p) {
    return static_cast<uint16_t>(reinterpret_cast<uintptr_t>(p)) *
           info.reciprocal;
  }
  // REQUIRES: product >= info.valid_below, so that it is false without guests.
  static SPANMALLOC_ALWAYS_INLINE bool IsGuest(const BinInfo& info,
                                               uint32_t product) {
    return product - info.guest_product < info.valid_below;
  }
  static SPANMALLOC_ALWAYS_INLINE Bin& GuestBinOf(Bin& bin) {
    return *reinterpret_cast<Bin*>(reinterpret_cast<char*>(&bin) +
                                   InfoOf(bin).guest_bin);
  }
  static SPANMALLOC_ALWAYS_INLINE bool PushTo(Bin& bin, void* p) {
    void** const top = bin.top;
    if (SPANMALLOC_UNLIKELY(top >= LoadToCompare(&bin.limit)) ||
        SPANMALLOC_UNLIKELY(LoadToCompare(top - 1) == p)) {
      return false;
    }
    StoreUnlocked(top, p);
    SetTop(bin, top + 1);
    // Who finds it counted finds it there.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    bin.frees.Increment();
    return true;
  }

  // Drainers read it meanwhile.
  static SPANMALLOC_ALWAYS_INLINE void SetTop(Bin& bin, void** top) {
    __atomic_store_n(&bin.top, top, __ATOMIC_RELAXED);
  }

  // A scope on a slow path of the owner's, in which no drainer is there.
  class SlowPath {
   public:
    explicit SlowPath(ThreadCache* cache) : cache_(cache) { cache->Enter(); }
    ~SlowPath() {
      cache_->on_slow_path_.store(false, std::memory_order_release);
    }
    SlowPath(const SlowPath&) = delete;
    SlowPath& operator=(const SlowPath&) = delete;

   private:
    ThreadCache* const cache_;
  };
  void Enter();
  void Settle();
  void FlushBins();
  // What `moved` is at rest without nulls; and counts objects that come or go
  // otherwise than by malloc and free.
  uint32_t ObjectsAtRest(size_t size_class) const {
    return moved_[size_class].load(std::memory_order_relaxed) +
           static_cast<uint32_t>(frees(size_class) - mallocs(size_class));
  }
  void Move(size_t size_class, size_t n) {
    std::atomic<uint32_t>& moved = moved_[size_class];
    moved.store(
        moved.load(std::memory_order_relaxed) + static_cast<uint32_t>(n),
        std::memory_order_relaxed);
  }
  // Mallocs and frees, which tells whether anything happened.
  uint64_t operations(size_t size_class) const {
    return mallocs(size_class) + frees(size_class);
  }
  void CheckInvariants(size_t class_of_attempt) const;
  bool GrowLimit(size_t size_class);
  void SetLimit(size_t size_class, uint32_t limit);
  template <typename Target>
  void FlushOldest(size_t size_class, size_t n, Target* target);
  void SlowStep(size_t class_of_attempt);
  void EmptyIdleBins();
  size_t Allowance() const;
  static constexpr uint32_t FirstLimit(size_t size_class) {
    const uint32_t by_bytes = kFirstLimitBytes / kSizeClasses[size_class].size;
    return by_bytes == 0 ? 1 : by_bytes < kFirstLimit ? by_bytes : kFirstLimit;
  }
  // Of the short array: limits that begin lower may double once, or twice.
  static constexpr uint32_t ShortCapacity(size_t size_class) {
    const uint32_t first = FirstLimit(size_class);
    return first == 1 ? 4 : first < kFirstLimit / 2 ? 2 * first : kFirstLimit;
  }
  static constexpr bool HasMiddleArray(size_t size_class) {
    return kSizeClasses[size_class].max_cached >= kFarArray;
  }
  struct Layout;
  static const Layout kLayout;

  Bin bins_[kNumClasses];
  BinInfo infos_[kNumClasses];
  ClassMap class_map_;  // A copy, so that one register reaches all of it.
  CentralHeap* central_ = nullptr;
  CacheShare* share_ = nullptr;
  std::atomic<size_t> limit_bytes_{0};
  uint32_t slow_steps_ = 0;

  // Between the owner and drainers.
  std::atomic<bool> on_slow_path_{false};
  bool drained_ = false;  // Some bins may have nulls.
  Gate gate_;             // To the slow paths.
  std::atomic<uint32_t> moved_[kNumClasses] = {};
  // The drainers' alone: mallocs + frees at the last sweep, modulo.
  uint32_t operations_at_sweep_[kNumClasses] = {};

 public:
  // Links of ThreadRegistry: among the caches of living threads, or in `next`
  // alone among those that wait for a thread; and among all there are.
  ThreadCache* next = nullptr;
  ThreadCache* prev = nullptr;
  ThreadCache* next_of_all = nullptr;
  bool serving = false;  // Has a thread; under the registry's lock.
};

// What an empty bin of a cache that has no arrays points behind.
inline constexpr void* kNoSlots[1] = {nullptr};

constexpr ThreadCache::ThreadCache(NoCache) : bins_{}, infos_{} {
  for (Bin& bin : bins_) {
    bin.top = bin.limit = const_cast<void**>(kNoSlots) + 1;
  }
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_THREAD_THREAD_CACHE_H_
