#include "allocator/scavenge/scavenger.h"

#include "allocator/os/cgroup.h"
#include "allocator/os/clock.h"
#include "allocator/os/pressure.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMillisecond = 1'000'000;

// Of a control group's limit: the rest is for what is not heap.
size_t ShareOfCgroup(uint64_t limit) {
  return limit == UINT64_MAX ? 0 : limit - limit / 10;
}

}  // namespace

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
  // Files may be out of bounds now.
  if (IsSandboxed()) return;
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

bool Scavenger::IsSandboxed() const {
  return started_.load(std::memory_order_relaxed) && sandbox_.Changed();
}

void Scavenger::Empty(DrainScope scope, Work* work) {
  const bool idle_only = scope == DrainScope::kIdle;
  // In a sandbox only what needs no call that may be forbidden there.
  if (!IsSandboxed()) {
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

// ---- Limits

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
