// The stacks of sampled allocations, each of them kept once.
//
// Place:    profile/, below the profile, whose buckets point at stacks.
// Purpose:  Turn a stack into a pointer that stays good for ever, so that equal
//           stacks are equal pointers.
// Not here: how a stack is captured, what was allocated there.
//
// Concurrency, invariants: see intern_table.h.
// Cost:     a hash over the frames and the comparison of one record, or few; a
//           record of 24 bytes and 8 for each frame, rounded up to 64.
// Failure:  where there is no room, no_room(), a stack without frames; lost()
//           counts these.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_STACK_TABLE_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_STACK_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "allocator/profile/intern_table.h"

namespace spanmalloc {

// A record that is read from outside as well; the frames lie behind it.
struct Stack {
  const Stack* next;  // In the chain; null at its end.
  uint64_t hash;
  uint64_t depth;

  // Of the two stacks without frames.
  static constexpr uint64_t kNoRoomHash = 0;
  static constexpr uint64_t kUnknownHash = 1;

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
      : table_(arena, limit) {}

  // The innermost kMaxDepth frames count. Never null.
  const Stack* Intern(const void* const* frames, size_t depth);

  // What stands for all stacks that found no room, and for those of which
  // nothing is known.
  constexpr const Stack* no_room() const { return &no_room_; }
  constexpr const Stack* unknown() const { return &unknown_; }

  // Of records, for those that are added from now on.
  void set_limit(size_t bytes) { table_.set_limit(bytes); }
  size_t limit() const { return table_.limit(); }
  size_t used_bytes() const { return table_.used_bytes(); }
  size_t stacks() const { return table_.count(); }
  uint64_t lost() const { return table_.lost(); }

  void CheckInvariants() const;
  Mutex& fork_lock() { return table_.fork_lock(); }

 private:
  friend struct StatLayout;

  InternTable<Stack, kChains> table_;
  // Here and not among the constants, which no core file has.
  Stack no_room_ = {nullptr, Stack::kNoRoomHash, 0};
  Stack unknown_ = {nullptr, Stack::kUnknownHash, 0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_STACK_TABLE_H_
