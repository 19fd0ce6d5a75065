// The part of Allocator that meets the events in a process's life: start, the
// end of a thread, fork.
//
// Fork. The child gets a copy of one thread and of all memory, at a moment when
// other threads may be anywhere. So the forking thread takes every lock first,
// and parent and child release them. The C library does the same with the lock
// of its list of streams, after our turn; a thread that holds that one may be
// waiting for memory from us. Taking it before any of ours keeps the order the
// same for everybody. It is recursive, so the C library's own turn goes on.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "allocator/api/allocator.h"
#include "allocator/api/leak_report.h"
#include "allocator/api/profile_reports.h"
#include "allocator/api/stats_reports.h"
#include "allocator/base/check.h"

// glibc's; absent elsewhere.
extern "C" {
__attribute__((weak)) void _IO_list_lock(void);
__attribute__((weak)) void _IO_list_unlock(void);
__attribute__((weak)) void _IO_list_resetlock(void);
}

namespace spanmalloc {
namespace {

void Prepare() { the_allocator.OnForkPrepare(); }
void Parent() { the_allocator.OnForkParent(); }
void Child() { the_allocator.OnForkChild(); }

// Early, so that our turn at a fork comes after the handlers of the program
// and of other libraries, which may allocate.
__attribute__((constructor(101))) void Start() { the_allocator.OnStart(); }

// As late as possible, so that the last statistics tell all. The leak report
// allocates, so it comes after the profile. A debug build has its invariants
// checked once more.
__attribute__((destructor(101))) void End() {
  the_allocator.OnExit();
  WriteStatsAtExit();
  WriteProfileAtExit();
  WriteLeakReport();
  if (kAssertLevel >= 2) {
    the_allocator.CheckInvariants();
    the_allocator.profiler().profile().CheckInvariants();
  }
}

}  // namespace

// The environment may not be there yet when the loader allocates: then the
// next call tries again.
void Allocator::Configure() {
  if (SPANMALLOC_LIKELY(configured_.load(std::memory_order_relaxed))) return;
  if (environ == nullptr || configured_.exchange(true)) return;
  Message::CheckStandardError();
  ParseOptions(secure_getenv("SPANMALLOC_OPTIONS"), &options_);
  if (options_.tiny != 0 || options_.tiny_align != 0) {
    class_of_size.SetTiny(size_t{4} << options_.tiny_align, options_.tiny == 0);
  }
  registry_.set_cache_bytes(options_.thread_cache_bytes);
  central_.page_heap().Configure(options_.window_bytes,
                                 options_.huge_page_threshold);
  ScavengerSettings scavenger;
  scavenger.mode = static_cast<ScavengerMode>(options_.scavenger);
  scavenger.delay = options_.scavenge_delay * 1'000'000;
  scavenger.limit_of_cgroup = options_.memory_limit == kCgroupLimit;
  if (!scavenger.limit_of_cgroup) scavenger.limit = options_.memory_limit;
  scavenger.hard_limit = options_.memory_limit_hard;
  scavenger.lazily = options_.release != 0;
  scavenger.trace = options_.scavtrace != 0;
  scavenger_.Configure(scavenger);
  ConfigureProfiler();
}

void Allocator::ConfigureProfiler() {
  if (options_.profile_interval != 0) {
    profiler_.SetInterval(options_.profile_interval);
  } else if (options_.leak_report != 0) {
    profiler_.SetInterval(1);
  } else if (!options_.profile_at_exit.Is("") || options_.profile_signal != 0 ||
             options_.guarded != 0) {
    profiler_.SetInterval(HeapProfiler::kDefaultInterval);
  }
  if (options_.guarded != 0) guarded_.Enable(options_.guarded);
}

void Allocator::OnStart() {
  const int saved_errno = errno;
  Configure();
  pthread_atfork(Prepare, Parent, Child);
  // Nobody else refers to it, and the linker shall not drop it.
  asm volatile("" : : "r"(&spanmalloc_stat_root));
  if (options_.help != 0) {
    ListOptions(
        options_, [](void*, Message* line) { line->Print(); }, nullptr);
  }
  StartStatsReports(options_);
  StartProfileReports(options_);
  StartLeakReport(options_);
  scavenger_.OnStart();
  errno = saved_errno;
}

void Allocator::OnExit() { scavenger_.OnExit(); }

void Allocator::OnThreadExit(void* cache) {
  if (cache != current_thread.cache) return;
  the_allocator.registry_.Leave();
  the_allocator.scavenger_.OnThreadExit();
}

template <typename F>
void Allocator::ForEachForkLock(F&& f) {
  f(scavenger_.fork_lock());
  f(registry_.fork_lock());
  central_.ForEachForkLock(f);
  f(guarded_.fork_lock());
  profiler_.ForEachForkLock(f);
  f(central_.page_heap().arena().fork_lock());
}

void Allocator::OnForkPrepare() {
  if (_IO_list_lock != nullptr) _IO_list_lock();
  ForEachForkLock([](Mutex& mutex) { mutex.ForkLock(); });
}

void Allocator::OnForkParent() {
  ForEachForkLock([](Mutex& mutex) { mutex.ForkUnlock(); });
  if (_IO_list_unlock != nullptr) _IO_list_unlock();
}

void Allocator::OnForkChild() {
  ForEachForkLock([](Mutex& mutex) { mutex.ForkUnlock(); });
  // The C library resets this lock if the parent had several threads, and
  // leaves it held if not.
  if (_IO_list_resetlock != nullptr) _IO_list_resetlock();
  registry_.ForgetOtherThreads();
  scavenger_.OnForkChild();
}

}  // namespace spanmalloc
