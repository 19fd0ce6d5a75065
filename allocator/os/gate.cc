#include "allocator/os/gate.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace spanmalloc {
namespace {

constexpr int kSpins = 100;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void Futex(std::atomic<uint32_t>* word, int operation, uint32_t value) {
  const int saved_errno = errno;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word),
          operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
  errno = saved_errno;
}

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
