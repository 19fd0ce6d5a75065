// Gives memory that nobody uses back to the system.
//
// Place:    api/ -> [Scavenger] -> ThreadRegistry, CentralHeap, PageHeap
// Purpose:  Who does it, and when: a thread of our own, or whoever comes along
//           a slow path, or the program by a call.
// Not here: how much and how old (policy.h); which pages (page/); how caches
//           of other threads are emptied (thread/cache_drainer.h).
//
// Modes (option `scavenger`)
//   auto    A thread, once the process has two threads and a few MiB that could
//           go back, or one thread and kWorthThread; before that, inline.
//   thread  A thread as soon as there is anything that could go back.
//   inline  Never a thread: slow paths of the program look at the clock now and
//           then. A program that makes no calls keeps what it has.
//   off     Only calls and limits give memory back.
//
// The thread starts after the library's own start and outside of all locks; it
// has all signals blocked but those of faults, holds no lock while it sleeps,
// and sleeps without a timer when nothing is left to do: the first slow path
// after that wakes it. It ends with the process's exit handlers, and when no
// thread is left that ever allocated, since a program may end by the end of its
// last thread. A child of fork has none until it needs one. It is not started
// when it cannot be, nor in a program that has entered a sandbox since its
// start, where an unexpected system call may be the end of it; the work is then
// done inline, without what lies in caches of other threads.
//
// Files:   scavenger.cc         settings, the work itself, limits, calls
//          scavenger_thread.cc  slow paths, the thread, events of the process
//          trace.cc             the line of scavtrace=1
//
// Concurrency: lock_ (rank kScavenger, the lowest) is held for pieces of work
//   of a few milliseconds, and by fork.
// Failure: what the system refuses stays where it is, and usable.
#ifndef SPANMALLOC_ALLOCATOR_SCAVENGE_SCAVENGER_H_
#define SPANMALLOC_ALLOCATOR_SCAVENGE_SCAVENGER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/central/central_heap.h"
#include "allocator/os/background_thread.h"
#include "allocator/os/cgroup.h"
#include "allocator/os/mutex.h"
#include "allocator/os/parking_spot.h"
#include "allocator/os/sandbox.h"
#include "allocator/scavenge/policy.h"
#include "allocator/thread/thread_registry.h"

namespace spanmalloc {

// In the order of the option's names.
enum class ScavengerMode : uint8_t { kAuto, kThread, kInline, kOff };

struct ScavengerSettings {
  ScavengerMode mode = ScavengerMode::kAuto;
  uint64_t delay = 1'000'000'000;  // Nanoseconds.
  size_t limit = 0;                // Bytes, 0 = none.
  bool limit_of_cgroup = false;    // The limit is the control group's.
  size_t hard_limit = 0;           // Bytes, 0 = none.
  bool lazily = false;             // Whether pages go back by MADV_FREE.
  bool trace = false;              // One line on stderr for each cycle.
};

// Since the start.
struct ScavengerStats {
  uint64_t calls;        // Of the program's that asked for memory to go back.
  uint64_t cycles;       // Times that something was done.
  uint64_t nanoseconds;  // CPU time it took.
  size_t limit;          // Bytes, 0 = none.
  size_t hard_limit;
};

class Scavenger {
 public:
  constexpr Scavenger(CentralHeap* central, ThreadRegistry* registry)
      : central_(central), registry_(registry), lock_(LockRank::kScavenger) {}

  // ---- Events in the life of the process

  void Configure(const ScavengerSettings& settings) LOCKS_EXCLUDED(lock_);
  // From now on slow paths may do work, and start a thread.
  void OnStart();
  // The process ends: no more work, and no thread when it returns.
  void OnExit();
  void OnForkChild();
  // The calling thread's cache is gone.
  void OnThreadExit();

  // Before a large block is freed. The thread that may then be worth while is
  // started now: making it allocates, and that shall not be what a block lies
  // in that the program frees a second time.
  SPANMALLOC_ALWAYS_INLINE void BeforeFree(const void* block) {
    if (SPANMALLOC_UNLIKELY(attention_.load(std::memory_order_relaxed) != 0)) {
      Foresee(block);
    }
  }

  // Whether the calling thread is making ours just now, and has called the C
  // library for it.
  static bool IsMakingThread() { return making_thread_; }

  // At the end of each slow path of the allocator, outside of all locks.
  SPANMALLOC_ALWAYS_INLINE void AfterSlowPath() {
    if (SPANMALLOC_UNLIKELY(attention_.load(std::memory_order_relaxed) != 0)) {
      Attend();
    }
  }

  // ---- Calls, from any thread. Each returns bytes given back to the system.

  // At least so many bytes, if there are so many: the cheapest first.
  size_t Release(size_t bytes) LOCKS_EXCLUDED(lock_);
  // All but `keep` bytes of free pages.
  size_t Trim(size_t keep) LOCKS_EXCLUDED(lock_);
  // Sends everything home that caches hold: the system has no more memory.
  void BringHome() LOCKS_EXCLUDED(lock_);
  // Returns the limit that was in force, 0 for none.
  size_t SetLimit(size_t bytes) LOCKS_EXCLUDED(lock_);

