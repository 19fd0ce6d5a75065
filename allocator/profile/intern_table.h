// Records that are kept once each, by what is in them.
//
// Place:    profile/: what the tables of stacks and of labels have in common.
// Purpose:  Equal contents are equal pointers, which stay good for ever.
// Not here: what the contents are. Record has members `const Record* next` and
//           `uint64_t hash`; the contents lie behind it.
//
// Concurrency
//   Look-up takes no lock. Only a record that is not there yet is added under
//   lock_ (rank kProfile). Readers, also from outside the process, follow the
//   chains at any time.
// Invariants
//   T1  A record is complete before it is in a chain, and never changes or goes
//       away after.
//   T2  Each record is in the chain of its hash, once. Chains grow in front.
//   T3  used_bytes() is the sum of all records, and no more than the limit
//       was when the last of them was added.
// Cost:     the comparison of one record, or few.
// Failure:  null where there is no room, be it for the limit or for want of
//           memory; lost() counts these.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_INTERN_TABLE_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_INTERN_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/os/mutex.h"
#include "allocator/page/metadata_arena.h"

namespace spanmalloc {

template <typename Record, size_t kChains>
class InternTable {
 public:
  constexpr InternTable(MetadataArena* arena, size_t limit)
      : arena_(arena), lock_(LockRank::kProfile), limit_(limit) {}

  // The record of this hash of which matches(record) is true; or a new one of
  // `bytes`, which fill(record) completes.
  template <typename Matches, typename Fill>
  const Record* Intern(uint64_t hash, size_t bytes, Matches matches, Fill fill)
      LOCKS_EXCLUDED(lock_) {
    if (const Chain* const chains = chains_.load(std::memory_order_acquire)) {
      const Record* const first =
          chains[hash % kChains].load(std::memory_order_acquire);
      if (const Record* const found = Find(first, hash, matches)) return found;
    }
    MutexLock lock(&lock_);
    Chain* const chains = GetChains();
    if (chains == nullptr) return Lose();
    Chain& chain = chains[hash % kChains];
    const Record* const first = chain.load(std::memory_order_relaxed);
    if (const Record* const found = Find(first, hash, matches)) return found;
    bytes = AlignUp(bytes, MetadataArena::kGranule);
    const size_t used = used_bytes();
    if (used > limit() || bytes > limit() - used) return Lose();
    Record* const record =
        static_cast<Record*>(arena_->Allocate(bytes, RecordKind::kProfile));
    if (record == nullptr) return Lose();
    record->next = first;
    record->hash = hash;
    fill(record);
    bytes_.store(used + bytes, std::memory_order_relaxed);
    count_.store(count() + 1, std::memory_order_relaxed);
    chain.store(record, std::memory_order_release);
    return record;
  }

  // For what is added from now on.
  void set_limit(size_t bytes) {
    limit_.store(bytes, std::memory_order_relaxed);
  }
  size_t limit() const { return limit_.load(std::memory_order_relaxed); }
  size_t used_bytes() const { return bytes_.load(std::memory_order_relaxed); }
  size_t count() const { return count_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }
  void CountLoss() { lost_.fetch_add(1, std::memory_order_relaxed); }

  // T2 and T3. check(record) returns the bytes of a record, after it has looked
  // at the contents; are_equal(a, b) compares them.
  template <typename Check, typename AreEqual>
  void CheckInvariants(Check check, AreEqual are_equal) const
      LOCKS_EXCLUDED(lock_) {
    MutexLock lock(&lock_);
    const Chain* const chains = chains_.load(std::memory_order_relaxed);
    size_t records = 0, bytes = 0;
    for (size_t i = 0; chains != nullptr && i < kChains; ++i) {
      const Record* record = chains[i].load(std::memory_order_relaxed);
      for (; record != nullptr; record = record->next) {
        SPANMALLOC_CHECK(record->hash % kChains == i);
        SPANMALLOC_CHECK(
            Find(record->next, record->hash, [&](const Record* other) {
              return are_equal(record, other);
            }) == nullptr);
        ++records;
        bytes += AlignUp(check(record), MetadataArena::kGranule);
      }
    }
    SPANMALLOC_CHECK(records == count());
    SPANMALLOC_CHECK(bytes == used_bytes());
  }
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  using Chain = std::atomic<const Record*>;

  template <typename Matches>
  static const Record* Find(const Record* first, uint64_t hash,
                            const Matches& matches) {
    const Record* record = first;
    while (record != nullptr && !(record->hash == hash && matches(record))) {
      record = record->next;
    }
    return record;
  }

  Chain* GetChains() REQUIRES(lock_) {
    Chain* chains = chains_.load(std::memory_order_relaxed);
    if (chains == nullptr) {
      chains = static_cast<Chain*>(
          arena_->Allocate(kChains * sizeof(Chain), RecordKind::kProfile));
      chains_.store(chains, std::memory_order_release);
    }
    return chains;
  }

  const Record* Lose() {
    CountLoss();
    return nullptr;
  }

  MetadataArena* const arena_;
  mutable Mutex lock_;
  // Written under the lock.
  std::atomic<Chain*> chains_{nullptr};
  std::atomic<size_t> bytes_{0};
  std::atomic<size_t> count_{0};
  // And these not.
  std::atomic<size_t> limit_;
  std::atomic<uint64_t> lost_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_INTERN_TABLE_H_
