// A small mutex on a futex, with a rank that debug builds check.
//
// Place:    os/.
// Purpose:  Protect the allocator's shared structures without anything that
//           could allocate, from constant initialisation on.
// Not here: the order itself (lock_rank.h).
//
// Concurrency: not recursive, not fair. A waiter spins briefly and then sleeps.
// Invariants:  state_ is 0 (free), 1 (held) or 2 (held, somebody may sleep).
// Cost:        one atomic exchange to lock, one to unlock, when uncontended.
// Fork:        a child has one thread, which holds every lock that it took in
//              the parent and unlocks them as the parent does.
#ifndef SPANMALLOC_ALLOCATOR_OS_MUTEX_H_
#define SPANMALLOC_ALLOCATOR_OS_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/check.h"
#include "allocator/os/lock_rank.h"

namespace spanmalloc {

class CAPABILITY("mutex") Mutex {
 public:
  constexpr explicit Mutex(LockRank rank) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ACQUIRE() {
    if (kAssertLevel > 0) CheckOrder();
    LockUnchecked();
    if (kAssertLevel > 0) NoteHeld();
  }
  void Unlock() RELEASE() {
    if (kAssertLevel > 0) NoteReleased();
    UnlockUnchecked();
  }

  // For a signal handler, which may have interrupted the holder of any lock: it
  // may come out of order, and is to go on without.
  bool TryLock() TRY_ACQUIRE(true) {
    uint32_t expected = 0;
    if (!state_.compare_exchange_strong(expected, 1,
                                        std::memory_order_acquire)) {
      return false;
    }
    if (kAssertLevel > 0) NoteHeld();
    return true;
  }

  // Lock and Unlock for fork, which holds many locks of one rank.
  void ForkLock() NO_THREAD_SAFETY_ANALYSIS { LockUnchecked(); }
  void ForkUnlock() NO_THREAD_SAFETY_ANALYSIS { UnlockUnchecked(); }

  // Aborts if the calling thread holds any lock of ours: entering the
  // allocator would then be a re-entry. Debug builds only.
  static void AssertNoneHeld();

  // How often a thread had to wait for any mutex of ours since the start.
  static uint64_t waits() { return waits_.load(std::memory_order_relaxed); }

 private:
  friend struct StatLayout;
  void LockUnchecked() {
    uint32_t expected = 0;
    if (SPANMALLOC_UNLIKELY(!state_.compare_exchange_strong(
            expected, 1, std::memory_order_acquire))) {
      LockSlow();
    }
  }
  void UnlockUnchecked() {
    if (SPANMALLOC_UNLIKELY(state_.exchange(0, std::memory_order_release) ==
                            2)) {
      Wake();
    }
  }
  SPANMALLOC_COLD void LockSlow();
  SPANMALLOC_COLD void Wake();
  void CheckOrder() const;
  void NoteHeld() const;
  void NoteReleased() const;

  static std::atomic<uint64_t> waits_;

  std::atomic<uint32_t> state_{0};
  const LockRank rank_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ACQUIRE(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() RELEASE() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_MUTEX_H_
