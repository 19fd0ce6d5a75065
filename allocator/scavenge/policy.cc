#include "allocator/scavenge/policy.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;
// Less is not worth drawing conclusions from.
constexpr uint64_t kWorthRegret = kMebibyte;
constexpr uint64_t kPressureHaste = 10;

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

void ScavengePolicy::Elapse(const ScavengeView& view) {
  const uint64_t now = view.now;
  uint64_t elapsed = now > last_ ? now - last_ : 0;
  if (resting_) {
    // What has become idle is new, however long ago the last tick was; and
    // what is fetched after a long rest is no regret.
    resting_ = false;
    last_tick_ = now;
    if (elapsed / kTicksPerDelay >= TickLength()) Forget(view);
  }
  if (elapsed > kMostElapsed) elapsed = kMostElapsed;
  last_ = now;
  if (last_tick_ > now) last_tick_ = now;
  uint64_t earned = elapsed / kPaceDivisor;
  if (view.pressure) earned *= kPressureHaste;
  credit_ += static_cast<int64_t>(earned);
  if (credit_ > kMostCredit) credit_ = kMostCredit;
}

void ScavengePolicy::NoRegret() {
  if (++good_ < kGoodEnough) return;
  good_ = 0;
  if (stretch_ > 1) stretch_ /= 2;
}

// What went back last has not been missed for a delay.
void ScavengePolicy::Forget(const ScavengeView& view) {
  const uint64_t given_back =
      view.given_back - given_back_then_ + given_back_before_;
  if (given_back >= kWorthRegret) NoRegret();
  given_back_before_ = 0;
  given_back_then_ = view.given_back;
  footprint_then_ = view.footprint;
}

// Was what went back in the delay before fetched again in this one?
void ScavengePolicy::LookBack(const ScavengeView& view) {
  const uint64_t given_back = view.given_back - given_back_then_;
  const uint64_t end = view.footprint + given_back;
  const uint64_t fetched = end > footprint_then_ ? end - footprint_then_ : 0;
  if (given_back_before_ >= kWorthRegret) {
    if (fetched > given_back_before_ / 2) {
      if (stretch_ < kMostStretch) stretch_ *= 2;
      good_ = 0;
    } else if (fetched < given_back_before_ / 8) {
      NoRegret();
    }
  }
  given_back_before_ = given_back;
  given_back_then_ = view.given_back;
  footprint_then_ = view.footprint;
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
  ScavengeStep step;
  if (view.now - last_tick_ >= TickLength()) {
    step.tick = true;
    last_tick_ = view.now;
    ++ticks_;
    // A thread that makes a short break keeps what it has cached.
    step.sweep_caches = ticks_ % (kTicksPerDelay / 2) == 0;
    step.sweep_spans = ticks_ % kTicksPerDelay == 0;
    if (ticks_ % kTicksPerDelay == 0) LookBack(view);
  }
  step.min_age = MinAge(view);
  step.bytes = BytesFor(credit_);
  if (view.limit != 0 && view.footprint > view.limit) {
    const size_t above = view.footprint - view.limit;
    if (step.bytes < above) step.bytes = above;
  }
  allowed_ = step.bytes;
  return step;
}

void ScavengePolicy::Spent(uint64_t nanoseconds, size_t bytes) {
  // A clock that jumped shall not stop us for hours.
  constexpr uint64_t kMostSpent = 1'000'000'000;
  if (nanoseconds > kMostSpent) nanoseconds = kMostSpent;
  credit_ -= static_cast<int64_t>(nanoseconds);
  more_ = bytes != 0 && bytes >= allowed_;
  if (bytes >= kMebibyte) {
    const uint64_t cost = nanoseconds * 1024 / (bytes / 1024);
    cost_per_mebibyte_ = (cost_per_mebibyte_ * 3 + cost) / 4;
    if (cost_per_mebibyte_ == 0) cost_per_mebibyte_ = 1;
  }
}

uint64_t ScavengePolicy::Wait(const ScavengeView& view) {
  if (view.idle == 0 && !view.unused) {
    resting_ = true;
    return kForever;
  }
  const uint64_t since = view.now > last_tick_ ? view.now - last_tick_ : 0;
  const uint64_t length = TickLength();
  const uint64_t to_tick = since < length ? length - since : 0;
  if (!more_) return to_tick;
  // As soon as the least is affordable.
  const int64_t missing = CostOf(kLeastBytes) - credit_;
  const uint64_t to_credit =
      missing > 0 ? static_cast<uint64_t>(missing) * kPaceDivisor : 0;
  return to_credit < to_tick ? to_credit : to_tick;
}

}  // namespace spanmalloc
