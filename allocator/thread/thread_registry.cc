#include "allocator/thread/thread_registry.h"

#include "allocator/base/check.h"
#include "allocator/os/system_info.h"
#include "allocator/os/thread_barrier.h"

namespace spanmalloc {
namespace {

SPANMALLOC_CONSTINIT ThreadCache no_cache{ThreadCache::NoCache()};

}  // namespace

SPANMALLOC_THREAD_LOCAL CurrentThread current_thread = {&no_cache, {}};
SPANMALLOC_THREAD_LOCAL ThreadState current_thread_state = ThreadState::kNone;

void ThreadRegistry::ShareAgain() {
  const size_t threads = threads_.load(std::memory_order_relaxed);
  const size_t share = cache_bytes_ / (threads == 0 ? 1 : threads);
  share_.bytes.store(share < kMinShare ? kMinShare : share,
                     std::memory_order_relaxed);
  share_.threads.store(threads, std::memory_order_relaxed);
}

void ThreadRegistry::set_cache_bytes(size_t bytes) {
  MutexLock lock(&lock_);
  cache_bytes_ = bytes;
  ShareAgain();
}

ThreadCache* ThreadRegistry::Join() {
  SPANMALLOC_ASSERT(current_thread_state == ThreadState::kNone);
  // A cache copies the class map, so that must be there.
  central_->page_heap().Prepare();
  ThreadCache* cache = nullptr;
  ThreadExit exit;
  {
    MutexLock lock(&lock_);
    if (!exit_created_) {
      if (!exit_.Create(on_exit_)) return nullptr;
      exit_created_ = true;
    }
    exit = exit_;
    cache = NewCache();
    if (cache == nullptr) return nullptr;
    caches_.PushFront(cache);
    cache->serving = true;
    const size_t threads = threads_.load(std::memory_order_relaxed) + 1;
    threads_.store(threads, std::memory_order_relaxed);
    if (threads == 2) central_->set_shared();
    ShareAgain();
  }
  // From here on the thread is served, also inside Arm.
  current_thread.cache = cache;
  current_thread_state = ThreadState::kActive;
  if (!exit.Arm(cache)) {
    // Nobody would take the cache back.
    Leave();
    return nullptr;
  }
  return cache;
}

// One that waits for a thread, or a new one.
ThreadCache* ThreadRegistry::NewCache() {
  if (ThreadCache* const cache = free_caches_) {
    free_caches_ = cache->next;
    cache->Reset();
    return cache;
  }
  void* const block = central_->page_heap().AllocateRecord(
      ThreadCache::kBlockSize, RecordKind::kThreadCaches, SystemPageSize());
  if (block == nullptr) return nullptr;
  ThreadCache* const cache = ThreadCache::Create(block, central_, &share_);
  cache->next_of_all = all_caches_.load(std::memory_order_relaxed);
  all_caches_.store(cache, std::memory_order_release);
  return cache;
}

void ThreadRegistry::Recycle(ThreadCache* cache) {
  caches_.Remove(cache);
  cache->serving = false;
  threads_.store(threads_.load(std::memory_order_relaxed) - 1,
                 std::memory_order_relaxed);
  cache->next = free_caches_;
  free_caches_ = cache;
}

void ThreadRegistry::Leave() {
  ThreadCache* const cache = current_thread.cache;
  SPANMALLOC_ASSERT(current_thread_state == ThreadState::kActive);
  current_thread.cache = &no_cache;
  current_thread_state = ThreadState::kExited;
  MutexLock lock(&lock_);
  cache->Flush();
  Recycle(cache);
  ShareAgain();
}

DrainResult ThreadRegistry::Drain(DrainScope scope) {
  DrainResult result;
  // Before anything is looked at, so that what comes meanwhile puts it up
  // again.
  share_.filled.exchange(false, std::memory_order_acq_rel);
  if (!ThreadBarrier() && !(PrepareThreadBarrier() && ThreadBarrier())) {
    if (scope == DrainScope::kAll) FlushCurrent();
    result.caches_left = threads_.load(std::memory_order_relaxed);
  } else {
    // The list only grows, so the place in it is good without the lock.
    ThreadCache* cache = all_caches_.load(std::memory_order_acquire);
    while (cache != nullptr) {
      MutexLock lock(&lock_);
      CacheDrainer batch(central_, scope, &result);
      for (size_t looks = 0; cache != nullptr && looks < kMostLooks; ++looks) {
        if (cache->serving && !batch.Add(cache)) break;
        cache = cache->next_of_all;
      }
      if (batch.empty()) continue;
      batch.Take(ThreadBarrier());
      batch.Finish(ThreadBarrier());
    }
  }
  if (result.caches_left != 0) {
    share_.filled.store(true, std::memory_order_relaxed);
  }
  return result;
}

void ThreadRegistry::FlushCurrent() {
  if (current_thread_state == ThreadState::kActive) {
    current_thread.cache->Empty();
  }
}

void* ThreadRegistry::AllocateDirect(size_t size_class) {
  void* p = nullptr;
  if (central_->list(size_class).RemoveRange(&p, 1) == 0) return nullptr;
  direct_mallocs_[size_class].fetch_add(1, std::memory_order_relaxed);
  return p;
}

void ThreadRegistry::FreeDirect(size_t size_class, void* p) {
  direct_frees_[size_class].fetch_add(1, std::memory_order_relaxed);
  central_->list(size_class).InsertRange(&p, 1);
}

void ThreadRegistry::Sum(ThreadCounts* counts) const {
  *counts = ThreadCounts();
  counts->threads = threads_.load(std::memory_order_relaxed);
  // Frees first: an object's malloc is counted before its free, so the
  // difference can't come out negative.
  for (size_t c = 1; c < kNumClasses; ++c) {
    counts->frees[c] = direct_frees_[c].load(std::memory_order_relaxed);
  }
  const ThreadCache* const first = all_caches_.load(std::memory_order_acquire);
  for (const ThreadCache* cache = first; cache; cache = cache->next_of_all) {
    for (size_t c = 1; c < kNumClasses; ++c) {
      counts->frees[c] += cache->frees(c);
    }
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  for (size_t c = 1; c < kNumClasses; ++c) {
    counts->mallocs[c] = direct_mallocs_[c].load(std::memory_order_relaxed);
  }
  // A thread that has come meanwhile may have allocated what others freed.
  for (const ThreadCache* cache = all_caches_.load(std::memory_order_acquire);
       cache != nullptr; cache = cache->next_of_all) {
    ++counts->caches;
    for (size_t c = 1; c < kNumClasses; ++c) {
      counts->mallocs[c] += cache->mallocs(c);
    }
  }
}

void ThreadRegistry::ForgetOtherThreads() {
  MutexLock lock(&lock_);
  for (ThreadCache* cache = caches_.first(); cache != nullptr;) {
    ThreadCache* const next = cache->next;
    if (cache != current_thread.cache) {
      Recycle(cache);
    }
    cache = next;
  }
  ShareAgain();
}

void ThreadRegistry::CheckInvariants() {
  MutexLock lock(&lock_);
  SPANMALLOC_CHECK(caches_.size() == threads_.load(std::memory_order_relaxed));
}

}  // namespace spanmalloc
