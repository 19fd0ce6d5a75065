#include "allocator/os/parking_spot.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "allocator/base/check.h"
#include "allocator/os/clock.h"
#include "allocator/os/errno_saver.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kSecond = 1000000000;

// 0, or an error. `deadline` is a point of the monotonic clock, or null.
int FutexWait(std::atomic<uint32_t>* word, uint32_t value,
              const timespec* deadline) {
  const long result = syscall(SYS_futex, reinterpret_cast<uint32_t*>(word),
                              FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                              deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result == 0 ? 0 : errno;
}

// The point in time, or null for none. One too far away for the clock is none.
const timespec* Deadline(uint64_t timeout, timespec* storage) {
  uint64_t end;
  if (timeout == ParkingSpot::kForEver ||
      __builtin_add_overflow(MonotonicNanoseconds(), timeout, &end)) {
    return nullptr;
  }
  storage->tv_sec = static_cast<time_t>(end / kSecond);
  storage->tv_nsec = static_cast<long>(end % kSecond);
  return storage;
}

}  // namespace

bool ParkingSpot::Wait(uint64_t timeout_nanoseconds) {
  ErrnoSaver errno_saver;
  uint32_t state = kNobody;
  if (state_.compare_exchange_strong(state, kParked,
                                     std::memory_order_relaxed)) {
    timespec storage;
    const timespec* const deadline = Deadline(timeout_nanoseconds, &storage);
    int error = 0;
    // Signals and calls meant for who had this address before end a wait, too.
    while (state_.load(std::memory_order_relaxed) == kParked &&
           (error == 0 || error == EAGAIN || error == EINTR)) {
      error = FutexWait(&state_, kParked, deadline);
    }
  } else {
    SPANMALLOC_ASSERT(state == kWoken);  // Else there are two who wait.
  }
  return state_.exchange(kNobody, std::memory_order_acquire) == kWoken;
}

void ParkingSpot::Wake() {
  // Also when the state says so already: what we stored before shall be seen.
  if (state_.exchange(kWoken, std::memory_order_release) != kParked) return;
  ErrnoSaver errno_saver;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&state_),
          FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

}  // namespace spanmalloc
