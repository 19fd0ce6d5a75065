#include "allocator/os/gate.h"

#include <limits.h>
#include <linux/futex.h>

#include "allocator/os/futex.h"

namespace spanmalloc {
namespace {

constexpr int kSpins = 100;

}  // namespace

void Gate::Wait() {
  for (int i = 0; i < kSpins; ++i) {
    if (IsOpen()) return;
    Pause();
  }
  uint32_t state = 1;
  if (state_.compare_exchange_strong(state, 2, std::memory_order_acquire)) {
    state = 2;
  }
  if (state == 2) Futex(&state_, FUTEX_WAIT, 2);
}

void Gate::Wake() { Futex(&state_, FUTEX_WAKE, INT_MAX); }

}  // namespace spanmalloc
