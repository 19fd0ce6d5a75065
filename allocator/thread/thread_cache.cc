#include "allocator/thread/thread_cache.h"

#include <string.h>

#include <new>

#include "allocator/base/check.h"
#include "allocator/os/mutex.h"

namespace spanmalloc {
namespace {

// Each array has one more slot, in front, for the null that ends it.
constexpr size_t ArrayBytes(size_t capacity) {
  return (capacity + 1) * sizeof(void*);
}

void** ArrayAt(void* block, uint32_t offset) {
  return reinterpret_cast<void**>(static_cast<char*>(block) + offset) + 1;
}

}  // namespace

// Where each class's arrays lie in the block: first the cache itself, then all
// short arrays, those of middle length and the shortest of the long ones, then
// the other long ones.
struct ThreadCache::Layout {
  constexpr Layout() {
    for (size_t c = 1; c < kNumClasses; ++c) {
      short_capacity[c] = static_cast<uint16_t>(ShortCapacity(c));
      Place(short_capacity[c], &short_array[c]);
    }
    short_end = end;
    size_t c = kNumClasses - 1;
    for (; kSizeClasses[c].max_cached <= 2 * kMiddleArray; --c) PlaceLong(c);
    for (size_t m = 1; m < kNumClasses; ++m) {
      if (HasMiddleArray(m)) Place(kMiddleArray, &middle_array[m]);
    }
    middle_end = end;
    for (; c != 0; --c) PlaceLong(c);
  }
  constexpr void Place(size_t capacity, uint32_t* array) {
    *array = end;
    end += static_cast<uint32_t>(ArrayBytes(capacity));
  }
  constexpr void PlaceLong(size_t c) {
    if (kSizeClasses[c].max_cached > ShortCapacity(c)) {
      Place(kSizeClasses[c].max_cached, &long_array[c]);
    }
  }

