#include "allocator/os/fault_signal.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include <atomic>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {
namespace {

// Written before size is: a handler that finds a size finds the rest.
struct Watcher {
  uintptr_t start;
  void (*on_fault)(const Fault& fault, void* context);
  void* context;
  std::atomic<size_t> size;
};
Watcher watcher = {};

bool installed = false;
// What SIGSEGV did before.
struct sigaction previous = {};

#if defined(__x86_64__)

uintptr_t Pc(const ucontext_t* context) {
  return static_cast<uintptr_t>(context->uc_mcontext.gregs[REG_RIP]);
}

Fault::Access AccessOf(const ucontext_t* context) {
  // The error code of the processor's page fault.
  constexpr greg_t kWriteBit = 1 << 1, kFetchBit = 1 << 4;
  const greg_t error = context->uc_mcontext.gregs[REG_ERR];
  if ((error & kFetchBit) != 0) return Fault::Access::kExecute;
  return (error & kWriteBit) != 0 ? Fault::Access::kWrite
                                  : Fault::Access::kRead;
}

#elif defined(__aarch64__)

uintptr_t Pc(const ucontext_t* context) {
  return static_cast<uintptr_t>(context->uc_mcontext.pc);
}

Fault::Access AccessOf(const ucontext_t* context) {
  // The kernel appends records, each with its kind and size, until one of kind
  // 0. One of them is the syndrome register.
  constexpr uint32_t kSyndrome = 0x45535201;
  const auto& records = context->uc_mcontext.__reserved;
  size_t at = 0;
  while (at + 16 <= sizeof(records)) {
    uint32_t kind, size;
    memcpy(&kind, &records[at], sizeof(kind));
    memcpy(&size, &records[at + 4], sizeof(size));
    if (kind == kSyndrome) {
      uint64_t syndrome;
      memcpy(&syndrome, &records[at + 8], sizeof(syndrome));
      const uint64_t exception = (syndrome >> 26) & 0x3f;
      if (exception == 0x20 || exception == 0x21) {
        return Fault::Access::kExecute;
      }
      return (syndrome & (1 << 6)) != 0 ? Fault::Access::kWrite
                                        : Fault::Access::kRead;
    }
    if (kind == 0 || size < 16) break;
    at += size;
  }
  return Fault::Access::kUnknown;
}

#else

uintptr_t Pc(const ucontext_t*) { return 0; }
Fault::Access AccessOf(const ucontext_t*) { return Fault::Access::kUnknown; }

#endif

bool HasHandler(const struct sigaction& action) {
  if ((action.sa_flags & SA_SIGINFO) != 0) return true;
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

// Only then is there an address; other signals have other fields in its place.
bool IsAccess(const siginfo_t* info) {
  return info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR;
}

void SetDefaultAction() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGSEGV, &action, nullptr);
}

void CallPrevious(int signal, siginfo_t* info, ucontext_t* context) {
  const struct sigaction action = previous;
  if ((action.sa_flags & SA_RESETHAND) != 0) previous = {};
  // The return from the signal brings the thread's mask back.
  sigset_t mask = action.sa_mask;
  pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  if ((action.sa_flags & SA_NODEFER) != 0) {
    sigemptyset(&mask);
    sigaddset(&mask, SIGSEGV);
    pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
  }
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

// What would have happened without us.
void PassOn(int signal, siginfo_t* info, ucontext_t* context) {
  if (HasHandler(previous)) {
    CallPrevious(signal, info, context);
    return;
  }
  ErrnoSaver errno_saver;
  // The kernel ends the program for a fault even if it ignores the signal.
  const bool is_fault = info->si_code > 0;
  if (!is_fault && previous.sa_handler == SIG_IGN) return;
  SetDefaultAction();
  // A fault comes again with its instruction; a signal that was sent does not,
  // and waits until this one returns.
  if (!is_fault) raise(signal);
}

void Handle(int signal, siginfo_t* info, void* context);

bool IsOurs(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == Handle;
}

// False if the program has installed another action meanwhile.
bool PutPreviousBack() {
  struct sigaction now;
  return sigaction(SIGSEGV, nullptr, &now) == 0 && IsOurs(now) &&
         sigaction(SIGSEGV, &previous, nullptr) == 0;
}

void Handle(int signal, siginfo_t* info, void* context) {
  ucontext_t* const user_context = static_cast<ucontext_t*>(context);
  const size_t size = watcher.size.load(std::memory_order_acquire);
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (!IsAccess(info) || address - watcher.start >= size) {
    PassOn(signal, info, user_context);
    return;
  }
  {
    ErrnoSaver errno_saver;
    const Fault fault = {address, Pc(user_context), AccessOf(user_context)};
    watcher.on_fault(fault, watcher.context);
    // The access happens again and meets the action that was put back.
    if (PutPreviousBack()) return;
  }
  // We were called by the program's handler, which stays.
  PassOn(signal, info, user_context);
}

}  // namespace

bool WatchFaults(uintptr_t start, size_t size,
                 void (*on_fault)(const Fault& fault, void* context),
                 void* context) {
  ErrnoSaver errno_saver;
  watcher.size.store(0, std::memory_order_release);
  watcher.start = start;
  watcher.on_fault = on_fault;
  watcher.context = context;
  watcher.size.store(size, std::memory_order_release);
  if (installed) return true;
  struct sigaction action = {};
  action.sa_sigaction = Handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  // The previous action has to be known when the first signal comes.
  installed = sigaction(SIGSEGV, nullptr, &previous) == 0;
  if (installed) {
    action.sa_flags |= previous.sa_flags & SA_RESTART;
    installed = sigaction(SIGSEGV, &action, nullptr) == 0;
  }
  if (!installed) watcher.size.store(0, std::memory_order_release);
  return installed;
}

void StopWatchingFaults() {
  ErrnoSaver errno_saver;
  watcher.size.store(0, std::memory_order_release);
  if (installed && PutPreviousBack()) installed = false;
}

}  // namespace spanmalloc
