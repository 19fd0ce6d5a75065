// The stacks of sampled allocations, each of them kept once.
//
// Place:    profile/, below the profile, whose buckets point at stacks.
// Purpose:  Turn a stack into a pointer that stays good for ever, so that equal
//           stacks are equal pointers.
// Not here: how a stack is captured, what was allocated there.
//
// Concurrency
//   Look-up takes no lock. Only a stack that is not there yet is added under
//   lock_ (rank kProfile). Readers, also from outside the process, follow the
//   chains at any time.
// Invariants
//   T1  A stack is complete before it is in a chain, and never changes or goes
//       away after.
//   T2  Each stack is in the chain of its hash, once. Chains grow in front.
//   T3  used_bytes() is the sum of all records, and no more than the limit
//       was when the last of them was added.
// Cost:     a hash over the frames and the comparison of one record, or few; a
//           record of 24 bytes and 8 for each frame, rounded up to 64.
// Failure:  where there is no room, be it for the limit or for want of memory,
//           no_room(), a stack without frames; lost() counts these.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_STACK_TABLE_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_STACK_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/os/mutex.h"
#include "allocator/page/metadata_arena.h"

namespace spanmalloc {

// A record that is read from outside as well; the frames lie behind it.
struct Stack {
  const Stack* next;  // In the chain; null at its end.
  uint64_t hash;
  uint64_t depth;

  // Return addresses, innermost first.
  const void* const* frames() const {
    return reinterpret_cast<const void* const*>(this + 1);
  }
};
static_assert(sizeof(Stack) == 24);

class StackTable {
 public:
  static constexpr size_t kMaxDepth = 64;
  static constexpr size_t kDefaultLimit = 16 << 20;
  static constexpr size_t kChains = 32 << 10;

  constexpr explicit StackTable(MetadataArena* arena,
                                size_t limit = kDefaultLimit)
      : arena_(arena), lock_(LockRank::kProfile), limit_(limit) {}

  // The innermost kMaxDepth frames count. Never null.
  const Stack* Intern(const void* const* frames, size_t depth)
      LOCKS_EXCLUDED(lock_);

  // What stands for all stacks that found no room, and for those of which
  // nothing is known.
  constexpr const Stack* no_room() const { return &no_room_; }
  constexpr const Stack* unknown() const { return &unknown_; }

  // For what is added from now on.
  void set_limit(size_t bytes) {
    limit_.store(bytes, std::memory_order_relaxed);
  }
  size_t limit() const { return limit_.load(std::memory_order_relaxed); }
  size_t used_bytes() const { return bytes_.load(std::memory_order_relaxed); }
  size_t stacks() const { return count_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

  void CheckInvariants() const LOCKS_EXCLUDED(lock_);
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  using Chain = std::atomic<const Stack*>;

  static uint64_t Hash(const void* const* frames, size_t depth);
  static const Stack* Find(const Stack* first, uint64_t hash,
                           const void* const* frames, size_t depth);
  Chain* GetChains() REQUIRES(lock_);
  const Stack* Lose() {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return &no_room_;
  }

  MetadataArena* const arena_;
  mutable Mutex lock_;
  // Written under the lock.
  std::atomic<Chain*> chains_{nullptr};
  std::atomic<size_t> bytes_{0};
  std::atomic<size_t> count_{0};
  std::atomic<size_t> limit_;
  std::atomic<uint64_t> lost_{0};
  // Here and not among the constants, which no core file has.
  Stack no_room_ = {nullptr, 0, 0};
  Stack unknown_ = {nullptr, 1, 0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_STACK_TABLE_H_
