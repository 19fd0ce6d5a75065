// What the samples add up to: where memory in use came from, and where memory
// was allocated since the start, when most was in use, and how long it lived.
//
// Place:    profile/, above the tables of stacks and labels.
// Purpose:  Sums by bucket: one for each stack, set of labels and allocated
//           size. And what is known of each sampled object that is alive.
// Not here: which allocations are sampled and what one is worth
//           (sampling_math.h); how the sums are written (profile_proto.h).
//
// A bucket is for the size that objects have, not for that which was asked for:
// one stack may ask for thousands of sizes that all end in one size class. The
// bytes asked for are a sum of their own.
//
// Peak. What each bucket had in use when the total was highest is kept without
// a copy of all of them at every new maximum. The total's maxima are numbered
// (totals().peak_epoch). A bucket that is about to change, and has not changed
// since the last maximum, first notes what it has in use, and that number. Who
// reads a bucket whose number is older knows that what is in use now was in use
// then. (BucketSums::at_peak)
//
// Concurrency
//   Samples are rare: one lock (rank kProfile) is enough. Reading takes none:
//   buckets are only ever added, each after it is complete, and their sums and
//   the totals are Published. So a snapshot may be taken while samples go on,
//   in a signal handler, and from outside. It then is of one moment within each
//   bucket, but not across buckets; where a writer was interrupted at a bucket,
//   that one is some samples off. If the total rises meanwhile, what it says
//   about the peak is of more than one.
//
// Invariants (CheckInvariants)
//   H1  allocated - freed is, for each bucket and in total, the sum of the
//       weights of the live samples.
//   H2  The totals are the sums over all buckets of kind kHeap.
//   H3  peak_bytes is the sum over all buckets of at_peak(peak_epoch), and at
//       least what is in use.
//   H4  A bucket is in the chain of its hash, and in the list of its kind.
//
// Cost:     a hash look-up or two and a few dozen words written, of which a
//           thread sees nothing but at its samples. 256 bytes a bucket, 64
//           bytes a live sample; buckets are bounded by set_limit, live samples
//           by the heap: one for each interval of bytes in use on average.
// Failure:  a sample that finds no memory for its record is lost. One that only
//           finds none for its bucket, or no room below the limit, counts in
//           one bucket for all of these, with the stack no_room(): totals stay
//           right. Both are counted.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_HEAP_PROFILE_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_HEAP_PROFILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/published.h"
#include "allocator/os/mutex.h"
#include "allocator/page/metadata_arena.h"
#include "allocator/profile/live_samples.h"
#include "allocator/profile/profile_records.h"
#include "allocator/profile/stack_table.h"

namespace spanmalloc {

struct Sample {
  uint64_t requested_bytes = 0;
  uint64_t allocated_bytes = 0;
  uint64_t time_ns = 0;
  uint64_t interval = 1;             // By which it was chosen.
  const Stack* stack = nullptr;      // Null: not known.
  const LabelSet* labels = nullptr;  // Null: none.
};

// What is known of a live sample.
struct SampledObject {
  uint64_t requested_bytes;
  uint64_t allocated_bytes;
  uint64_t time_ns;
  const Stack* stack;
  const LabelSet* labels;
};

class HeapProfile {
 public:
  static constexpr size_t kDefaultLimit = 32 << 20;
  static constexpr size_t kChains = 16 << 10;

  constexpr HeapProfile(MetadataArena* arena, const StackTable* stacks,
                        size_t limit = kDefaultLimit)
      : arena_(arena),
        stacks_(stacks),
        lock_(LockRank::kProfile),
        limit_(limit),
        live_(arena),
        pool_{nullptr,           nullptr, stacks->no_room(), nullptr, 0,
              BucketKind::kHeap, {}} {}

  // Records that p was allocated. A live sample at p, of which nobody told that
  // it was freed, ends. False if nothing was recorded for want of memory.
  bool RecordAlloc(const void* p, const Sample& sample) LOCKS_EXCLUDED(lock_);
  // Records that p was freed. False if p is no live sample.
  bool RecordFree(const void* p, uint64_t now_ns) LOCKS_EXCLUDED(lock_);
  // False if p is no live sample.
  bool Find(const void* p, SampledObject* object) const LOCKS_EXCLUDED(lock_);

  // Records that the heap took memory from the system on behalf of `stack`
  // (null: not known). False if it only counts in the totals.
  bool RecordGrowth(const Stack* stack, uint64_t bytes) LOCKS_EXCLUDED(lock_);

  // From here on, what is in use now is the peak.
  void ResetPeak() LOCKS_EXCLUDED(lock_);

  // For buckets that are made from now on.
  void set_limit(size_t bytes) LOCKS_EXCLUDED(lock_);

  // Calls visit(context, snapshot) for every bucket of the kind, newest first.
  // Without the lock.
  void ForEachBucket(BucketKind kind,
                     void (*visit)(void* context, const BucketSnapshot&),
                     void* context) const;
  // Calls visit(context, address, object) for every live sample, under the
  // lock: `visit` must neither allocate nor take long.
  void ForEachLive(void (*visit)(void* context, const void* p,
                                 const SampledObject&),
                   void* context) const LOCKS_EXCLUDED(lock_);
  // Without the lock.
  HeapProfileTotals totals() const;

  void CheckInvariants() const LOCKS_EXCLUDED(lock_);
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  using List = std::atomic<HeapBucket*>;

  static uint64_t Hash(const Stack* stack, const LabelSet* labels,
                       uint64_t size);
  static void BeforeChange(uint64_t epoch, BucketSums* sums);
  static SampledObject Describe(const LiveSample& sample);
  static BucketSnapshot Snapshot(const HeapBucket& bucket, uint64_t epoch);
  HeapBucket* GetBucket(BucketKind kind, const Stack* stack,
                        const LabelSet* labels, uint64_t size) REQUIRES(lock_);
  HeapBucket** ChainFor(uint64_t hash) REQUIRES(lock_);
  HeapBucket* NewBucket() REQUIRES(lock_);
  void Add(const LiveSample& sample) REQUIRES(lock_);
  void Subtract(const LiveSample& sample, const uint64_t* lifetime_ns)
      REQUIRES(lock_);
  void Publish() REQUIRES(lock_);
  void CheckBuckets() const REQUIRES(lock_);

  MetadataArena* const arena_;
  const StackTable* const stacks_;
  mutable Mutex lock_;
  size_t limit_ GUARDED_BY(lock_);
  size_t bucket_bytes_ GUARDED_BY(lock_) = 0;
  size_t chain_bytes_ GUARDED_BY(lock_) = 0;
  LiveSamples live_ GUARDED_BY(lock_);
  HeapProfileTotals totals_ GUARDED_BY(lock_);
  HeapBucket** chains_ GUARDED_BY(lock_) = nullptr;
  // Written under the lock.
  Published<HeapProfileTotals> published_;
  List lists_[kBucketKinds] = {};
  // For all samples without a bucket of their own. Not in any list.
  HeapBucket pool_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_HEAP_PROFILE_H_
