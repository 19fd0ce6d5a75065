#include "allocator/scavenge/scavenger.h"

#include <errno.h>
#include <unistd.h>

#include "allocator/base/check.h"
#include "allocator/os/cgroup.h"
#include "allocator/os/clock.h"
#include "allocator/os/pressure.h"
#include "allocator/os/system_info.h"
#include "allocator/os/thread_barrier.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kMostWaitInline = 100 * kMillisecond;

// Slow paths of this thread that looked. A count of all threads' would be a
// cache line that all of them write.
SPANMALLOC_THREAD_LOCAL uint32_t looks = 0;

// Of a control group's limit: the rest is for what is not heap.
size_t ShareOfCgroup(uint64_t limit) {
  return limit == UINT64_MAX ? 0 : limit - limit / 10;
}

}  // namespace

SPANMALLOC_THREAD_LOCAL bool Scavenger::making_thread_ = false;

// ---- Settings

void Scavenger::Configure(const ScavengerSettings& settings) {
  MutexLock lock(&lock_);
  policy_.Configure(settings.delay, MonotonicNanoseconds());
  trace_ = settings.trace;
  central_->page_heap().set_release_lazily(settings.lazily);
  central_->page_heap().set_hard_limit(settings.hard_limit);
  hard_limit_.store(settings.hard_limit, std::memory_order_relaxed);
  limit_of_cgroup_ = settings.limit_of_cgroup;
  mode_.store(settings.mode);
  StoreLimit(settings.limit_of_cgroup ? ShareOfCgroup(CgroupMemoryLimit())
                                      : settings.limit);
  SetThread(thread_.load());
}

size_t Scavenger::SetLimit(size_t bytes) {
  size_t before;
  {
    MutexLock lock(&lock_);
    limit_of_cgroup_ = false;
    before = limit_.load(std::memory_order_relaxed);
    StoreLimit(bytes);
  }
  KeepLimit();
  return before;
}

void Scavenger::SetAttention(uint32_t bit, bool on) {
  if (on) {
    attention_.fetch_or(bit);
  } else {
    attention_.fetch_and(~bit);
  }
}

void Scavenger::StoreLimit(size_t bytes) {
  limit_.store(bytes, std::memory_order_relaxed);
  SetAttention(kLimitSet, bytes != 0);
}

void Scavenger::SetThread(Thread thread) {
  thread_.store(thread);
  SetAttention(kSlowPathsLook, thread != Thread::kAtWork &&
                                   mode_.load() != ScavengerMode::kOff);
}

// ---- Work

// That will be old enough one day: parts of huge pages that are too small to
// split one for will not.
size_t Scavenger::IdleBytes() const {
  const PageHeap& pages = central_->page_heap();
  return pages.idle_huge_pages() == 0 ? 0 : pages.idle_bytes();
}

bool Scavenger::HasUnused() const {
  return registry_->HasCached() || central_->HasUnused();
}

ScavengeView Scavenger::View() const {
  const PageHeap& pages = central_->page_heap();
  ScavengeView view;
  view.now = MonotonicNanoseconds();
  view.footprint = pages.footprint_bytes();
  view.idle = IdleBytes();
  view.unused = HasUnused();
  const PageHeapStats stats = pages.stats();
  view.given_back = stats.released_bytes + stats.lazily_released_bytes;
  view.limit = limit_.load(std::memory_order_relaxed);
  view.pressure = pressure_;
  return view;
}

// What others may have changed meanwhile.
void Scavenger::LookAtSystem(uint64_t now) {
  if (now < next_look_at_system_) return;
  next_look_at_system_ = now + kSecond;
  if (now >= next_search_for_cgroup_) {
    next_search_for_cgroup_ = now + 60 * kSecond;
    if (!FindMemoryCgroup(&cgroup_)) cgroup_ = MemoryCgroup();
  }
  central_->page_heap().set_huge_page_mode(TransparentHugePages());
  uint32_t stalled = 0;
  pressure_ =
      ReadMemoryPressure(cgroup_, &stalled) && stalled >= kPressureHundredths;
  if (limit_of_cgroup_) StoreLimit(ShareOfCgroup(CgroupMemoryLimit(cgroup_)));
}

Scavenger::Work Scavenger::Begin(Reason reason) const {
  return {reason, ThreadCpuNanoseconds()};
}

void Scavenger::End(const Work& work) {
  const uint64_t nanoseconds = ThreadCpuNanoseconds() - work.start;
  policy_.Spent(nanoseconds, work.bytes, work.all);
  nanoseconds_.fetch_add(nanoseconds, std::memory_order_relaxed);
  if (work.bytes == 0 && work.objects == 0) return;
  cycles_.fetch_add(1, std::memory_order_relaxed);
  if (trace_) Trace(work, nanoseconds);
}

void Scavenger::Empty(DrainScope scope, Work* work) {
  const bool idle_only = scope == DrainScope::kIdle;
  // In a sandbox only what needs no call that may be forbidden there.
  if (!started_.load(std::memory_order_relaxed) || !sandbox_.Changed()) {
    work->objects += registry_->Drain(scope).objects;
  } else if (!idle_only) {
    registry_->FlushCurrent();
  }
  work->objects += central_->ReleaseUnused(idle_only).objects;
}

