#include "allocator/api/stats_reports.h"

#include <errno.h>

#include <atomic>
#include <new>

#include "allocator/api/allocator.h"
#include "allocator/api/report_signals.h"
#include "allocator/observe/render.h"
#include "allocator/os/report_file.h"

namespace spanmalloc {
namespace {

// A snapshot, and all that it takes to write it somewhere. Too large for the
// small stack that a signal may be handled on.
struct Report {
  // As `new Report(...)` in place, which leaves no copy on the stack.
  explicit Report(MemStats (*read)())
      : stats(read()), out(TextWriter::ToDescriptor, &fd) {}

  const MemStats stats;
  int fd = -1;
  TextWriter out;
  ReportFile file;
};

// Set by StartStatsReports, then constant.
OptionText target;
StatsFormat format = StatsFormat::kText;
KeptStandardError standard_error;

std::atomic<bool> writing_on_signal{false};
alignas(Report) char signal_report[sizeof(Report)];

void Write(Report* report) {
  const bool to_file = !target.Is("") && !target.Is("stderr");
  if (to_file) {
    const int error = report->file.Open(target.data);
    if (error != 0)
      return CannotWrite("statistics", report->file.path(), error);
    report->fd = report->file.descriptor();
  } else {
    report->fd = standard_error.descriptor();
    if (report->fd < 0) return;
  }
  RenderStats(format, report->stats, &report->out);
  int error = report->out.Finish();
  if (!to_file) return;
  const int close_error = report->file.Close(error == 0);
  if (error == 0) error = close_error;
  if (error != 0) CannotWrite("statistics", report->file.path(), error);
}

MemStats Read() { return the_allocator.ReadStats(); }

void OnSignal(int) {
  const int saved_errno = errno;
  if (!writing_on_signal.exchange(true, std::memory_order_acquire)) {
    Write(new (signal_report) Report(Read));
    writing_on_signal.store(false, std::memory_order_release);
  }
  errno = saved_errno;
}

}  // namespace

void StartStatsReports(const Options& options) {
  const int number = SignalOfChoice(options.stats_signal);
  target = options.stats_at_exit;
  format = static_cast<StatsFormat>(options.stats_format);
  if (target.Is("stderr") || (target.Is("") && number != 0)) {
    standard_error.Keep();
  }
  if (number != 0) TakeSignal("stats_signal", number, OnSignal);
}

void WriteStatsAtExit() {
  if (target.Is("")) return;
  const int saved_errno = errno;
  Report report(Read);
  Write(&report);
  errno = saved_errno;
}

}  // namespace spanmalloc