  ScavengerStats stats() const;
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  enum class Thread : uint32_t {
    kNone,
    kStarting,
    kAtWork,   // Comes back by itself.
    kResting,  // Has to be woken.
  };
  enum class Reason : uint8_t { kThread, kInline, kCall, kLimit, kMemory };
  struct Work {
    Reason reason;
    uint64_t start;      // CPU time.
    size_t bytes = 0;    // Given back.
    size_t objects = 0;  // Gone home.
    bool all = true;     // No more was to be had.
  };

  // Bytes that could go back, or went back inline, from which on a process with
  // one thread gets a second one: that makes the C library, and shared_ptr,
  // take locks which they else do without.
  static constexpr size_t kWorthThread = 16 << 20;
  // With more threads than one, where a thread's cache counts kPerThread.
  static constexpr size_t kWorthThreadAmongThreads = 4 << 20;
  static constexpr size_t kPerThread = 64 << 10;
  // Slow paths of a program without the thread, from one that reads the clock
  // to the next, and from one that adds up what the classes have free.
  static constexpr uint32_t kLooksPerClock = 16;
  static constexpr uint32_t kLooksPerSum = 256;
  // Released under one hold of the lock.
  static constexpr size_t kPiece = 16 << 20;
  static constexpr size_t kPieceInSpans = 2 << 20;
  static constexpr uint32_t kPressureHundredths = 1000;

  static constexpr uint32_t kSlowPathsLook = 1, kLimitSet = 2;

  SPANMALLOC_COLD void Attend();
  SPANMALLOC_COLD void Foresee(const void* block);
  void AttendWithoutThread(uint32_t look);
  bool MayStartThread() const;
  bool IsWorthThread(size_t more) const;
  void StartThread();
  void StepInline();
  void KeepLimit();
  static void RunThread(void* self);
  void Run();
  uint64_t Step(Reason reason) LOCKS_EXCLUDED(lock_);
  void SetThread(Thread thread);
  void SetAttention(uint32_t bit, bool on);
  void StoreLimit(size_t bytes);
  size_t IdleBytes() const;
  bool HasUnused() const;
  ScavengeView View() const REQUIRES(lock_);
  void LookAtSystem(uint64_t now) REQUIRES(lock_);
  bool IsSandboxed() const;
  void Empty(DrainScope scope, Work* work) REQUIRES(lock_);
  void ReleasePages(size_t bytes, uint32_t min_age, uint32_t min_age_of_parts,
                    uint64_t most_nanoseconds, Work* work)
      LOCKS_EXCLUDED(lock_);
  void ReleaseNow(size_t bytes, Work* work) LOCKS_EXCLUDED(lock_);
  void ReleaseInSpans(bool idle_only, size_t bytes, uint64_t most_nanoseconds,
                      Work* work) LOCKS_EXCLUDED(lock_);
  Work Begin(Reason reason) const;
  void End(const Work& work) REQUIRES(lock_);
  void Trace(const Work& work, uint64_t nanoseconds) const;

  static SPANMALLOC_THREAD_LOCAL bool making_thread_;

  CentralHeap* const central_;
  ThreadRegistry* const registry_;
  std::atomic<uint32_t> attention_{0};
  std::atomic<Thread> thread_{Thread::kNone};
  std::atomic<bool> started_{false};   // The process is beyond its start.
  std::atomic<bool> stopping_{false};  // It shall end.
  std::atomic<ScavengerMode> mode_{ScavengerMode::kAuto};
  std::atomic<size_t> limit_{0};
  std::atomic<size_t> hard_limit_{0};
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> cycles_{0};
  std::atomic<uint64_t> nanoseconds_{0};
  std::atomic<size_t> inline_bytes_{0};   // Given back by slow paths.
  std::atomic<uint64_t> next_step_{0};    // Of inline work.
  std::atomic<uint64_t> next_effort_{0};  // Of emptying caches for the limit.
  bool limit_of_cgroup_ GUARDED_BY(lock_) = false;
  bool trace_ GUARDED_BY(lock_) = false;
  bool pressure_ GUARDED_BY(lock_) = false;
  uint64_t next_look_at_system_ GUARDED_BY(lock_) = 0;
  uint64_t next_search_for_cgroup_ GUARDED_BY(lock_) = 0;
  MemoryCgroup cgroup_ GUARDED_BY(lock_);
  ScavengePolicy policy_ GUARDED_BY(lock_);
  int process_ = 0;  // The number of ours.
  SandboxWatch sandbox_;
  BackgroundThread background_;
  ParkingSpot rest_;  // Where the thread sleeps,
  ParkingSpot gone_;  // and where OnExit waits for its end.
  Mutex lock_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_SCAVENGE_SCAVENGER_H_
