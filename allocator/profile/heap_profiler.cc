#include "allocator/profile/heap_profiler.h"

#include "allocator/base/annotations.h"
#include "allocator/os/clock.h"
#include "allocator/os/stack_trace.h"
#include "allocator/os/thread_id.h"
#include "allocator/os/thread_name.h"
#include "allocator/profile/sampling_math.h"
#include "allocator/thread/thread_registry.h"

namespace spanmalloc {
namespace {

struct ThreadSampler {
  SampleCountdown countdown;
  uint64_t interval = 0;  // As it is set; the countdown's may be longer.
  uint64_t setting = 0;   // Which one that is.
  size_t step = 0;        // What the thread's countdown was set to.
  uint64_t last_sample_ns = 0;
  const LabelSet* labels = nullptr;
};

SPANMALLOC_THREAD_LOCAL ThreadSampler this_thread;

// Different for each thread, and each time.
uint64_t Seed() {
  return MonotonicNanoseconds() * 0x9e3779b97f4a7c15 + CurrentThreadId();
}

// Tells the thread's countdown of bytes how far the next point is.
void SetSteps(ThreadSampler* thread) {
  const uint64_t left = thread->countdown.left();
  thread->step = left < AllocationCountdown::kMost ? static_cast<size_t>(left)
                                                   : AllocationCountdown::kMost;
  current_thread.countdown.Set(thread->step);
}

// After a sample: samples that come too often are made rarer.
void KeepPace(ThreadSampler* thread) {
  if (thread->interval < HeapProfiler::kLeastPaced) return;
  const uint64_t now = MonotonicNanoseconds();
  const uint64_t apart = now - thread->last_sample_ns;
  thread->last_sample_ns = now;
  const uint64_t interval = thread->countdown.interval();
  constexpr uint64_t kLeast = HeapProfiler::kLeastNanoseconds;
  if (apart < kLeast && interval < uint64_t{1} << 50) {
    thread->countdown.SetInterval(interval * 2);
  } else if (apart > 4 * kLeast && interval > thread->interval) {
    thread->countdown.SetInterval(interval / 2);
  } else {
    return;
  }
  SetSteps(thread);
}

}  // namespace

uint64_t HeapProfiler::SetInterval(uint64_t bytes) {
  if (bytes != 0) {
    uint64_t never = 0;
    start_ns_.compare_exchange_strong(never, MonotonicNanoseconds(),
                                      std::memory_order_relaxed);
  }
  const uint64_t before = interval_.exchange(bytes, std::memory_order_relaxed);
  settings_.fetch_add(1, std::memory_order_release);
  return before;
}

bool HeapProfiler::LookAt(uint64_t bytes) {
  AllocationCountdown& steps = current_thread.countdown;
  ThreadSampler& thread = this_thread;
  const uint64_t setting = settings_.load(std::memory_order_acquire);
  const uint64_t interval = this->interval();
  if (interval == 0) {
    steps.Set(AllocationCountdown::kMost);
    return false;
  }
  uint64_t taken = thread.step - steps.left_at_end();
  // Who sets the interval from outside may have turned it off and on again, and
  // the countdown has been set to something else meanwhile.
  if (setting != thread.setting || interval != thread.interval ||
      steps.left_at_end() > thread.step) {
    thread.countdown = SampleCountdown(interval, Seed());
    thread.interval = interval;
    thread.setting = setting;
    taken = 0;
  }
  const bool sampled = thread.countdown.Take(taken + (bytes == 0 ? 1 : bytes));
  SetSteps(&thread);
  return sampled;
}

// What malloc itself has called is left out, where it can be told apart.
const Stack* HeapProfiler::CaptureStack() {
  void* frames[StackTable::kMaxDepth];
  const size_t depth = CaptureStackTrace(frames, StackTable::kMaxDepth, 0);
  const CodeRange own = OwnCode();
  size_t first = 0;
  while (first < depth && own.Contains(frames[first])) ++first;
  return stacks_.Intern(frames + first, depth - first);
}

bool HeapProfiler::RecordAlloc(const void* p, uint64_t requested,
                               uint64_t allocated) {
  ThreadSampler& thread = this_thread;
  Sample sample;
  sample.requested_bytes = requested;
  sample.allocated_bytes = allocated;
  sample.time_ns = MonotonicNanoseconds();
  sample.interval = thread.countdown.interval();
  sample.stack = CaptureStack();
  sample.labels = labels_.With(thread.labels, LabelTable::kThreadKey,
                               CurrentThreadName().text);
  // Before p is known to anybody who could free it.
  live_.fetch_add(1, std::memory_order_relaxed);
  const bool recorded = profile_.RecordAlloc(p, sample);
  if (!recorded) live_.fetch_sub(1, std::memory_order_relaxed);
  KeepPace(&thread);
  return recorded;
}

bool HeapProfiler::RecordFree(const void* p) {
  if (!has_live() || !profile_.RecordFree(p, MonotonicNanoseconds())) {
    return false;
  }
  live_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void HeapProfiler::LookAtGrowth(uint64_t mapped) {
  uint64_t known = mapped_.load(std::memory_order_relaxed);
  if (SPANMALLOC_LIKELY(mapped <= known)) return;
  if (mapped_.compare_exchange_strong(known, mapped,
                                      std::memory_order_relaxed)) {
    profile_.RecordGrowth(CaptureStack(), mapped - known);
  }
}

const LabelSet* HeapProfiler::labels() { return this_thread.labels; }

void HeapProfiler::set_labels(const LabelSet* labels) {
  this_thread.labels = labels;
}

}  // namespace spanmalloc