  uint16_t short_capacity[kNumClasses] = {};
  uint32_t short_array[kNumClasses] = {};
  uint32_t middle_array[kNumClasses] = {};
  uint32_t long_array[kNumClasses] = {};
  uint32_t short_end = 0;
  uint32_t middle_end = 0;
  uint32_t end = sizeof(ThreadCache);
};

constexpr ThreadCache::Layout ThreadCache::kLayout;
const size_t ThreadCache::kBlockSize = kLayout.end;

ThreadCache* ThreadCache::Create(void* memory, CentralHeap* central,
                                 CacheShare* share) {
  static_assert(kLayout.short_end <= 2 * kMinSystemPageSize);
  static_assert(kLayout.middle_end <= 3 * kMinSystemPageSize);
  ThreadCache* const cache = new (memory) ThreadCache(NoCache());
  cache->class_map_ = central->page_heap().class_map();
  cache->central_ = central;
  cache->share_ = share;
  cache->Reset();
  return cache;
}

void ThreadCache::Reset() {
  for (size_t c = 1; c < kNumClasses; ++c) {
    Bin& bin = bins_[c];
    BinInfo& info = infos_[c];
    info.reciprocal = kSizeClasses[c].reciprocal;
    info.valid_below = kSizeClasses[c].valid_below;
    info.guest_product = 0;
    if (const size_t guest = kSizeClasses[c].guest) {
      info.guest_product = kSizeClasses[c].size * info.reciprocal;
      info.guest_bin =
          static_cast<int32_t>(guest - c) * static_cast<int32_t>(sizeof(Bin));
    }
    void** const slots = ArrayAt(this, kLayout.short_array[c]);
    slots[-1] = nullptr;
    __atomic_store_n(&info.slots, slots, __ATOMIC_RELAXED);
    SetTop(bin, slots);
    __atomic_store_n(&bin.limit, slots, __ATOMIC_RELAXED);
    info.limit = 0;
    info.capacity = kLayout.short_capacity[c];
    info.operations_seen = 0;
    moved_[c].store(static_cast<uint32_t>(mallocs(c) - frees(c)),
                    std::memory_order_relaxed);
    operations_at_sweep_[c] = static_cast<uint32_t>(operations(c));
  }
  limit_bytes_.store(0, std::memory_order_relaxed);
  slow_steps_ = 0;
  // A thread that a fork has left behind may have been on one.
  on_slow_path_.store(false, std::memory_order_relaxed);
  drained_ = false;
}

// The store and the load are the owner's half of what CacheDrainer does with
// the gate, a barrier and on_slow_path_: at least one sees the other.
inline void ThreadCache::Enter() {
  for (;;) {
    on_slow_path_.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (SPANMALLOC_LIKELY(gate_.IsOpen())) break;
    on_slow_path_.store(false, std::memory_order_release);
    Mutex::AssertNoneHeld();
    gate_.Wait();
  }
  if (SPANMALLOC_UNLIKELY(drained_)) Settle();
}

// Makes bins that a drainer has been at what they are otherwise (T1).
SPANMALLOC_COLD void ThreadCache::Settle() {
  drained_ = false;
  for (size_t c = 1; c < kNumClasses; ++c) {
    Bin& bin = bins_[c];
    void** const slots = infos_[c].slots;
    if (infos_[c].limit != 0 || bin.top == slots) continue;
    const size_t count = static_cast<size_t>(bin.top - slots);
    size_t nulls = 0;
    while (nulls < count && slots[nulls] == nullptr) ++nulls;
    const size_t left = count - nulls;
    memmove(slots, slots + nulls, left * sizeof(void*));
    SetTop(bin, slots + left);
    if (left == 0) continue;
    const uint32_t first = FirstLimit(c);
    SetLimit(c, left > first ? static_cast<uint32_t>(left) : first);
  }
}

void ThreadCache::SetLimit(size_t size_class, uint32_t limit) {
  Bin& bin = bins_[size_class];
  BinInfo& info = infos_[size_class];
  if (limit > info.capacity) {
    const bool middle = HasMiddleArray(size_class) && limit <= kMiddleArray;
    void** const slots = ArrayAt(this, middle ? kLayout.middle_array[size_class]
                                              : kLayout.long_array[size_class]);
    const size_t count = static_cast<size_t>(bin.top - info.slots);
    slots[-1] = nullptr;
    memcpy(slots, info.slots, count * sizeof(void*));
    __atomic_store_n(&info.slots, slots, __ATOMIC_RELAXED);
    info.capacity = middle ? kMiddleArray : kSizeClasses[size_class].max_cached;
    SetTop(bin, slots + count);
  }
  const size_t before = limit_bytes_.load(std::memory_order_relaxed);
  limit_bytes_.store(before + (size_t{limit} - size_t{info.limit}) *
                                  kSizeClasses[size_class].size,
                     std::memory_order_relaxed);
  info.limit = static_cast<uint16_t>(limit);
  __atomic_store_n(&bin.limit, info.slots + limit, __ATOMIC_RELAXED);
  // An exchange, so that whoever takes the flag down sees the bytes of all that
  // have put it up.
  if (SPANMALLOC_UNLIKELY(before == 0 && limit != 0)) {
    share_->filled.exchange(true, std::memory_order_acq_rel);
  }
}

size_t ThreadCache::Allowance() const {
  const size_t share = share_->bytes.load(std::memory_order_relaxed);
  // A few threads get no more than four would: they have no use for it.
  const size_t threads = share_->threads.load(std::memory_order_relaxed);
  const size_t parts = threads < 4 ? 4 : threads;
  const size_t by_heap = central_->page_heap().used_bytes() / 4;
  const size_t total = by_heap < kLeastTotal ? kLeastTotal : by_heap;
  const size_t part = total / parts;
  const size_t allowed = part < kLeastAllowance ? kLeastAllowance : part;
  return share < allowed ? share : allowed;
}

// Doubles the limit if class and allowance allow. False if nothing changed.
bool ThreadCache::GrowLimit(size_t size_class) {
  const SizeClass& size = kSizeClasses[size_class];
  const uint32_t old = infos_[size_class].limit;
  if (old == 0) {
    // Every class gets this much.
    SetLimit(size_class, FirstLimit(size_class));
    return true;
  }
  if (old >= size.max_cached) return false;
  const uint32_t limit = old * 2 < size.max_cached ? old * 2 : size.max_cached;
  if (limit_bytes_.load(std::memory_order_relaxed) +
          (limit - old) * size_t{size.size} >
      Allowance()) {
    return false;
  }
  SetLimit(size_class, limit);
  return true;
}

// To the transfer cache go objects that another thread may want soon; those
// that are not expected to be, home to the central list.
template <typename Target>
void ThreadCache::FlushOldest(size_t size_class, size_t n, Target* target) {
  Bin& bin = bins_[size_class];
  void** const slots = infos_[size_class].slots;
  const size_t count = static_cast<size_t>(bin.top - slots);
  target->InsertRange(slots, n);
  memmove(slots, slots + n, (count - n) * sizeof(void*));
  SetTop(bin, bin.top - n);
  Move(size_class, size_t{0} - n);
}

void* ThreadCache::Refill(size_t tag) {
  const SlowPath slow(this);
  const size_t size_class = ClassOfTag(tag);
  SlowStep(size_class);
  Bin& bin = bins_[size_class];
  const BinInfo& info = infos_[size_class];
  // It may not be empty: a drainer that borrowed the newest has put it back.
  if (SPANMALLOC_LIKELY(bin.top == info.slots)) {
    const bool first = info.limit == 0;
    GrowLimit(size_class);
    // The first time all that the bin may hold: many threads need no more.
    const size_t want = first || info.limit == 1 ? info.limit : info.limit / 2;
    const size_t got =
        central_->transfer(size_class).RemoveRange(info.slots, want);
    if (got == 0) return nullptr;
    SetTop(bin, info.slots + got);
    Move(size_class, got);
  }
  void** const top = bin.top - 1;
  SetTop(bin, top);
  return *top;
}

void ThreadCache::GiveUp(size_t tag) {
  const SlowPath slow(this);
  BinOf(tag).mallocs.Add(~uint64_t{0});
}

void ThreadCache::MakeRoom(size_t tag) {
  const SlowPath slow(this);
  const size_t size_class = ClassOfTag(tag);
  SlowStep(0);
  if (bins_[size_class].top < bins_[size_class].limit) return;
  if (GrowLimit(size_class)) return;
  const uint32_t limit = infos_[size_class].limit;
  // The share shrinks when threads are added.
  const bool shrink =
      limit_bytes_.load(std::memory_order_relaxed) > Allowance() &&
      limit > FirstLimit(size_class);
  const uint32_t new_limit = shrink ? (limit + 1) / 2 : limit;
  FlushOldest(size_class, limit - new_limit / 2,
              &central_->transfer(size_class));
  if (shrink) SetLimit(size_class, new_limit);
}

void ThreadCache::SlowStep(size_t class_of_attempt) {
  if (kAssertLevel >= 2) CheckInvariants(class_of_attempt);
  if (++slow_steps_ >= kStepsBetweenLooks) {
    slow_steps_ = 0;
    EmptyIdleBins();
  }
}

void ThreadCache::EmptyIdleBins() {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const uint32_t now = static_cast<uint32_t>(operations(c));
    BinInfo& info = infos_[c];
    if (now == info.operations_seen && info.limit != 0) {
      FlushOldest(c, static_cast<size_t>(bins_[c].top - info.slots),
                  &central_->list(c));
      SetLimit(c, 0);
    }
    info.operations_seen = now;
  }
}

