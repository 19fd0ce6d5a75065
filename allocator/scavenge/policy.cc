#include "allocator/scavenge/policy.h"

#include <initializer_list>

namespace spanmalloc {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;
// Less is not worth drawing conclusions from.
constexpr uint64_t kWorthRegret = kMebibyte;
constexpr uint64_t kPressureHaste = 10;
// Nanoseconds of faults: 50 us for 2 MiB that come as a huge page.
constexpr uint64_t kFetchPerMebibyte = 25'000;

}  // namespace

int64_t ScavengePolicy::CostOf(size_t bytes) const {
  return static_cast<int64_t>(bytes / 1024 * cost_per_mebibyte_ / 1024);
}

size_t ScavengePolicy::BytesFor(int64_t nanoseconds) const {
  if (nanoseconds <= 0) return 0;
  const uint64_t bytes =
      static_cast<uint64_t>(nanoseconds) * kMebibyte / cost_per_mebibyte_;
  return bytes < kLeastBytes ? kLeastBytes : bytes;
}

// Whether the interval has passed since the last time; then that is now.
bool ScavengePolicy::IsDue(uint64_t now, uint64_t interval,
                           uint64_t* last) const {
  if (now - *last < interval) return false;
  *last = now;
  return true;
}

void ScavengePolicy::Elapse(const ScavengeView& view) {
  const uint64_t now = view.now;
  uint64_t elapsed = now > last_ ? now - last_ : 0;
  // A step back counts as standing still.
  for (uint64_t* last : {&last_tick_, &last_sweep_of_caches_,
                         &last_sweep_of_spans_, &last_judgement_}) {
    if (*last > now) *last = now;
  }
  if (resting_) {
    // What has become idle is new, however long ago the last tick was.
    resting_ = false;
    last_tick_ = last_sweep_of_caches_ = last_sweep_of_spans_ = now;
    // What is fetched after a long rest is no regret.
    if (elapsed >= delay_) {
      if (gone_before_ + gone_ >= kWorthRegret) NoRegret();
      gone_before_ = gone_ = fetched_ = 0;
      last_judgement_ = now;
    }
  }
  if (elapsed > kMostElapsed) elapsed = kMostElapsed;
  last_ = now;
  uint64_t earned = elapsed / kPaceDivisor;
  if (view.pressure) earned *= kPressureHaste;
  credit_ += static_cast<int64_t>(earned);
  if (credit_ > kMostCredit) credit_ = kMostCredit;
}

// Debts are bounded: neither a program that fetched a lot nor a clock that
// jumped shall keep us from work for more than a second.
void ScavengePolicy::Spend(uint64_t nanoseconds) {
  constexpr uint64_t kMost = kMostCredit + kMostDebt;
  credit_ -= static_cast<int64_t>(nanoseconds < kMost ? nanoseconds : kMost);
  if (credit_ < -kMostDebt) credit_ = -kMostDebt;
}

void ScavengePolicy::CountFetched(const ScavengeView& view) {
  const uint64_t given_back = view.given_back - given_back_;
  gone_ += given_back;
  const uint64_t end = view.footprint + given_back;
  uint64_t again = end > footprint_ ? end - footprint_ : 0;
  if (again > gone_before_ + gone_) again = gone_before_ + gone_;
  const uint64_t older = again < gone_before_ ? again : gone_before_;
  gone_before_ -= older;
  gone_ -= again - older;
  fetched_ += again;
  Spend(again / 1024 * kFetchPerMebibyte / 1024);
  given_back_ = view.given_back;
  footprint_ = view.footprint;
}

void ScavengePolicy::NoRegret() {
  if (++good_ < kGoodEnough) return;
  good_ = 0;
  if (stretch_ > 1) {
    stretch_ /= 2;
  } else {
    haste_ = true;
  }
}

