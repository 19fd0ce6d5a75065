// When memory goes back to the system, and how much of it.
//
// Place:    scavenge/, inside Scavenger.
// Purpose:  A pure decision: from the time and a few numbers about the heap to
//           what shall be done now, and when to ask again. It reads no clock
//           and touches no memory but its own, so every rule below is tested
//           with a clock made up by the test.
// Not here: which pages those are (page/idle_queue.h), doing it, and who does
//           it when (scavenger.h).
//
// Rules
//   Ages.  What is idle grows older by ticks, kTicksPerDelay to a delay, and
//     goes back at the age of kReleaseAge ticks: between one delay and one and
//     a quarter after it was used last.
//   Haste and regret.  Memory that goes back and is fetched again costs a fault
//     for each page. When half of the memory is idle it will hardly be missed;
//     so a process begins in haste: whole huge pages then go back after a
//     kHaste-th of the delay. When more than half of what
//     went back within a delay is fetched again, haste ends; and if that was
//     not enough, the delay is doubled, up to kMostStretch times. When less
//     than an eighth was, kGoodEnough times, it is the other way round.
//   Pace.  The work, and the faults for what is fetched again, may take a
//     kPaceDivisor-th of the time: credit in nanoseconds grows with the clock,
//     up to kMostCredit, and is spent, down to a debt of kMostDebt. In debt
//     there is no work at all, nor a tick.
//   Limit.  From seven eighths of the limit on the age shrinks, to nothing at
//     the limit; above it, what lies above goes back without regard to pace.
//   Pressure.  When the system is short of memory, one tick is old enough, and
//     the pace is ten times higher.
//   Sweeps of spans come once a delay, those of caches twice, in haste ten
//     times: to fill a cache again costs far less than a fault.
//
// Concurrency: none; Scavenger's lock covers it.
// Clock:   may stand still, jump ahead (at most kMostElapsed counts), or step
//          back (counts as standing still).
#ifndef SPANMALLOC_ALLOCATOR_SCAVENGE_POLICY_H_
#define SPANMALLOC_ALLOCATOR_SCAVENGE_POLICY_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// What is known when a decision is asked for.
struct ScavengeView {
  uint64_t now = 0;         // Nanoseconds of a clock that does not step back.
  size_t footprint = 0;     // Bytes that the heap has from the system.
  size_t idle = 0;          // Of them: free pages that could go back.
  bool unused = false;      // Caches or spans may hold what nobody uses.
  uint64_t given_back = 0;  // Bytes since the start.
  size_t limit = 0;         // For the footprint; 0 = none.
  bool pressure = false;    // The system is short of memory.
};

// What shall be done.
struct ScavengeStep {
  bool tick = false;          // Everything idle becomes a tick older.
  bool sweep_caches = false;  // What caches and transfer caches had no use for
                              // since the last time goes home.
  bool sweep_spans = false;   // Free pages in spans that were not touched since
                              // the last time go back, up to `bytes`.
  size_t bytes = 0;           // So many bytes may go back,
  uint32_t min_age = 0;       // if they are idle for at least so many ticks,
  uint32_t min_age_of_parts = 0;  // or so many, being parts of huge pages,
  uint64_t nanoseconds = 0;       // until that takes so long.
};

class ScavengePolicy {
 public:
  static constexpr uint64_t kForever = UINT64_MAX;
  static constexpr uint32_t kTicksPerDelay = 4;
  static constexpr uint32_t kReleaseAge = kTicksPerDelay + 1;
  static constexpr uint64_t kLeastTick = 2'000'000;
  static constexpr uint32_t kHaste = 20;
  static constexpr uint32_t kMostStretch = 4;
  static constexpr uint32_t kGoodEnough = 4;
  static constexpr uint64_t kPaceDivisor = 100;
  static constexpr int64_t kFirstCredit = 10'000'000;
  static constexpr int64_t kMostCredit = 50'000'000;
  static constexpr int64_t kMostDebt = 10'000'000;
  static constexpr uint64_t kMostElapsed = 60'000'000'000;
  static constexpr uint64_t kMostDelay = UINT64_MAX / (2 * kMostStretch);
  // The least that is released at a time, unless there is less.
  static constexpr size_t kLeastBytes = 4 << 20;

  constexpr ScavengePolicy() = default;

  // Nanoseconds that memory stays idle before it goes back, but for haste; at
  // least 1. `now` is the time from which on credit grows.
  void Configure(uint64_t delay, uint64_t now) {
    delay_ = delay == 0 ? 1 : delay < kMostDelay ? delay : kMostDelay;
    last_ = now;
  }

  // What to do now.
  ScavengeStep Next(const ScavengeView& view);

  // What doing it has cost, how many bytes went back, and whether that was all
  // that is old enough.
  void Spent(uint64_t nanoseconds, size_t bytes, bool all);

  // Nanoseconds until Next should be called again; kForever if there is nothing
  // to do until somebody frees memory. `view` is as of now, after the work.
  uint64_t Wait(const ScavengeView& view);

  // For tests.
  bool in_haste() const { return haste_; }
  uint32_t stretch() const { return stretch_; }

 private:
  // Whether most of what there is is idle: then haste is worth while.
  bool IsHasty(const ScavengeView& view) const {
    return haste_ && view.idle >= view.footprint / 2;
  }
  uint64_t TickLength(const ScavengeView& view) const {
    const uint64_t delay = IsHasty(view) ? delay_ / kHaste : delay_ * stretch_;
    const uint64_t length = delay / kTicksPerDelay;
    return length < kLeastTick ? kLeastTick : length;
  }
  uint64_t CacheInterval() const {
    const uint64_t interval = delay_ / (haste_ ? 10 : 2);
    return interval < kLeastTick ? kLeastTick : interval;
  }
  int64_t CostOf(size_t bytes) const;
  size_t BytesFor(int64_t nanoseconds) const;
  void Elapse(const ScavengeView& view);
  void Spend(uint64_t nanoseconds);
  void CountFetched(const ScavengeView& view);
  void Judge(const ScavengeView& view);
  void NoRegret();
  bool IsDue(uint64_t now, uint64_t interval, uint64_t* last) const;
  uint32_t MinAge(const ScavengeView& view) const;

  uint64_t delay_ = 1'000'000'000;
  bool haste_ = true;
  uint32_t stretch_ = 1;  // Times the delay, without haste.
  uint32_t good_ = 0;     // Times without regret since the last one with it.
  bool resting_ = true;   // Nothing to do since the last Wait.
  bool more_ = false;     // All that was allowed went back; there may be more.
  uint64_t last_ = 0;     // When Next was called last, and when it ordered
  uint64_t last_tick_ = 0;
  uint64_t last_sweep_of_caches_ = 0;
  uint64_t last_sweep_of_spans_ = 0;
  uint64_t last_judgement_ = 0;
  int64_t credit_ = kFirstCredit;
  uint64_t cost_per_mebibyte_ = 10'000;  // Nanoseconds; learnt.
  // As of the last Next.
  uint64_t given_back_ = 0;
  size_t footprint_ = 0;
  // Bytes that went back before the last judgement, and since, but for those
  // that were fetched again since.
  uint64_t gone_before_ = 0;
  uint64_t gone_ = 0;
  uint64_t fetched_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_SCAVENGE_POLICY_H_
