// Which threads have a cache, and what those did that have none any more.
//
// Place:    beside ThreadCache, above CentralHeap.
// Purpose:  The life of a thread's cache from its first allocation to its end,
//           and the sums over all threads.
//
// States of a thread (ThreadState)
//   kNone     has not allocated yet. Its cache pointer is the cache that has
//             nothing, so the first call ends in Join. That cache is
//             everybody's: what is counted in it is nobody's malloc and is
//             never read.
//   kActive   has a cache of its own.
//   kExited   has handed it back. Destructors that run later still allocate
//             and free: one object at a time, at the central lists.
// The same happens where no cache can be had: no memory, no pthread key.
//
// Concurrency: the lock (rank kThreadRegistry) covers the lists of caches. Sums
//   are read without it: caches are never unmade, only passed on, and their
//   counts go on, so all that ever were are in one list that only grows.
// Invariants:  G1  an exited thread's objects and counts are not lost.
//              G2  a cache serves at most one thread at a time; caches of
//              exited
//                  threads serve later ones.
// Failure:  Join returns null when there is no memory for a cache.
#ifndef SPANMALLOC_ALLOCATOR_THREAD_THREAD_REGISTRY_H_
#define SPANMALLOC_ALLOCATOR_THREAD_THREAD_REGISTRY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/linked_list.h"
#include "allocator/central/central_heap.h"
#include "allocator/os/mutex.h"
#include "allocator/os/thread_exit.h"
#include "allocator/thread/allocation_countdown.h"
#include "allocator/thread/cache_drainer.h"
#include "allocator/thread/thread_cache.h"

namespace spanmalloc {

enum class ThreadState : unsigned char { kNone, kActive, kExited };

// What the hot paths need to know of the thread; together, so that they are
// found together.
struct CurrentThread {
  ThreadCache* cache;  // Never null.
  AllocationCountdown countdown;
};
extern SPANMALLOC_THREAD_LOCAL CurrentThread current_thread;
extern SPANMALLOC_THREAD_LOCAL ThreadState current_thread_state;

// Sums over all threads, present and past.
struct ThreadCounts {
  uint64_t mallocs[kNumClasses] = {};
  uint64_t frees[kNumClasses] = {};
  size_t threads = 0;  // With a cache.
  size_t caches = 0;   // Made so far; no fewer than threads.
};

class ThreadRegistry {
 public:
  constexpr ThreadRegistry(CentralHeap* central, void (*on_exit)(void*))
      : central_(central),
        on_exit_(on_exit),
        lock_(LockRank::kThreadRegistry) {}

  // Bytes of objects that all caches together may hold. Each thread's share is
  // an equal part, but never below kMinShare.
  void set_cache_bytes(size_t bytes) LOCKS_EXCLUDED(lock_);

  // Gives the calling thread a cache and makes it kActive. Null if there is
  // none to be had. REQUIRES: the state is kNone.
  ThreadCache* Join() LOCKS_EXCLUDED(lock_);

  // Takes the calling thread's cache back. REQUIRES: the state is kActive.
  void Leave() LOCKS_EXCLUDED(lock_);

  // Sends home what threads' caches hold, the caller's own among them. From any
  // thread, with a cache or without. Where the system has no barrier on all
  // threads, kAll empties the caller's own cache and kIdle does nothing.
  // REQUIRES: the caller holds no lock of ours and is on no slow path.
  DrainResult Drain(DrainScope scope) LOCKS_EXCLUDED(lock_);

  // Whether a Drain may find something: false only if nothing has been cached
  // since one that left nothing.
  bool HasCached() const {
    return share_.filled.load(std::memory_order_relaxed);
  }

  // Threads that have a cache.
  size_t threads() const { return threads_.load(std::memory_order_relaxed); }

  // Sends home what the calling thread's cache holds. For a thread that knows
  // that it will be idle.
  void FlushCurrent();

  // One object for a thread without a cache; null if there is no memory.
  void* AllocateDirect(size_t size_class);
  void FreeDirect(size_t size_class, void* p);

  // Adds up all threads, without a lock. Exact when they are quiet. Always: no
  // class has more frees than mallocs. A malloc that is under way may be
  // counted already; if it finds no memory that is taken back, and but for this
  // no count is below an earlier one.
  void Sum(ThreadCounts* counts) const;

  // In the child of a fork: only the calling thread has gone on. What the
  // others had cached stays lost to the child, for they may have been in the
  // middle of a step.
  void ForgetOtherThreads() LOCKS_EXCLUDED(lock_);

  void CheckInvariants() LOCKS_EXCLUDED(lock_);
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  static constexpr size_t kDefaultCacheBytes = 32 << 20;
  static constexpr size_t kMinShare = 128 << 10;
  // Caches that a drainer looks at before it lets go of the lock.
  static constexpr size_t kMostLooks = 256;

  ThreadCache* NewCache() REQUIRES(lock_);
  void Recycle(ThreadCache* cache) REQUIRES(lock_);
  void ShareAgain() REQUIRES(lock_);

  CentralHeap* const central_;
  void (*const on_exit_)(void*);
  CacheShare share_{kDefaultCacheBytes};
  std::atomic<uint64_t> direct_mallocs_[kNumClasses] = {};
  std::atomic<uint64_t> direct_frees_[kNumClasses] = {};
  size_t cache_bytes_ GUARDED_BY(lock_) = kDefaultCacheBytes;
  LinkedList<ThreadCache> caches_ GUARDED_BY(lock_);
  // Written under the lock.
  std::atomic<size_t> threads_{0};
  std::atomic<ThreadCache*> all_caches_{nullptr};
  ThreadCache* free_caches_ GUARDED_BY(lock_) = nullptr;
  bool exit_created_ GUARDED_BY(lock_) = false;
  ThreadExit exit_ GUARDED_BY(lock_);
  Mutex lock_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_THREAD_THREAD_REGISTRY_H_
