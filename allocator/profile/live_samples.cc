#include "allocator/profile/live_samples.h"

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/profile/sampling_math.h"

namespace spanmalloc {

Estimate WeightOf(const LiveSample& sample) {
  const double weight = SampleWeight(sample.requested_bytes, sample.interval);
  Random random(reinterpret_cast<uintptr_t>(sample.address) ^ sample.time_ns
                                                                  << 20);
  const auto round = [&random](double x) {
    const double chance = static_cast<double>(random.Next() >> 11) * 0x1p-53;
    const uint64_t whole = static_cast<uint64_t>(x);
    return whole + (chance < x - static_cast<double>(whole));
  };
  Estimate estimate;
  estimate.objects = round(weight * (1 << kObjectFraction));
  estimate.requested_bytes =
      round(weight * static_cast<double>(sample.requested_bytes));
  estimate.allocated_bytes =
      round(weight * static_cast<double>(sample.allocated_bytes));
  return estimate;
}

// With n chains, 2^k <= n < 2^(k+1), those below n - 2^k have been split: their
// addresses are told apart by one more bit.
size_t LiveSamples::ChainOf(const void* address) const {
  const uint64_t hash = Hash(address);
  const size_t half = size_t{1} << Log2Floor(chains_);
  const size_t chain = hash & (2 * half - 1);
  return chain < chains_ ? chain : hash & (half - 1);
}

LiveSample** LiveSamples::Head(size_t chain) const {
  if (chain < kFirstChains) return &arrays_[0][chain];
  const int log2 = Log2Floor(chain);
  return &arrays_[log2 - Log2Floor(kFirstChains) + 1]
                 [chain - (size_t{1} << log2)];
}

bool LiveSamples::AddArray(size_t array, size_t heads) {
  const size_t bytes = heads * sizeof(LiveSample*);
  arrays_[array] =
      static_cast<LiveSample**>(arena_->Allocate(bytes, RecordKind::kProfile));
  if (arrays_[array] == nullptr) return false;
  used_bytes_ += bytes;
  return true;
}

// One chain more, with what of an old one belongs there.
void LiveSamples::Grow() {
  const int log2 = Log2Floor(chains_);
  const size_t old = chains_ - (size_t{1} << log2);
  if (old == 0) {
    const size_t array = log2 - Log2Floor(kFirstChains) + 1;
    if (array == kArrays) return;
    if (arrays_[array] == nullptr && !AddArray(array, chains_)) return;
  }
  const size_t added = chains_++;
  LiveSample* sample = *Head(old);
  *Head(old) = nullptr;
  while (sample != nullptr) {
    LiveSample* const next = sample->next;
    const size_t chain = ChainOf(sample->address);
    SPANMALLOC_ASSERT(chain == old || chain == added);
    sample->next = *Head(chain);
    *Head(chain) = sample;
    sample = next;
  }
}

LiveSample* LiveSamples::New() {
  if (chains_ == 0) {
    if (!AddArray(0, kFirstChains)) return nullptr;
    chains_ = kFirstChains;
  }
  LiveSample* sample = free_;
  if (sample != nullptr) {
    free_ = sample->next;
  } else {
    sample = static_cast<LiveSample*>(
        arena_->Allocate(sizeof(LiveSample), RecordKind::kProfile));
    if (sample == nullptr) return nullptr;
    used_bytes_ += sizeof(LiveSample);
  }
  return sample;
}

void LiveSamples::Insert(LiveSample* sample) {
  SPANMALLOC_EXPENSIVE(Find(sample->address) == nullptr);
  if (size_ >= chains_) Grow();
  LiveSample** const head = Head(ChainOf(sample->address));
  sample->next = *head;
  *head = sample;
  ++size_;
}

const LiveSample* LiveSamples::Find(const void* address) const {
  if (chains_ == 0) return nullptr;
  const LiveSample* sample = *Head(ChainOf(address));
  while (sample != nullptr && sample->address != address) sample = sample->next;
  return sample;
}

LiveSample* LiveSamples::Remove(const void* address) {
  if (chains_ == 0) return nullptr;
  LiveSample** link = Head(ChainOf(address));
  while (*link != nullptr && (*link)->address != address) link = &(*link)->next;
  LiveSample* const sample = *link;
  if (sample != nullptr) {
    *link = sample->next;
    --size_;
  }
  return sample;
}

void LiveSamples::Delete(LiveSample* sample) {
  sample->next = free_;
  free_ = sample;
}

void LiveSamples::CheckInvariants() const {
  size_t found = 0;
  for (size_t chain = 0; chain < chains_; ++chain) {
    for (const LiveSample* sample = *Head(chain); sample != nullptr;
         sample = sample->next) {
      SPANMALLOC_CHECK(ChainOf(sample->address) == chain);
      for (const LiveSample* other = sample->next; other != nullptr;
           other = other->next) {
        SPANMALLOC_CHECK(other->address != sample->address);
      }
      ++found;
    }
  }
  SPANMALLOC_CHECK(found == size_);
}

}  // namespace spanmalloc
