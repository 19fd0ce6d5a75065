// Blocks with a page to either side that nobody may touch.
//
// Place:    profile/, beside the heap: the caller decides which allocations
//           come here, a few of them.
// Purpose:  Find use after free, overflow, underflow and wrong frees in
//           programs that run as they always do, and say who did it.
// Not here: which allocations are chosen, the options (api/); the text
//           (guarded_report.h).
//
// The pages of one range, from low to high:
//   guard | slot 0 | guard | slot 1 | guard | ... | slot n-1 | guard
// A slot is one page of the system and has at most one block. The block lies
// at one end of it, chosen at random: at the right end an overflow reaches the
// guard at once, or after the few bytes that its alignment leaves; at the left
// end an underflow does. The rest of the page is filled with a pattern that is
// looked at when the block is freed. A free slot may not be touched, and is
// used again after all those that have been free for longer.
//
// Only guarded memory is written that no program has: the rule that nothing is
// written into a program's memory holds here too.
//
// Concurrency
//   Every method from any thread; lock_ (rank kGuardedHeap) is held for a few
//   steps, never during a system call or while a stack is captured. Between
//   two such sections a slot has one owner (G3). The fault handler tries the
//   lock for a while and then reads without: a wrong report at worst.
//   fork: a slot that another thread was changing is lost to the child.
//
// Invariants, whenever lock_ is free (CheckInvariants)
//   G1  From free_first_ to free_last_ there is a list of the slots in state
//       kFree, the one that has been free for longest first. Slots from fresh_
//       on have never been used and are in no list; their records have never
//       been written.
//   G2  live_ is the number of slots that are kLive, live_bytes_ the sum of
//       what was asked for in them.
//   G3  A slot that is kPreparing or kRetiring belongs to the thread that made
//       it so. Its record is that of the last block until it is kLive.
//   G4  A page that is not kLive may not be accessed, unless the system refused
//       to forbid it. Then a use after free is not found.
//
// Cost: Allocate and Free each one system call for access, one fault or one
//   release, a page filled or compared, a stack captured: about ten
//   microseconds. Two pages of addresses a slot, of which those of live blocks
//   are backed; 0.6 KiB of records for a slot that has been used; up to two
//   mappings of the kernel's a slot, of which a process may have 65,530.
//
// Failure: Allocate returns null if the slots are all used, or the system
//   refuses: the caller then takes ordinary memory. Enable returns false and
//   leaves nothing behind. Misuse ends the program.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_GUARDED_HEAP_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_GUARDED_HEAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/os/memory.h"
#include "allocator/os/mutex.h"
#include "allocator/profile/guarded_report.h"

namespace spanmalloc {

// What there is and was, for statistics.
struct GuardedStats {
  uint64_t range_bytes = 0;    // Addresses of the slots and their guards.
  uint64_t records_bytes = 0;  // Of memory for records.
  uint64_t backed_bytes = 0;   // Of the range: with memory behind them.
  uint64_t peak_backed_bytes = 0;
  uint64_t mallocs = 0;  // Since the start; those that were freed are not more.
  uint64_t frees = 0;
  uint64_t allocated_bytes = 0;  // What was asked for in these.
  uint64_t freed_bytes = 0;
  uint64_t peak_bytes = 0;  // The most asked for in live blocks.
};

class GuardedHeap {
 public:
  static constexpr size_t kMinAlignment = 16;
  static constexpr size_t kMaxSlots = 16 << 10;

  // Return addresses of the calling thread, beginning with that of the caller
  // or `skip` further; how many. It is called without any lock of ours, and in
  // the signal handler. There it shall pass through the signal's frame and give
  // the interrupted instruction's address, or one more.
  using Capture = size_t (*)(void** frames, size_t max, size_t skip);

  constexpr GuardedHeap(const SystemMemory* system, Capture capture)
      : system_(system), capture_(capture), lock_(LockRank::kGuardedHeap) {}

  // From now on Allocate gives blocks. The first call maps the slots, at most
  // kMaxSlots, and watches for faults; later ones change neither.
  bool Enable(size_t slots) LOCKS_EXCLUDED(lock_);
  // No new blocks. Those that there are stay what they are, and are freed here.
  void Disable() { enabled_.store(false, std::memory_order_relaxed); }
  bool enabled() const { return enabled_.load(std::memory_order_acquire); }

  // A block that reads as zero, or null.
  // REQUIRES: alignment is a power of two.
  void* Allocate(size_t size, size_t alignment) LOCKS_EXCLUDED(lock_);

  // Is p ours, be it a block or not? Any pointer will do.
  bool Owns(const void* p) const {
    // Who sees the size sees the start, too.
    const size_t size = range_size_.load(std::memory_order_acquire);
    return reinterpret_cast<uintptr_t>(p) -
               range_start_.load(std::memory_order_relaxed) <
           size;
  }

  // All of these are for what we own, and end the program with a report unless
  // it is the start of a live block.

  // The bytes that were asked for: there are no more that may be used. The
  // operation is named to the person if p is wrong.
  size_t SizeOf(const void* p,
                const char* operation = "malloc_usable_size") const
      LOCKS_EXCLUDED(lock_);
  SPANMALLOC_ALWAYS_INLINE void Free(void* p, const char* operation = "free")
      LOCKS_EXCLUDED(lock_) {
    FreeBlock(p, nullptr, operation);
  }
  // Also ends the program if the block was not asked for with this size.
  SPANMALLOC_ALWAYS_INLINE void FreeSized(void* p, size_t size)
      LOCKS_EXCLUDED(lock_) {
    FreeBlock(p, &size, "free");
  }

