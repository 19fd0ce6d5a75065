// The sampled objects that are alive, by address.
//
// Place:    profile/, a part of HeapProfile.
// Purpose:  Find what is known of an address in constant time, however many
//           samples are alive.
// Not here: what it means for the sums.
//
// A hash table with chains that grows by one chain for each sample more than
// it has chains, and splits one old chain for it (linear hashing: Litwin,
// 1980). So no step ever moves more than one chain, and the arrays of heads,
// each as long as all before it, are never copied.
//
// Concurrency: none; the owner's lock covers it.
// Invariants
//   L1  A sample is in the chain that ChainOf(its address) names.
//   L2  chains_ is 0, or at least kFirstChains, and all arrays below it exist.
//   L3  An address is in the table once.
// Cost:     a chain of one sample on average; a record of 64 bytes.
// Failure:  New returns null without memory. The table then only stops to grow,
//           if it can.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_LIVE_SAMPLES_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_LIVE_SAMPLES_H_

#include <cstddef>
#include <cstdint>

#include "allocator/page/metadata_arena.h"
#include "allocator/profile/profile_records.h"

namespace spanmalloc {

struct LiveSample {
  LiveSample* next;
  const void* address;
  HeapBucket* bucket;  // Where its weight is counted.
  const Stack* stack;
  uint64_t time_ns;
  uint64_t requested_bytes;
  uint64_t allocated_bytes;
  uint64_t interval;  // By which it was chosen; gives its weight.
};
static_assert(sizeof(LiveSample) == 64);

// What a sample adds to its bucket: the same whenever it is asked, so that what
// is added when the object is allocated is subtracted when it is freed. Numbers
// that are not whole are rounded up or down by chance, drawn from address and
// time, so that sums of many have no bias.
Estimate WeightOf(const LiveSample& sample);

class LiveSamples {
 public:
  static constexpr size_t kFirstChains = 512;

  constexpr explicit LiveSamples(MetadataArena* arena) : arena_(arena) {}

  // A record that is in no chain yet; what is in it means nothing.
  LiveSample* New();
  // REQUIRES: from New, address set and not in the table.
  void Insert(LiveSample* sample);
  const LiveSample* Find(const void* address) const;
  // Takes it out of the table; null if there is none.
  LiveSample* Remove(const void* address);
  // REQUIRES: from New or Remove.
  void Delete(LiveSample* sample);

  size_t size() const { return size_; }
  size_t used_bytes() const { return used_bytes_; }

  template <typename Function>  // void(const LiveSample&)
  void ForEach(Function function) const {
    for (size_t chain = 0; chain < chains_; ++chain) {
      for (const LiveSample* sample = *Head(chain); sample != nullptr;
           sample = sample->next) {
        function(*sample);
      }
    }
  }
  void CheckInvariants() const;

 private:
  friend struct StatLayout;
  // Array 0 has kFirstChains heads, array i as many as those before it.
  static constexpr size_t kArrays = 32;

  static uint64_t Hash(const void* address) {
    const uint64_t hash =
        (reinterpret_cast<uintptr_t>(address) >> 3) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 32;
  }
  size_t ChainOf(const void* address) const;
  LiveSample** Head(size_t chain) const;
  bool AddArray(size_t array, size_t heads);
  void Grow();

  MetadataArena* const arena_;
  LiveSample** arrays_[kArrays] = {};
  size_t chains_ = 0;
  size_t size_ = 0;
  size_t used_bytes_ = 0;
  LiveSample* free_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_LIVE_SAMPLES_H_