// Was what went back lately fetched again?
void ScavengePolicy::Judge(const ScavengeView& view) {
  if (!IsDue(view.now, delay_, &last_judgement_)) return;
  const uint64_t missed_or_not = gone_before_ + gone_ + fetched_;
  if (missed_or_not >= kWorthRegret && fetched_ > missed_or_not / 2) {
    good_ = 0;
    if (haste_) {
      haste_ = false;
    } else if (stretch_ < kMostStretch) {
      stretch_ *= 2;
    }
  } else if (gone_before_ >= kWorthRegret && fetched_ < missed_or_not / 8) {
    NoRegret();
  }
  gone_before_ = gone_;
  gone_ = fetched_ = 0;
}

uint32_t ScavengePolicy::MinAge(const ScavengeView& view) const {
  uint32_t age = kReleaseAge;
  if (view.limit != 0) {
    const size_t margin = view.limit / 8;
    if (view.footprint >= view.limit) return 0;
    const size_t room = view.limit - view.footprint;
    if (room < margin) age = static_cast<uint32_t>(kReleaseAge * room / margin);
  }
  if (view.pressure && age > 1) age = 1;
  return age;
}

ScavengeStep ScavengePolicy::Next(const ScavengeView& view) {
  Elapse(view);
  CountFetched(view);
  Judge(view);
  ScavengeStep step;
  step.tick = IsDue(view.now, TickLength(view), &last_tick_);
  step.sweep_caches = IsDue(view.now, CacheInterval(), &last_sweep_of_caches_);
  step.sweep_spans = IsDue(view.now, delay_, &last_sweep_of_spans_);
  step.min_age = MinAge(view);
  step.min_age_of_parts = step.min_age * (IsHasty(view) ? kHaste : 1);
  step.bytes = BytesFor(credit_);
  step.nanoseconds = credit_ > 0 ? static_cast<uint64_t>(credit_) : 0;
  if (view.limit != 0 && view.footprint > view.limit) {
    const size_t above = view.footprint - view.limit;
    if (step.bytes < above) step.bytes = above;
    step.nanoseconds = kForever;
  }
  return step;
}

void ScavengePolicy::Spent(uint64_t nanoseconds, size_t bytes, bool all) {
  Spend(nanoseconds);
  more_ = bytes != 0 && !all;
  if (bytes >= kMebibyte) {
    const uint64_t cost = nanoseconds * 1024 / (bytes / 1024);
    cost_per_mebibyte_ = (cost_per_mebibyte_ * 3 + cost) / 4;
    if (cost_per_mebibyte_ == 0) cost_per_mebibyte_ = 1;
  }
}

uint64_t ScavengePolicy::Wait(const ScavengeView& view) {
  CountFetched(view);
  if (view.idle == 0 && !view.unused) {
    resting_ = true;
    return kForever;
  }
  const auto until = [&view](uint64_t last, uint64_t interval) {
    const uint64_t since = view.now > last ? view.now - last : 0;
    return since < interval ? interval - since : 0;
  };
  // Without pages that are idle, ticks are of no use. In haste one has to see
  // when it becomes worth while.
  uint64_t to_event = view.idle == 0
                          ? until(last_sweep_of_caches_, CacheInterval())
                          : until(last_tick_, TickLength(view));
  const uint64_t look =
      delay_ / kHaste < kLeastTick ? kLeastTick : delay_ / kHaste;
  if (haste_ && view.idle != 0 && to_event > look) to_event = look;
  // Looking costs something, too.
  if (credit_ < 0) {
    const uint64_t to_pay = static_cast<uint64_t>(-credit_) * kPaceDivisor;
    return to_pay > to_event ? to_pay : to_event;
  }
  if (!more_) return to_event;
  // As soon as the least is affordable.
  const int64_t missing = CostOf(kLeastBytes) - credit_;
  const uint64_t to_credit =
      missing > 0 ? static_cast<uint64_t>(missing) * kPaceDivisor : 0;
  return to_credit < to_event ? to_credit : to_event;
}

}  // namespace spanmalloc