  // Without the lock. Addresses that were mapped, guards and records included;
  // what the system backs of the slots; and the blocks.
  size_t mapped_bytes() const { return Load(mapped_bytes_); }
  size_t backed_bytes() const { return Load(backed_bytes_); }
  size_t live() const { return Load(live_); }
  size_t live_bytes() const { return Load(live_bytes_); }
  size_t slots() const { return Load(slots_); }
  // Since the start. Refused: there was no slot, or the system said no.
  size_t allocations() const { return Load(allocations_); }
  size_t refused() const { return Load(refused_); }

  GuardedStats stats() const;

  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

  void CheckInvariants() const LOCKS_EXCLUDED(lock_);

 private:
  friend struct StatLayout;
  enum class State : unsigned char {
    kFresh,
    kPreparing,
    kLive,
    kRetiring,
    kFree
  };
  struct Slot {
    State state;
    bool dirty;     // It may not read as zero. The owner's.
    uint32_t next;  // In the list of free slots.
    GuardedBlock block;
  };
  struct Found {
    GuardedError error = GuardedError::kInvalidAccess;  // If it was a fault.
    bool has_block = false;
    GuardedBlock block;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  static size_t Load(const std::atomic<size_t>& n) {
    return n.load(std::memory_order_relaxed);
  }
  // Under the lock.
  static void Add(std::atomic<size_t>* n, size_t difference) {
    n->store(Load(*n) + difference, std::memory_order_release);
  }
  static void Raise(std::atomic<size_t>* peak, size_t n) {
    if (n > Load(*peak)) peak->store(n, std::memory_order_release);
  }

  bool Map(size_t slots) REQUIRES(lock_);
  void Unmap(void* range, size_t range_size, void* records,
             size_t records_size) const;
  uint32_t Take(bool* right) LOCKS_EXCLUDED(lock_);
  void GiveBack(uint32_t index) LOCKS_EXCLUDED(lock_);
  uintptr_t Place(uint32_t index, size_t size, size_t alignment,
                  bool right) const;
  void FillAround(uint32_t index, const GuardedBlock& block) const;
  void CheckAround(uint32_t index, const GuardedEvent& now) const;
  void FreeBlock(void* p, const size_t* size, const char* operation)
      LOCKS_EXCLUDED(lock_);
  // kNone: there is no such live block, or it has another size.
  uint32_t TakeLive(const void* p, const size_t* size, const GuardedEvent& now)
      LOCKS_EXCLUDED(lock_);
  void Retire(uint32_t index) LOCKS_EXCLUDED(lock_);
  uint32_t LiveIndex(const void* p) const;
  // `size` is what a sized free said, or null.
  [[noreturn]] SPANMALLOC_COLD void ReportMisuse(
      const void* p, const GuardedEvent& now, const char* operation, bool frees,
      const size_t* size) const LOCKS_EXCLUDED(lock_);
  [[noreturn]] SPANMALLOC_COLD void ReportChange(GuardedError error,
                                                 const unsigned char* changed,
                                                 uint32_t index,
                                                 const GuardedEvent& now) const;

  // What a fault, or a wrong pointer, has to do with. Under the lock, or at
  // the risk of a mix of two records.
  Found Find(uintptr_t address) const;
  uint32_t Nearest(uintptr_t address) const;
  static void OnFault(const Fault& fault, void* self);
  // Not inlined: it counts as one frame.
  SPANMALLOC_NOINLINE void CaptureNow(GuardedEvent* event) const;
  SPANMALLOC_COLD void CaptureFault(const Fault& fault,
                                    GuardedEvent* event) const;

  uintptr_t Page(uint32_t index) const {
    return Load(range_start_) + (2 * size_t{index} + 1) * page_size_;
  }

  const SystemMemory* const system_;
  const Capture capture_;
  std::atomic<bool> enabled_{false};
  std::atomic<uintptr_t> range_start_{0};
  std::atomic<size_t> range_size_{0};
  // Constant once range_size_ or enabled_ is set.
  size_t page_size_ = 0;
  Slot* records_ = nullptr;

  mutable Mutex lock_;
  uint32_t fresh_ GUARDED_BY(lock_) = 0;
  uint32_t free_first_ GUARDED_BY(lock_) = kNone;
  uint32_t free_last_ GUARDED_BY(lock_) = kNone;
  uint64_t random_ GUARDED_BY(lock_) = 0;
  // Written under the lock.
  std::atomic<size_t> slots_{0};
  std::atomic<size_t> mapped_bytes_{0};
  std::atomic<size_t> backed_bytes_{0};
  std::atomic<size_t> live_{0};
  std::atomic<size_t> live_bytes_{0};
  std::atomic<size_t> peak_backed_bytes_{0};
  std::atomic<size_t> peak_live_bytes_{0};
  std::atomic<size_t> records_bytes_{0};
  std::atomic<size_t> allocations_{0};
  std::atomic<size_t> allocated_bytes_{0};
  std::atomic<size_t> frees_{0};
  std::atomic<size_t> freed_bytes_{0};
  std::atomic<size_t> refused_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_GUARDED_HEAP_H_
