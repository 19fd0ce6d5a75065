#include "allocator/api/stats_reports.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <atomic>
#include <new>

#include "allocator/api/allocator.h"
#include "allocator/base/message.h"
#include "allocator/observe/render.h"
#include "allocator/os/report_file.h"

namespace spanmalloc {
namespace {

// In the order of the option's names.
constexpr int kSignals[] = {0,       SIGHUP,   SIGQUIT, SIGUSR1,
                            SIGUSR2, SIGWINCH, SIGPWR};

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

const char* Reason(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return "permission denied";
    case ENOENT:
    case ENOTDIR:
      return "no such directory";
    case EISDIR:
      return "it is a directory";
    case ENOSPC:
    case EDQUOT:
      return "no space left";
    case EROFS:
      return "the file system is read-only";
    case ENAMETOOLONG:
      return "the name is too long";
    default:
      return nullptr;
  }
}

void Complain(const char* path, int error) {
  Message line;
  line.Text("cannot write statistics to \"").Text(path).Text("\": ");
  if (const char* const reason = Reason(error)) {
    line.Text(reason);
  } else {
    line.Text("error ").Decimal(static_cast<uint64_t>(error));
  }
  line.Print();
}

void Write(Report* report) {
  const bool to_file = !target.Is("") && !target.Is("stderr");
  if (to_file) {
    const int error = report->file.Open(target.data);
    if (error != 0) return Complain(report->file.path(), error);
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
  if (error != 0) Complain(report->file.path(), error);
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

void TakeSignal(int number) {
  struct sigaction action = {};
  if (sigaction(number, nullptr, &action) != 0) return;
  if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL) {
    Message()
        .Text("option stats_signal: signal ")
        .Decimal(static_cast<uint64_t>(number))
        .Text(" is handled or ignored already and left alone")
        .Print();
    return;
  }
  action = {};
  action.sa_handler = OnSignal;
  // Runtimes with small stacks of their own ask for SA_ONSTACK of everybody.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

void StartStatsReports(const Options& options) {
  const int number = kSignals[options.stats_signal];
  target = options.stats_at_exit;
  format = static_cast<StatsFormat>(options.stats_format);
  if (target.Is("stderr") || (target.Is("") && number != 0)) {
    standard_error.Keep();
  }
  if (number != 0) TakeSignal(number);
}

void WriteStatsAtExit() {
  if (target.Is("")) return;
  const int saved_errno = errno;
  Report report(Read);
  Write(&report);
  errno = saved_errno;
}

}  // namespace spanmalloc
