#include "allocator/os/mutex.h"

#include <linux/futex.h>

#include "allocator/os/futex.h"

namespace spanmalloc {
namespace {

// A critical section is a few hundred nanoseconds to a few microseconds;
// sleeping and waking costs about five.
constexpr int kSpins = 100;

// One bit for each rank that this thread holds.
SPANMALLOC_THREAD_LOCAL uint32_t held_ranks = 0;

}  // namespace

std::atomic<uint64_t> Mutex::waits_{0};

void Mutex::LockSlow() {
  waits_.fetch_add(1, std::memory_order_relaxed);
  for (int i = 0; i < kSpins; ++i) {
    Pause();
    uint32_t expected = 0;
    if (state_.load(std::memory_order_relaxed) == 0 &&
        state_.compare_exchange_weak(expected, 1, std::memory_order_acquire)) {
      return;
    }
  }
  while (state_.exchange(2, std::memory_order_acquire) != 0) {
    Futex(&state_, FUTEX_WAIT, 2);
  }
}

void Mutex::Wake() { Futex(&state_, FUTEX_WAKE, 1); }

void Mutex::CheckOrder() const {
  SPANMALLOC_CHECK((held_ranks >> static_cast<unsigned>(rank_)) == 0);
}

void Mutex::NoteHeld() const {
  held_ranks |= 1u << static_cast<unsigned>(rank_);
}

void Mutex::NoteReleased() const {
  SPANMALLOC_CHECK((held_ranks >> static_cast<unsigned>(rank_)) & 1);
  held_ranks &= ~(1u << static_cast<unsigned>(rank_));
}

void Mutex::AssertNoneHeld() {
  if (kAssertLevel > 0) SPANMALLOC_CHECK(held_ranks == 0);
}

}  // namespace spanmalloc
