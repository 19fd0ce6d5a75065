#include "allocator/thread/cache_drainer.h"

#include "allocator/base/check.h"
#include "allocator/base/unlocked.h"

namespace spanmalloc {

// The owner may be anywhere: before the gate has closed this is a guess.
bool CacheDrainer::IsWanted(const ThreadCache& cache, size_t size_class) const {
  if (LoadUnlocked(&cache.bins_[size_class].limit) ==
      LoadUnlocked(&cache.infos_[size_class].slots)) {
    return false;
  }
  return scope_ == DrainScope::kAll ||
         static_cast<uint32_t>(cache.operations(size_class)) ==
             cache.operations_at_sweep_[size_class];
}

bool CacheDrainer::Add(ThreadCache* cache) {
  if (!cache->holds()) return true;
  uint64_t wanted = 0;
  for (size_t c = 1; c < kNumClasses; ++c) {
    if (IsWanted(*cache, c)) wanted |= uint64_t{1} << c;
  }
  if (wanted != 0) {
    const size_t count = static_cast<size_t>(__builtin_popcountll(wanted));
    if (caches_count_ == kMostCaches || wanted_count_ + count > kMostBins) {
      return false;
    }
    wanted_count_ += count;
    caches_[caches_count_++] = {cache, wanted};
    cache->gate_.Close();
  } else {
    ++result_->caches_left;
  }
  if (scope_ == DrainScope::kIdle) {
    // Those that are wanted have the same number already.
    for (size_t c = 1; c < kNumClasses; ++c) {
      if ((wanted >> c & 1) != 0) continue;
      cache->operations_at_sweep_[c] =
          static_cast<uint32_t>(cache->operations(c));
    }
  }
  return true;
}

void CacheDrainer::Take(bool sure) {
  for (size_t i = 0; i < caches_count_; ++i) {
    ThreadCache* const cache = caches_[i].cache;
    if (!sure || cache->on_slow_path_.load(std::memory_order_acquire)) {
      Release(cache);
      caches_[i].cache = nullptr;
      continue;
    }
    for (size_t c = 1; c < kNumClasses; ++c) {
      if ((caches_[i].wanted >> c & 1) != 0 && IsWanted(*cache, c)) {
        TakeNewest(cache, c);
      }
    }
  }
}

void CacheDrainer::TakeNewest(ThreadCache* cache, size_t size_class) {
  const uint64_t operations = cache->operations(size_class);
  void** const top = LoadUnlocked(&cache->bins_[size_class].top);
  if (top == cache->infos_[size_class].slots) {
    // A push that has seen the old limit may still come.
    cache->drained_ = true;
    cache->SetLimit(size_class, 0);
    return;
  }
  void* const object = __atomic_exchange_n(top - 1, nullptr, __ATOMIC_ACQUIRE);
  SPANMALLOC_ASSERT(taken_count_ < kMostBins);
  taken_[taken_count_++] = {cache, size_class, top, object, operations};
}

bool CacheDrainer::IsOurs(const Taken& taken) {
  const ThreadCache& cache = *taken.cache;
  const size_t c = taken.size_class;
  return LoadUnlocked(&cache.bins_[c].top) == taken.top &&
         cache.operations(c) == taken.operations &&
         LoadUnlocked(taken.top - 1) == nullptr &&
         static_cast<uint32_t>(taken.top - cache.infos_[c].slots) ==
             cache.ObjectsAtRest(c);
}

void CacheDrainer::Finish(bool sure) {
  size_t t = 0;
  for (size_t i = 0; i < caches_count_; ++i) {
    ThreadCache* const cache = caches_[i].cache;
    if (cache == nullptr) continue;
    for (; t < taken_count_ && taken_[t].cache == cache; ++t) {
      const Taken& taken = taken_[t];
      if (sure && IsOurs(taken)) {
        SendHome(taken);
      } else {
        void* expected = nullptr;
        __atomic_compare_exchange_n(taken.top - 1, &expected, taken.object,
                                    false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
      }
    }
    Release(cache);
  }
}

void CacheDrainer::SendHome(const Taken& taken) {
  ThreadCache& cache = *taken.cache;
  const size_t c = taken.size_class;
  CentralFreeList& list = central_->list(c);
  void** const slots = cache.infos_[c].slots;
  cache.drained_ = true;
  cache.SetLimit(c, 0);
  void* chunk[kChunk] = {taken.object};
  size_t n = 1;
  for (void** slot = taken.top - 1; slot-- != slots;) {
    if (n == kChunk) {
      list.InsertRange(chunk, n);
      n = 0;
    }
    chunk[n++] = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    __atomic_store_n(slot, nullptr, __ATOMIC_RELAXED);
  }
  list.InsertRange(chunk, n);
  const size_t count = static_cast<size_t>(taken.top - slots);
  cache.Move(c, size_t{0} - count);
  result_->objects += count;
  result_->bytes += count * kSizeClasses[c].size;
}

// Lets the owner go on.
void CacheDrainer::Release(ThreadCache* cache) {
  if (cache->holds()) ++result_->caches_left;
  cache->gate_.Open();
}

}  // namespace spanmalloc
