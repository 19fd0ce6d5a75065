#include "allocator/api/report_signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "allocator/base/message.h"

namespace spanmalloc {
namespace {

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

// Ends a line after the path of a file. `reason` may be null.
void PrintReason(const char* reason, int error, Message* line) {
  line->Text("\": ");
  if (reason != nullptr) {
    line->Text(reason);
  } else {
    line->Text("error ").Decimal(static_cast<uint64_t>(error));
  }
  line->Print();
}

}  // namespace

int SignalOfChoice(uint64_t i) {
  constexpr int kSignals[] = {0,       SIGHUP,   SIGQUIT, SIGUSR1,
                              SIGUSR2, SIGWINCH, SIGPWR};
  return kSignals[i];
}

void TakeSignal(const char* option, int number, void (*handler)(int)) {
  struct sigaction action = {};
  if (sigaction(number, nullptr, &action) != 0) return;
  if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL) {
    Message()
        .Text("option ")
        .Text(option)
        .Text(": signal ")
        .Decimal(static_cast<uint64_t>(number))
        .Text(" is handled or ignored already and left alone")
        .Print();
    return;
  }
  action = {};
  action.sa_handler = handler;
  // Runtimes with small stacks of their own ask for SA_ONSTACK of everybody.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

void CannotWrite(const char* what, const char* path, int error) {
  Message line;
  line.Text("cannot write ").Text(what).Text(" to \"").Text(path);
  PrintReason(Reason(error), error, &line);
}

void CannotRead(const char* what, const char* path, int error) {
  Message line;
  line.Text("cannot read ").Text(what).Text(" from \"").Text(path);
  const char* const reason = error == ENOENT   ? "no such file"
                             : error == EINVAL ? "it is no regular file"
                                               : Reason(error);
  PrintReason(reason, error, &line);
}

}  // namespace spanmalloc
