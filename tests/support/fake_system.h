// A system that does what a test tells it to.
//
// A SystemMemory whose memory is real, but which can fail the n-th call, refuse
// addresses, count bytes against a limit and choose where memory lies; and
// which fails the test when memory is used that was never mapped. SystemMemory
// is a table of plain functions, so the one FakeSystem alive is found through a
// global: make one at the start of each test, before what uses it.
//
// Concurrency: the functions of memory() may be called from any thread, all
// else from the test's own.
#ifndef SPANMALLOC_TESTS_SUPPORT_FAKE_SYSTEM_H_
#define SPANMALLOC_TESTS_SUPPORT_FAKE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "allocator/os/memory.h"

namespace spanmalloc {

class FakeSystem {
 public:
  enum Call {
    kMap,
    kReserve,
    kUnmap,
    kRelease,
    kReleaseLazily,
    kAdviseHuge,
    kForbidHuge,
    kMove,
    kForbidAccess,
    kAllowAccess,
    kCallKinds
  };

  struct Range {
    uintptr_t start;
    size_t size;
  };

  FakeSystem();
  // Unmaps all that is still mapped.
  ~FakeSystem();
  FakeSystem(const FakeSystem&) = delete;
  FakeSystem& operator=(const FakeSystem&) = delete;

  static const SystemMemory& memory();

  // ---- What goes wrong

  // Fails the n-th call from now on, of whatever kind; 1 is the next one.
  void FailCall(size_t n) { FailCalls(n, n); }
  // Fails the n-th call from now on and all that follow.
  void FailFrom(size_t n) { FailCalls(n, SIZE_MAX); }
  void FailNothing() { FailCalls(0, 0); }
  // Fails the first to the last call from now on.
  void FailCalls(size_t first, size_t last);
  // Fails every call of one kind, or no more.
  void Deny(Call call, bool denied = true);
  // Refuses to map exactly there.
  void Occupy(uintptr_t start, size_t size);
  // Refuses every mapping at a given address.
  void RefuseAddresses(bool refuse) { refuse_addresses_ = refuse; }
  // What is mapped and reserved may together not exceed this.
  void LimitBytes(size_t bytes) { byte_limit_ = bytes; }
  // The next mapping without an address starts here.
  void PlaceNext(uintptr_t address) { next_place_ = address; }
  // Called in every release, lazy or not, before it happens.
  void OnRelease(std::function<void()> function) {
    on_release_ = std::move(function);
  }

  // ---- What happened

  size_t calls() const;
  size_t calls(Call call) const;
  // Calls that failed because they were told to.
  size_t failures() const;
  // Mapped and reserved at this moment.
  size_t bytes() const;
  // Is all of it mapped or reserved?
  bool IsMapped(uintptr_t start, size_t size) const;
  // What was mapped (not reserved) and is still there, adjacent ranges joined,
  // by address.
  std::vector<Range> Regions() const;
  // The successful releases of what was mapped, and moves away, since the last
  // call of this.
  std::vector<Range> TakeReleased();
  // The same for releases of what was reserved.
  std::vector<Range> TakeReleasedReserved();
  // The same for lazy releases. The system takes every second page of 8 KiB of
  // these at once, and the others never.
  std::vector<Range> TakeLazilyReleased();
  // Is the huge page there forbidden to be one at this moment?
  bool IsForbidden(uintptr_t huge_page) const;
  size_t forbidden() const;

 private:
  struct Functions;

  bool Begin(Call call);
  void* DoMap(Call call, uintptr_t address, size_t size);
  void Forget(uintptr_t start, size_t size);
  bool Covered(uintptr_t start, size_t size) const;

  mutable std::mutex mutex_;
  std::map<uintptr_t, size_t> mapped_;    // By map: start to size.
  std::map<uintptr_t, size_t> reserved_;  // By reserve.
  std::vector<Range> occupied_;
  std::vector<Range> released_;
  std::vector<Range> released_reserved_;
  std::vector<Range> lazily_released_;
  std::set<uintptr_t> forbidden_;  // Addresses of huge pages.
  std::function<void()> on_release_;
  size_t calls_[kCallKinds] = {};
  size_t total_calls_ = 0;
  size_t failures_ = 0;
  size_t fail_first_ = 0;
  size_t fail_last_ = 0;
  bool denied_[kCallKinds] = {};
  bool refuse_addresses_ = false;
  size_t byte_limit_ = SIZE_MAX;
  size_t bytes_ = 0;
  uintptr_t next_place_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_FAKE_SYSTEM_H_
