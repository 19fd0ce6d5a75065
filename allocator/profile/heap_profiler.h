// The heap profiler: which allocations are looked at, and what is noted.
//
// Place:    entry points -> Allocator -> [HeapProfiler] -> tables of profile/
// Purpose:  Put the parts together: the choice of samples by each thread's
//           countdown, the stack, the labels, the tables.
// Not here: how a sampled block is told from others when it is freed
//           (api/sampled_blocks.cc); files and signals (api/).
//
// Choice. Each thread has its own Poisson process over the bytes it asks for
// (sampling_math.h). Its next point is as many steps of the thread's
// AllocationCountdown away as it takes; so threads that allocate notice within
// 128 KiB when the interval changes, and one that goes on from 0 begins with a
// new gap: nothing that was allocated before has been or will be sampled.
//
// Pace. A sample costs about a microsecond. A thread whose samples come more
// often than one in kLeastNanoseconds doubles its own interval, again and again
// if need be, and halves it when they have become rare. What a sample is worth
// follows from the interval that it was drawn with, which depends on the past
// alone, so estimates stay unbiased. Intervals below kLeastPaced are taken as
// they are: who asks for those wants to see everything.
//
// Concurrency: any thread. Off, the interval is all that is read, once in 128
//   KiB. The locks of the tables are held for a hash look-up or two.
// Failure:  what finds no room is lost, and counted.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_HEAP_PROFILER_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_HEAP_PROFILER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/os/own_module.h"
#include "allocator/page/metadata_arena.h"
#include "allocator/profile/heap_profile.h"
#include "allocator/profile/label_set.h"
#include "allocator/profile/stack_table.h"

namespace spanmalloc {

class HeapProfiler {
 public:
  static constexpr uint64_t kDefaultInterval = 512 << 10;
  static constexpr uint64_t kLeastPaced = 64 << 10;
  static constexpr uint64_t kLeastNanoseconds = 50'000;

  constexpr explicit HeapProfiler(MetadataArena* arena)
      : stacks_(arena), labels_(arena), profile_(arena, &stacks_) {}

  // Mean bytes between samples; 0 is off. Returns what it was before.
  uint64_t SetInterval(uint64_t bytes);
  uint64_t interval() const {
    return interval_.load(std::memory_order_relaxed);
  }
  // When sampling began, by MonotonicNanoseconds; 0 if it never did.
  uint64_t start_ns() const {
    return start_ns_.load(std::memory_order_relaxed);
  }

  // The calling thread's countdown is over, which a request of `bytes` did not
  // fit into: sets it anew. True if the request is to be sampled.
  bool LookAt(uint64_t bytes);

  // Notes that the block at p was sampled. False if there is no memory for it.
  bool RecordAlloc(const void* p, uint64_t requested, uint64_t allocated);
  // Notes that the block at p is freed. False if it is no live sample.
  bool RecordFree(const void* p);
  bool Find(const void* p, SampledObject* object) const {
    return has_live() && profile_.Find(p, object);
  }
  // Whether there may be live samples. A thread that has one knows it.
  bool has_live() const { return live_.load(std::memory_order_relaxed) != 0; }

  // Notes by how much the heap has grown, if it has. `mapped` is its size now.
  void LookAtGrowth(uint64_t mapped);

  // The calling thread's labels: what its samples are marked with from now on.
  static const LabelSet* labels();
  static void set_labels(const LabelSet* labels);
  LabelTable& label_table() { return labels_; }

  HeapProfile& profile() { return profile_; }
  const HeapProfile& profile() const { return profile_; }
  const StackTable& stacks() const { return stacks_; }

  template <typename F>
  void ForEachForkLock(F&& f) {
    f(stacks_.fork_lock());
    f(labels_.fork_lock());
    f(profile_.fork_lock());
  }

 private:
  friend struct StatLayout;
  const Stack* CaptureStack();

  std::atomic<uint64_t> interval_{0};
  std::atomic<uint64_t> settings_{0};  // How many times it was set.
  std::atomic<uint64_t> start_ns_{0};
  std::atomic<size_t> live_{0};
  std::atomic<uint64_t> mapped_{0};
  StackTable stacks_;
  LabelTable labels_;
  HeapProfile profile_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_HEAP_PROFILER_H_