void ThreadCache::Flush() {
  const SlowPath slow(this);
  FlushBins();
}

void ThreadCache::Empty() {
  const SlowPath slow(this);
  FlushBins();
  for (size_t c = 1; c < kNumClasses; ++c) SetLimit(c, 0);
}

void ThreadCache::FlushBins() {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const size_t count = static_cast<size_t>(bins_[c].top - infos_[c].slots);
    if (count != 0) FlushOldest(c, count, &central_->list(c));
  }
}

size_t ThreadCache::cached_objects(size_t size_class) const {
  const uint32_t count = ObjectsAtRest(size_class);
  return count <= kSizeClasses[size_class].max_cached ? count : 0;
}

void ThreadCache::CheckInvariants(size_t class_of_attempt) const {
  size_t limit_bytes = 0;
  for (size_t c = 1; c < kNumClasses; ++c) {
    const Bin& bin = bins_[c];
    const BinInfo& info = infos_[c];
    void** const limit = LoadUnlocked(&bin.limit);
    SPANMALLOC_CHECK(info.slots[-1] == nullptr);
    SPANMALLOC_CHECK(info.slots <= bin.top);
    SPANMALLOC_CHECK(bin.top <= info.slots + info.capacity);
    SPANMALLOC_CHECK(limit == info.slots + info.limit);
    SPANMALLOC_CHECK(info.limit <= info.capacity);
    void** first = info.slots;
    while (first < bin.top && LoadUnlocked(first) == nullptr) ++first;
    if (bin.top > limit) {
      SPANMALLOC_CHECK(info.limit == 0 && drained_);
    } else {
      SPANMALLOC_CHECK(first == info.slots);
    }
    for (void** slot = first; slot < bin.top; ++slot) {
      const uintptr_t p = reinterpret_cast<uintptr_t>(LoadUnlocked(slot));
      SPANMALLOC_CHECK(p != 0 &&
                       kSizeClasses[c].StartsObject(
                           static_cast<uint32_t>(p % kSmallSpanSize)));
    }
    SPANMALLOC_CHECK(static_cast<uint32_t>(bin.top - first) ==
                     ObjectsAtRest(c) + (c == class_of_attempt ? 1 : 0));
    limit_bytes += info.limit * size_t{kSizeClasses[c].size};
  }
  SPANMALLOC_CHECK(limit_bytes == limit_bytes_.load(std::memory_order_relaxed));
}

}  // namespace spanmalloc