// These two work in pieces, so that a fork need not wait long.
void Scavenger::ReleaseInSpans(bool idle_only, size_t bytes,
                               uint64_t most_nanoseconds, Work* work) {
  for (size_t left = bytes; left != 0;) {
    if (ThreadCpuNanoseconds() - work->start > most_nanoseconds) return;
    MutexLock lock(&lock_);
    const size_t piece = left < kPieceInSpans ? left : kPieceInSpans;
    const SpanRelease release =
        central_->ReleaseFreePagesInSpans(idle_only, piece);
    work->bytes += release.bytes;
    if (release.bytes < piece || release.refused) return;
    left = release.bytes < left ? left - release.bytes : 0;
  }
}

void Scavenger::ReleasePages(size_t bytes, uint32_t min_age,
                             uint32_t min_age_of_parts,
                             uint64_t most_nanoseconds, Work* work) {
  for (size_t left = bytes; left != 0;) {
    if (ThreadCpuNanoseconds() - work->start > most_nanoseconds) {
      work->all = false;
      return;
    }
    MutexLock lock(&lock_);
    const size_t piece = left < kPiece ? left : kPiece;
    const size_t done =
        central_->page_heap().ReleaseIdle(piece, min_age, min_age_of_parts);
    work->bytes += done;
    if (done < piece) return;
    left = done < left ? left - done : 0;
  }
  work->all = false;
}

void Scavenger::ReleaseNow(size_t bytes, Work* work) {
  ReleasePages(bytes, 0, 0, UINT64_MAX, work);
}

// One step of what the policy says. Returns how long to wait for the next.
uint64_t Scavenger::Step(Reason reason) {
  Work work = Begin(reason);
  ScavengeStep step;
  {
    MutexLock lock(&lock_);
    const ScavengeView view = View();
    LookAtSystem(view.now);
    step = policy_.Next(view);
    if (step.tick) central_->page_heap().Tick();
    if (step.sweep_caches) Empty(DrainScope::kIdle, &work);
  }
  ReleasePages(step.bytes, step.min_age, step.min_age_of_parts,
               step.nanoseconds, &work);
  if (step.sweep_spans && work.all && work.bytes < step.bytes) {
    ReleaseInSpans(true, step.bytes - work.bytes, step.nanoseconds, &work);
  }
  MutexLock lock(&lock_);
  if (reason == Reason::kInline) {
    inline_bytes_.fetch_add(work.bytes, std::memory_order_relaxed);
  }
  End(work);
  return policy_.Wait(View());
}

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

// The footprint is brought below the limit if that can be done without the
// program's help: what lies above it, and a little more, so that the next
// allocation need not do the same.
void Scavenger::KeepLimit() {
  const size_t limit = limit_.load(std::memory_order_relaxed);
  PageHeap& pages = central_->page_heap();
  const size_t footprint = pages.footprint_bytes();
  if (limit == 0 || footprint <= limit) return;
  const size_t excess = footprint - limit + limit / 64;
  Work work = Begin(Reason::kLimit);
  if (pages.idle_bytes() != 0) ReleaseNow(excess, &work);
  if (work.bytes < excess) {
    // Emptying caches costs those who have to fill them again, so it is not
    // done over and over when the program simply needs more than the limit.
    const uint64_t now = MonotonicNanoseconds();
    uint64_t next = next_effort_.load(std::memory_order_relaxed);
    if (now >= next &&
        next_effort_.compare_exchange_strong(next, now + 100 * kMillisecond)) {
      {
        MutexLock lock(&lock_);
        Empty(DrainScope::kAll, &work);
      }
      ReleaseNow(excess - work.bytes, &work);
      if (work.bytes < excess) {
        ReleaseInSpans(false, excess - work.bytes, UINT64_MAX, &work);
      }
    }
  }
  MutexLock lock(&lock_);
  End(work);
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
    if (IdleBytes() == 0 && !HasUnused()) {
      rest_.Wait(ScavengePolicy::kForever);
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
  // It has milliseconds of work at most before it looks. A process whose
  // thread is kept from running ends all the same.
  // Nor is there one in a child that was made behind the C library's back.
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
  SetThread(Thread::kNone);
  next_step_.store(0, std::memory_order_relaxed);
}

// ---- Calls

size_t Scavenger::Release(size_t bytes) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  if (bytes == 0) return 0;
  Work work = Begin(Reason::kCall);
  ReleaseNow(bytes, &work);
  if (work.bytes < bytes) {
    {
      MutexLock lock(&lock_);
      Empty(DrainScope::kAll, &work);
    }
    ReleaseNow(bytes - work.bytes, &work);
  }
  if (work.bytes < bytes) {
    ReleaseInSpans(false, bytes - work.bytes, UINT64_MAX, &work);
  }
  MutexLock lock(&lock_);
  End(work);
  return work.bytes;
}

size_t Scavenger::Trim(size_t keep) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  Work work = Begin(Reason::kCall);
  {
    MutexLock lock(&lock_);
    Empty(DrainScope::kAll, &work);
  }
  const size_t idle = central_->page_heap().idle_bytes();
  if (idle > keep) ReleaseNow(idle - keep, &work);
  ReleaseInSpans(false, SIZE_MAX, UINT64_MAX, &work);
  MutexLock lock(&lock_);
  End(work);
  return work.bytes;
}

void Scavenger::BringHome() {
  Work work = Begin(Reason::kMemory);
  MutexLock lock(&lock_);
  Empty(DrainScope::kAll, &work);
  End(work);
}

ScavengerStats Scavenger::stats() const {
  return {calls_.load(std::memory_order_relaxed),
          cycles_.load(std::memory_order_relaxed),
          nanoseconds_.load(std::memory_order_relaxed),
          limit_.load(std::memory_order_relaxed),
          hard_limit_.load(std::memory_order_relaxed)};
}

}  // namespace spanmalloc
