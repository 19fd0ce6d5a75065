// Where one thread sleeps until another one calls.
//
// Place:    os/.
// Purpose:  A background thread that has nothing to do costs nothing: no timer
//           goes off for one that sleeps for ever.
// Not here: what there is to do. Who wakes stores that somewhere first.
//
// Concurrency: one thread waits at a time; any thread wakes, also in a signal
//              handler.
// Invariants:  state_ is 0 (nobody there), 1 (one sleeps or is about to) or 2
//              (woken, and not yet noticed).
// Guarantee:   a Wake is never lost: one that comes before Wait makes that
//              return at once. Several before one return of Wait count as one.
//              What was stored before Wake is seen after the return of the Wait
//              that it ended.
// Cost:        Wake is one atomic exchange; a system call only if somebody
//              sleeps.
// Fork:        a child calls Reset: whoever slept in the parent isn't there.
#ifndef SPANMALLOC_ALLOCATOR_OS_PARKING_SPOT_H_
#define SPANMALLOC_ALLOCATOR_OS_PARKING_SPOT_H_

#include <atomic>
#include <cstdint>

namespace spanmalloc {

class ParkingSpot {
 public:
  static constexpr uint64_t kForEver = UINT64_MAX;

  constexpr ParkingSpot() = default;
  ParkingSpot(const ParkingSpot&) = delete;
  ParkingSpot& operator=(const ParkingSpot&) = delete;

  // True if woken, false if that much time went by without. Where the system
  // refuses to let a thread sleep it is false at once. errno is kept.
  bool Wait(uint64_t timeout_nanoseconds);

  void Wake();

  void Reset() { state_.store(kNobody, std::memory_order_relaxed); }

 private:
  enum : uint32_t { kNobody, kParked, kWoken };

  std::atomic<uint32_t> state_{kNobody};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_PARKING_SPOT_H_
