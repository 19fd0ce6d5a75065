// Who does the scavenger's work, and when: slow paths of the program, or a
// thread that they start and wake up; and the events in a process's life.
#include <errno.h>
#include <unistd.h>

#include "allocator/os/clock.h"
#include "allocator/os/thread_barrier.h"
#include "allocator/scavenge/scavenger.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kMostWaitInline = 100 * kMillisecond;

// Slow paths of this thread that looked. A count of all threads' would be a
// cache line that all of them write.
SPANMALLOC_THREAD_LOCAL uint32_t looks = 0;

}  // namespace

SPANMALLOC_THREAD_LOCAL bool Scavenger::making_thread_ = false;

// ---- Slow paths

// Most looks of a program without the thread end after a few instructions.
void Scavenger::Attend() {
  const uint32_t attention = attention_.load(std::memory_order_relaxed);
  const Thread thread = thread_.load(std::memory_order_relaxed);
  uint32_t look = 0;
  if (attention == kSlowPathsLook && thread == Thread::kNone) {
    look = ++looks;
    if (look % kLooksPerClock != 0 &&
        central_->page_heap().idle_bytes() < kWorthThreadAmongThreads) {
      return;
    }
  }
  const int saved_errno = errno;
  if ((attention & kLimitSet) != 0) KeepLimit();
  if ((attention & kSlowPathsLook) != 0) {
    if (thread == Thread::kNone) {
      AttendWithoutThread(look);
    } else if (thread == Thread::kResting &&
               (IdleBytes() != 0 || HasUnused())) {
      rest_.Wake();
    }
  }
  errno = saved_errno;
}

void Scavenger::AttendWithoutThread(uint32_t look) {
  if (!started_.load(std::memory_order_relaxed)) return;
  // The sum over all classes is too much for every look.
  const size_t bytes =
      look % kLooksPerSum == 0 ? central_->free_bytes() : size_t{0};
  if (MayStartThread() && IsWorthThread(bytes)) StartThread();
  if (look % kLooksPerClock == 0 &&
      thread_.load(std::memory_order_relaxed) == Thread::kNone) {
    StepInline();
  }
}

void Scavenger::Foresee(const void* block) {
  // Too little for a thread, whatever the block has of it.
  PageHeap& pages = central_->page_heap();
  if (pages.footprint_bytes() < kWorthThreadAmongThreads || !MayStartThread()) {
    return;
  }
  const Span* const span =
      pages.FindLargeSpan(reinterpret_cast<uintptr_t>(block));
  if (span == nullptr) return;
  const int saved_errno = errno;
  if (IsWorthThread(span->length().bytes())) StartThread();
  errno = saved_errno;
}

bool Scavenger::MayStartThread() const {
  return started_.load(std::memory_order_relaxed) &&
         thread_.load(std::memory_order_relaxed) == Thread::kNone &&
         mode_.load(std::memory_order_relaxed) < ScavengerMode::kInline;
}

// With `more` bytes than are idle now.
bool Scavenger::IsWorthThread(size_t more) const {
  const size_t bytes =
      IdleBytes() + more + inline_bytes_.load(std::memory_order_relaxed);
  if (mode_.load(std::memory_order_relaxed) == ScavengerMode::kThread) {
    return bytes != 0;
  }
  const size_t threads = registry_->threads();
  return threads < 2 ? bytes >= kWorthThread
                     : bytes + threads * kPerThread >= kWorthThreadAmongThreads;
}

void Scavenger::StartThread() {
  Thread none = Thread::kNone;
  // A child of vfork shares our memory, but a thread of its would not be ours.
  if (getpid() != process_ ||
      !thread_.compare_exchange_strong(none, Thread::kStarting)) {
    return;
  }
  // Making a thread allocates, so this function is entered again meanwhile.
  if (!sandbox_.Changed()) {
    PrepareThreadBarrier();
    making_thread_ = true;
    const bool made = background_.Start(RunThread, this, "spanmalloc");
    making_thread_ = false;
    if (made) return;
  }
  // There will not be a better time.
  mode_.store(ScavengerMode::kInline);
  SetThread(Thread::kNone);
}

void Scavenger::StepInline() {
  const uint64_t now = MonotonicNanoseconds();
  uint64_t next = next_step_.load(std::memory_order_relaxed);
  // Whoever moves the time on does the work.
  if (now < next ||
      !next_step_.compare_exchange_strong(next, ScavengePolicy::kForever)) {
    return;
  }
  const uint64_t wait = Step(Reason::kInline);
  next_step_.store(now + (wait < kMostWaitInline ? wait : kMostWaitInline),
                   std::memory_order_relaxed);
}

// ---- The thread

void Scavenger::RunThread(void* self) {
  // What the C library frees when the thread ends shall not give it a cache.
  current_thread_state = ThreadState::kExited;
  static_cast<Scavenger*>(self)->Run();
}

void Scavenger::Run() {
  SetThread(Thread::kAtWork);
  for (;;) {
    if (stopping_.load() || registry_->threads() == 0) break;
    const uint64_t wait = Step(Reason::kThread);
    if (wait != ScavengePolicy::kForever) {
      rest_.Wait(wait);
      continue;
    }
    SetThread(Thread::kResting);
    // Who came before they could see that has not woken us.
    if (IdleBytes() == 0 && !HasUnused() &&
        !rest_.Wait(ScavengePolicy::kForever)) {
      // The system lets no thread sleep: this one would never stop looking.
      mode_.store(ScavengerMode::kInline);
      break;
    }
    SetThread(Thread::kAtWork);
  }
  SetThread(Thread::kNone);
  gone_.Wake();
}

// ---- Events

void Scavenger::OnStart() {
  sandbox_.Start();
  process_ = getpid();
  started_.store(true, std::memory_order_relaxed);
}

void Scavenger::OnThreadExit() {
  // The thread must not be what keeps the process alive.
  if (registry_->threads() == 0) rest_.Wake();
  AfterSlowPath();
}

void Scavenger::OnExit() {
  started_.store(false, std::memory_order_relaxed);
  mode_.store(ScavengerMode::kOff);
  stopping_.store(true);
  // It has milliseconds of work at most before it looks. A process whose thread
  // is kept from running ends all the same; and in a child that was made behind
  // the C library's back there is none.
  for (int i = 0;
       i < 20 && thread_.load() != Thread::kNone && getpid() == process_; ++i) {
    rest_.Wake();
    gone_.Wait(100 * kMillisecond);
  }
  attention_.store(0);
}

void Scavenger::OnForkChild() {
  rest_.Reset();
  gone_.Reset();
  process_ = getpid();
  inline_bytes_.store(0, std::memory_order_relaxed);
  SetThread(Thread::kNone);
  next_step_.store(0, std::memory_order_relaxed);
}

}  // namespace spanmalloc
