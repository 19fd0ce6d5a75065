#include "allocator/profile/heap_profile.h"

#include <new>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {
namespace {

constexpr size_t kBucketBytes =
    AlignUp(sizeof(HeapBucket), MetadataArena::kGranule);
static_assert(kBucketBytes == 256);

BucketSums Load(const HeapBucket& bucket) {
  BucketSums sums;
  bucket.sums.Load(&sums);
  return sums;
}

bool IsEqual(const Estimate& a, const Estimate& b) {
  return a.objects == b.objects && a.requested_bytes == b.requested_bytes &&
         a.allocated_bytes == b.allocated_bytes;
}

}  // namespace

uint64_t HeapProfile::Hash(const Stack* stack, const LabelSet* labels,
                           uint64_t size) {
  uint64_t hash = 0;
  for (const uint64_t part :
       {uint64_t{reinterpret_cast<uintptr_t>(stack)},
        uint64_t{reinterpret_cast<uintptr_t>(labels)}, size}) {
    hash = (hash ^ part) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash;
}

HeapBucket** HeapProfile::ChainFor(uint64_t hash) {
  if (chains_ == nullptr) {
    chains_ = static_cast<HeapBucket**>(
        arena_->Allocate(kChains * sizeof(*chains_), RecordKind::kProfile));
    if (chains_ == nullptr) return nullptr;
    chain_bytes_ = kChains * sizeof(*chains_);
  }
  return &chains_[hash % kChains];
}

HeapBucket* HeapProfile::NewBucket() {
  if (bucket_bytes_ > limit_ || kBucketBytes > limit_ - bucket_bytes_) {
    return nullptr;
  }
  void* const memory = arena_->Allocate(kBucketBytes, RecordKind::kProfile);
  if (memory == nullptr) return nullptr;
  bucket_bytes_ += kBucketBytes;
  ++totals_.buckets;
  return static_cast<HeapBucket*>(memory);
}

// Null if there is none and no room for it.
HeapBucket* HeapProfile::GetBucket(BucketKind kind, const Stack* stack,
                                   const LabelSet* labels, uint64_t size) {
  HeapBucket** const chain = ChainFor(Hash(stack, labels, size));
  if (chain == nullptr) return nullptr;
  for (HeapBucket* bucket = *chain; bucket != nullptr; bucket = bucket->next) {
    if (bucket->kind == kind && bucket->stack == stack &&
        bucket->labels == labels && bucket->size == size) {
      return bucket;
    }
  }
  HeapBucket* const bucket = NewBucket();
  if (bucket == nullptr) return nullptr;
  List& list = lists_[static_cast<size_t>(kind)];
  HeapBucket* const first = list.load(std::memory_order_relaxed);
  ::new (bucket) HeapBucket{*chain, first, stack, labels, size, kind, {}};
  *chain = bucket;
  list.store(bucket, std::memory_order_release);
  return bucket;
}

// See "Peak" in the header.
void HeapProfile::BeforeChange(uint64_t epoch, BucketSums* sums) {
  if (sums->peak_epoch == epoch) return;
  sums->peak = sums->in_use();
  sums->peak_epoch = epoch;
}

void HeapProfile::Add(const LiveSample& sample) {
  const Estimate weight = WeightOf(sample);
  BucketSums sums = Load(*sample.bucket);
  BeforeChange(totals_.peak_epoch, &sums);
  sums.allocated.Add(weight);
  sample.bucket->sums.Store(sums);
  totals_.allocated.Add(weight);
  const uint64_t in_use =
      totals_.allocated.allocated_bytes - totals_.freed.allocated_bytes;
  if (in_use > totals_.peak_bytes) {
    totals_.peak_bytes = in_use;
    ++totals_.peak_epoch;
  }
}

// `lifetime_ns` is null if nobody knows when it ended.
void HeapProfile::Subtract(const LiveSample& sample,
                           const uint64_t* lifetime_ns) {
  const Estimate weight = WeightOf(sample);
  BucketSums sums = Load(*sample.bucket);
  BeforeChange(totals_.peak_epoch, &sums);
  sums.freed.Add(weight);
  if (lifetime_ns != nullptr) sums.lifetimes.Add(*lifetime_ns);
  sample.bucket->sums.Store(sums);
  totals_.freed.Add(weight);
}

void HeapProfile::Publish() {
  totals_.live_samples = live_.size();
  totals_.used_bytes = bucket_bytes_ + chain_bytes_ + live_.used_bytes();
  published_.Store(totals_);
}

bool HeapProfile::RecordAlloc(const void* p, const Sample& sample) {
  MutexLock lock(&lock_);
  if (LiveSample* const old = live_.Remove(p)) {
    Subtract(*old, nullptr);
    live_.Delete(old);
  }
  LiveSample* const live = live_.New();
  if (live == nullptr) {
    ++totals_.lost_samples;
    Publish();
    return false;
  }
  live->address = p;
  live->stack = sample.stack != nullptr ? sample.stack : stacks_->unknown();
  live->time_ns = sample.time_ns;
  live->requested_bytes = sample.requested_bytes;
  live->allocated_bytes = sample.allocated_bytes;
  live->interval = sample.interval;
  live->bucket = GetBucket(BucketKind::kHeap, live->stack, sample.labels,
                           sample.allocated_bytes);
  if (live->bucket == nullptr) {
    live->bucket = &pool_;
    ++totals_.pooled_samples;
  }
  live_.Insert(live);
  ++totals_.samples;
  Add(*live);
  Publish();
  return true;
}

bool HeapProfile::RecordFree(const void* p, uint64_t now_ns) {
  MutexLock lock(&lock_);
  LiveSample* const live = live_.Remove(p);
  if (live == nullptr) return false;
  // Clocks of two processors may differ by a little.
  const uint64_t lifetime_ns =
      now_ns > live->time_ns ? now_ns - live->time_ns : 0;
  Subtract(*live, &lifetime_ns);
  live_.Delete(live);
  Publish();
  return true;
}

SampledObject HeapProfile::Describe(const LiveSample& sample) {
  return {sample.requested_bytes, sample.allocated_bytes, sample.time_ns,
          sample.stack, sample.bucket->labels};
}

bool HeapProfile::Find(const void* p, SampledObject* object) const {
  MutexLock lock(&lock_);
  const LiveSample* const live = live_.Find(p);
  if (live == nullptr) return false;
  *object = Describe(*live);
  return true;
}

bool HeapProfile::RecordGrowth(const Stack* stack, uint64_t bytes) {
  MutexLock lock(&lock_);
  totals_.grown_bytes += bytes;
  HeapBucket* const bucket =
      GetBucket(BucketKind::kGrowth,
                stack != nullptr ? stack : stacks_->unknown(), nullptr, 0);
  if (bucket != nullptr) {
    BucketSums sums = Load(*bucket);
    sums.allocated.Add({1 << kObjectFraction, bytes, bytes});
    bucket->sums.Store(sums);
  }
  Publish();
  return bucket != nullptr;
}

void HeapProfile::ResetPeak() {
  MutexLock lock(&lock_);
  totals_.peak_bytes =
      totals_.allocated.allocated_bytes - totals_.freed.allocated_bytes;
  ++totals_.peak_epoch;
  Publish();
}

void HeapProfile::set_limit(size_t bytes) {
  MutexLock lock(&lock_);
  limit_ = bytes;
}

BucketSnapshot HeapProfile::Snapshot(const HeapBucket& bucket, uint64_t epoch) {
  const BucketSums sums = Load(bucket);
  return {bucket.stack, bucket.labels, bucket.size,         sums.allocated,
          sums.freed,   sums.in_use(), sums.at_peak(epoch), sums.lifetimes};
}

void HeapProfile::ForEachBucket(BucketKind kind,
                                void (*visit)(void* context,
                                              const BucketSnapshot&),
                                void* context) const {
  const uint64_t epoch = totals().peak_epoch;
  const HeapBucket* bucket =
      lists_[static_cast<size_t>(kind)].load(std::memory_order_acquire);
  for (; bucket != nullptr; bucket = bucket->next_all) {
    visit(context, Snapshot(*bucket, epoch));
  }
  if (kind != BucketKind::kHeap) return;
  const BucketSnapshot pool = Snapshot(pool_, epoch);
  if (pool.allocated.objects != 0) visit(context, pool);
}

void HeapProfile::ForEachLive(void (*visit)(void* context, const void* p,
                                            const SampledObject&),
                              void* context) const {
  MutexLock lock(&lock_);
  live_.ForEach([&](const LiveSample& sample) {
    visit(context, sample.address, Describe(sample));
  });
}

HeapProfileTotals HeapProfile::totals() const {
  HeapProfileTotals totals;
  published_.Load(&totals);
  return totals;
}

void HeapProfile::CheckInvariants() const {
  MutexLock lock(&lock_);
  live_.CheckInvariants();
  Estimate in_use = totals_.allocated;
  in_use.Subtract(totals_.freed);
  Estimate live;
  live_.ForEach([&](const LiveSample& sample) { live.Add(WeightOf(sample)); });
  SPANMALLOC_CHECK(IsEqual(live, in_use));  // H1
  CheckBuckets();
}

void HeapProfile::CheckBuckets() const {
  const uint64_t epoch = totals_.peak_epoch;
  Estimate allocated, freed, peak;
  const auto add = [&](const HeapBucket& bucket) {
    const BucketSums sums = Load(bucket);
    allocated.Add(sums.allocated);
    freed.Add(sums.freed);
    peak.Add(sums.at_peak(epoch));
    SPANMALLOC_CHECK(sums.peak_epoch <= epoch);
  };
  uint64_t buckets = 0;
  for (size_t kind = 0; kind < kBucketKinds; ++kind) {
    const HeapBucket* bucket = lists_[kind].load(std::memory_order_relaxed);
    for (; bucket != nullptr; bucket = bucket->next_all) {
      ++buckets;
      SPANMALLOC_CHECK(static_cast<size_t>(bucket->kind) == kind);
      const HeapBucket* in_chain =
          chains_[Hash(bucket->stack, bucket->labels, bucket->size) % kChains];
      while (in_chain != bucket) {
        SPANMALLOC_CHECK(in_chain != nullptr);  // H4
        in_chain = in_chain->next;
      }
      if (bucket->kind == BucketKind::kHeap) add(*bucket);
    }
  }
  add(pool_);
  SPANMALLOC_CHECK(buckets == totals_.buckets);
  SPANMALLOC_CHECK(IsEqual(allocated, totals_.allocated));  // H2
  SPANMALLOC_CHECK(IsEqual(freed, totals_.freed));
  SPANMALLOC_CHECK(peak.allocated_bytes == totals_.peak_bytes);  // H3
  SPANMALLOC_CHECK(totals_.peak_bytes >=
                   allocated.allocated_bytes - freed.allocated_bytes);
}

}  // namespace spanmalloc
