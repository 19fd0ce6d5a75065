#include "tools/spanmalloc/sampling_window.h"

#include <errno.h>
#include <time.h>

#include <algorithm>
#include <chrono>

namespace spanmalloc_tool {
namespace {

constexpr int kEndSignals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
// How soon it is seen that the process is gone.
constexpr double kLongestStep = 0.1;

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : kEndSignals) sigaddset(&signals, number);
  return signals;
}

}  // namespace

SamplingWindow::SamplingWindow(LiveProcess* process,
                               const spanmalloc::StatRoot& root)
    : process_(process),
      address_(reinterpret_cast<uintptr_t>(root.profile_interval)) {
  sigset_t signals = EndSignals();
  // Who reads our messages may go away.
  sigaddset(&signals, SIGPIPE);
  sigprocmask(SIG_BLOCK, &signals, &mask_before_);
}

SamplingWindow::~SamplingWindow() {
  Close();
  sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

bool SamplingWindow::ReadInterval(uint64_t* interval) {
  return process_->Read(address_, interval, sizeof(*interval));
}

bool SamplingWindow::WriteInterval(uint64_t interval) {
  return process_->Write(address_, &interval, sizeof(interval));
}

bool SamplingWindow::Open(uint64_t* interval) {
  uint64_t before;
  if (!ReadInterval(&before)) return false;
  if (before != 0) {
    *interval = before;
    return true;
  }
  if (!WriteInterval(*interval)) return false;
  written_ = *interval;
  changed_ = open_ = true;
  return true;
}

SamplingWindow::End SamplingWindow::Wait(double seconds) {
  using Clock = std::chrono::steady_clock;
  const sigset_t signals = EndSignals();
  const Clock::time_point start = Clock::now();
  for (;;) {
    const std::chrono::duration<double> since = Clock::now() - start;
    const double left = seconds - since.count();
    if (left <= 0) return End::kTime;
    const timespec step = {
        0, static_cast<long>(std::min(left, kLongestStep) * 1e9)};
    if (sigtimedwait(&signals, nullptr, &step) > 0) return End::kSignal;
    uint64_t interval;
    if (!ReadInterval(&interval)) return End::kGone;
  }
}

bool SamplingWindow::Close() {
  if (!open_) return true;
  open_ = false;
  uint64_t now;
  if (!ReadInterval(&now)) return false;
  return now != written_ || WriteInterval(0);
}

}  // namespace spanmalloc_tool
