#include "allocator/thread/thread_registry.h"

#include "allocator/base/check.h"

namespace spanmalloc {
namespace {

SPANMALLOC_CONSTINIT const ThreadCache no_cache{ThreadCache::NoCache()};

}  // namespace

SPANMALLOC_THREAD_LOCAL ThreadCache* current_thread_cache =
    const_cast<ThreadCache*>(&no_cache);
SPANMALLOC_THREAD_LOCAL ThreadState current_thread_state = ThreadState::kNone;

void ThreadRegistry::ShareAgain() {
  const size_t share = cache_bytes_ / (threads_ == 0 ? 1 : threads_);
  share_.bytes.store(share < kMinShare ? kMinShare : share,
                     std::memory_order_relaxed);
  share_.threads.store(threads_, std::memory_order_relaxed);
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
    void* block = free_blocks_;
    if (block != nullptr) {
      free_blocks_ = free_blocks_->next;
    } else {
      block = central_->page_heap().AllocateRecord(ThreadCache::kBlockSize);
      if (block == nullptr) return nullptr;
    }
    cache = ThreadCache::Create(block, central_, &share_);
    caches_.PushFront(cache);
    if (++threads_ == 2) central_->set_shared();
    ShareAgain();
  }
  // From here on the thread is served, also inside Arm.
  current_thread_cache = cache;
  current_thread_state = ThreadState::kActive;
  if (!exit.Arm(cache)) {
    // Nobody would take the cache back.
    Leave();
    return nullptr;
  }
  return cache;
}

void ThreadRegistry::AddCounts(const ThreadCache& cache) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    past_mallocs_[c] += cache.mallocs(c);
    past_frees_[c] += cache.frees(c);
  }
}

void ThreadRegistry::Recycle(ThreadCache* cache) {
  caches_.Remove(cache);
  --threads_;
  FreeBlock* const block = reinterpret_cast<FreeBlock*>(cache);
  block->next = free_blocks_;
  free_blocks_ = block;
}

void ThreadRegistry::Leave() {
  ThreadCache* const cache = current_thread_cache;
  SPANMALLOC_ASSERT(current_thread_state == ThreadState::kActive);
  current_thread_cache = const_cast<ThreadCache*>(&no_cache);
  current_thread_state = ThreadState::kExited;
  MutexLock lock(&lock_);
  cache->Flush();
  AddCounts(*cache);
  Recycle(cache);
  ShareAgain();
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

void ThreadRegistry::Sum(ThreadCounts* counts) {
  MutexLock lock(&lock_);
  *counts = ThreadCounts();
  counts->threads = threads_;
  for (size_t c = 1; c < kNumClasses; ++c) {
    // Frees first: an object's malloc is counted before its free, so the
    // difference can't come out negative.
    counts->frees[c] =
        past_frees_[c] + direct_frees_[c].load(std::memory_order_relaxed);
    for (ThreadCache* cache = caches_.first(); cache; cache = cache->next) {
      counts->frees[c] += cache->frees(c);
      counts->cached_objects[c] += cache->cached_objects(c);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    counts->mallocs[c] =
        past_mallocs_[c] + direct_mallocs_[c].load(std::memory_order_relaxed);
    for (ThreadCache* cache = caches_.first(); cache; cache = cache->next) {
      counts->mallocs[c] += cache->mallocs(c);
    }
  }
}

void ThreadRegistry::ForgetOtherThreads() {
  MutexLock lock(&lock_);
  for (ThreadCache* cache = caches_.first(); cache != nullptr;) {
    ThreadCache* const next = cache->next;
    if (cache != current_thread_cache) {
      AddCounts(*cache);
      Recycle(cache);
    }
    cache = next;
  }
  ShareAgain();
}

void ThreadRegistry::CheckInvariants() {
  MutexLock lock(&lock_);
  SPANMALLOC_CHECK(caches_.size() == threads_);
}

}  // namespace spanmalloc
