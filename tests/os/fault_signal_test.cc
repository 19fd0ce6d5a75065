// Who sees which fault, and what the program dies of.

#include "allocator/os/fault_signal.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "allocator/base/unlocked.h"
#include "tests/support/crash.h"
#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

constexpr size_t kSize = 64 << 10;

// Three ranges that nobody may touch; the one in the middle is watched.
char* range = nullptr;
char* watched() { return range + kSize; }
char* unwatched(int side) {
  return side < 0 ? watched() - 1 : range + 2 * kSize;
}

void Say(const char* text) {
  const ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
  static_cast<void>(ignored);
}

// What a compiler does not look into. It has one load, and one store.
__attribute__((noinline)) int Read(const volatile char* p) { return *p; }
__attribute__((noinline)) void Write(volatile char* p) { *p = 1; }

bool IsIn(uintptr_t pc, void* function) {
  return pc - reinterpret_cast<uintptr_t>(function) < 256;
}

void SayFault(const Fault& fault, void* context) {
  static const char* const kNames[] = {"unknown", "read", "write", "execute"};
  char text[100];
  snprintf(text, sizeof(text), "%s %s at %zd\n",
           static_cast<const char*>(context),
           kNames[static_cast<int>(fault.access)],
           reinterpret_cast<char*>(fault.address) - watched());
  Say(text);
  errno = 77;
}

char name[] = "watcher:";

void Prepare() {
  range = static_cast<char*>(
      mmap(nullptr, 3 * kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

void Watch() {
  if (!WatchFaults(reinterpret_cast<uintptr_t>(watched()), kSize, SayFault,
                   name)) {
    Say("no watch\n");
  }
}

void Handle(int, siginfo_t* info, void*) {
  char text[100];
  snprintf(text, sizeof(text), "program: %zd\n",
           static_cast<char*>(info->si_addr) - watched());
  Say(text);
  _exit(42);
}

void HandlePlainly(int number) {
  Say(number == SIGSEGV ? "program: plainly\n" : "another signal\n");
  _exit(42);
}

void Install(void (*handler)(int, siginfo_t*, void*), int flags = 0) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(SIGSEGV, &action, nullptr);
}

using Lines = std::vector<std::string>;

TEST(FaultSignalTest, TellsTheWatcherAndDiesOfTheSignal) {
  for (const size_t offset : {size_t{0}, size_t{1000}, kSize - 1}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      Watch();
      return Read(watched() + offset);
    });
    EXPECT_EQ(crash.signal, SIGSEGV);
    EXPECT_EQ(crash.lines, Lines{"watcher: read at " + std::to_string(offset)});
  }
}

TEST(FaultSignalTest, KnowsWritesAndExecution) {
  Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    Write(watched() + 8);
    return 0;
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"watcher: write at 8"});
  crash = InCrashingChild([] {
    Prepare();
    Watch();
    mprotect(watched(), kSize, PROT_READ | PROT_WRITE);
    reinterpret_cast<void (*)()>(watched() + 16)();
    return 0;
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"watcher: execute at 16"});
}

TEST(FaultSignalTest, KnowsTheInstruction) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    WatchFaults(
        reinterpret_cast<uintptr_t>(watched()), kSize,
        [](const Fault& fault, void*) {
          Say(IsIn(fault.pc, reinterpret_cast<void*>(Read)) ? "there\n"
                                                            : "elsewhere\n");
        },
        nullptr);
    return Read(watched());
  });
  EXPECT_EQ(crash.lines, Lines{"there"});
}

TEST(FaultSignalTest, OtherFaultsTakeTheDefaultAction) {
  for (const int side : {-1, 1}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      Watch();
      return Read(unwatched(side));
    });
    EXPECT_EQ(crash.signal, SIGSEGV);
    EXPECT_EQ(crash.lines, Lines());
  }
}

// No address comes with this one: it is no page fault.
TEST(FaultSignalTest, NonCanonicalAddresses) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    return Read(reinterpret_cast<char*>(uintptr_t{1} << 62));
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines());
}

TEST(FaultSignalTest, IgnoredFaultsKillAllTheSame) {
  for (const bool is_watched : {false, true}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      signal(SIGSEGV, SIG_IGN);
      Watch();
      return Read(is_watched ? watched() : unwatched(1));
    });
    EXPECT_EQ(crash.signal, SIGSEGV);
    EXPECT_EQ(crash.lines.size(), is_watched ? 1u : 0u);
  }
}

TEST(FaultSignalTest, SignalsThatWereSent) {
  Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    kill(getpid(), SIGSEGV);
    return 1;
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines());
  crash = InCrashingChild([] {
    Prepare();
    signal(SIGSEGV, SIG_IGN);
    Watch();
    kill(getpid(), SIGSEGV);
    // Still ignored, and still watched.
    return Read(watched());
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"watcher: read at 0"});
}

// The fields of a signal that was sent lie where a fault has its address: the
// number of the process and that of the user.
TEST(FaultSignalTest, TheSenderIsNoAddress) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    WatchFaults(0, SIZE_MAX, SayFault, name);
    kill(getpid(), SIGSEGV);
    return 1;
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines());
}

TEST(FaultSignalTest, AnEarlierHandlerOfTheProgram) {
  for (const int offset : {-1, 100, static_cast<int>(kSize)}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      Install(Handle);
      Watch();
      return Read(watched() + offset);
    });
    EXPECT_EQ(crash.status, 42);
    Lines lines;
    if (offset == 100) lines.push_back("watcher: read at 100");
    lines.push_back("program: " + std::to_string(offset));
    EXPECT_EQ(crash.lines, lines);
  }
}

TEST(FaultSignalTest, AnEarlierHandlerWithoutInformation) {
  for (const int offset : {-1, 100}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      signal(SIGSEGV, HandlePlainly);
      Watch();
      return Read(watched() + offset);
    });
    EXPECT_EQ(crash.status, 42);
    EXPECT_EQ(crash.lines.back(), "program: plainly");
    EXPECT_EQ(crash.lines.size(), offset < 0 ? 1u : 2u);
  }
}

sigset_t mask_in_handler;
sigjmp_buf back;

// Programs that recover from faults leave their handler this way.
TEST(FaultSignalTest, AnEarlierHandlerThatJumpsOut) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Install([](int, siginfo_t*, void*) { siglongjmp(back, 1); });
    Watch();
    volatile int jumps = 0;
    for (volatile int i = 0; i < 3; ++i) {
      if (sigsetjmp(back, 1) == 0) {
        Read(unwatched(1));
      } else {
        jumps = jumps + 1;
      }
    }
    if (jumps == 3) Say("three\n");
    if (sigsetjmp(back, 1) == 0) Read(watched());
    // From now on the program is alone.
    if (sigsetjmp(back, 1) == 0) Read(watched());
    return 5;
  });
  EXPECT_EQ(crash.status, 5);
  EXPECT_EQ(crash.lines, (Lines{"three", "watcher: read at 0"}));
}

// The mask in a handler is what it would be without us.
TEST(FaultSignalTest, MaskOfAnEarlierHandler) {
  if (kThreadSanitizer) GTEST_SKIP() << "it has masks of its own";
  for (const int flags : {0, SA_NODEFER}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      struct sigaction action = {};
      action.sa_sigaction = [](int, siginfo_t*, void*) {
        pthread_sigmask(SIG_SETMASK, nullptr, &mask_in_handler);
        siglongjmp(back, 1);
      };
      action.sa_flags = SA_SIGINFO | flags;
      sigaddset(&action.sa_mask, SIGUSR1);
      sigaction(SIGSEGV, &action, nullptr);
      Watch();
      if (sigsetjmp(back, 1) == 0) Read(unwatched(1));
      sigset_t after;
      pthread_sigmask(SIG_SETMASK, nullptr, &after);
      return sigismember(&mask_in_handler, SIGUSR1) +
             2 * sigismember(&mask_in_handler, SIGUSR2) +
             4 * sigismember(&mask_in_handler, SIGSEGV) +
             8 * sigismember(&after, SIGUSR1) +
             16 * sigismember(&after, SIGSEGV);
    });
    EXPECT_EQ(crash.status, flags == 0 ? 5 : 1);
  }
}

TEST(FaultSignalTest, AnEarlierHandlerForOneSignalOnly) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Install(
        [](int, siginfo_t*, void*) {
          Say("once\n");
          siglongjmp(back, 1);
        },
        static_cast<int>(SA_RESETHAND));
    Watch();
    if (sigsetjmp(back, 1) == 0) Read(unwatched(1));
    return Read(unwatched(1));
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"once"});
}

TEST(FaultSignalTest, ALaterHandlerOfTheProgram) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    Install(Handle);
    return Read(watched() + 3);
  });
  EXPECT_EQ(crash.status, 42);
  EXPECT_EQ(crash.lines, Lines{"program: 3"});
}

struct sigaction ours;

// It passes on what it does not know, as it should.
TEST(FaultSignalTest, ALaterHandlerThatCallsOurs) {
  for (const int offset : {-1, 3}) {
    const Crash crash = InCrashingChild([&] {
      Prepare();
      Watch();
      sigaction(SIGSEGV, nullptr, &ours);
      Install([](int number, siginfo_t* info, void* context) {
        Say("later\n");
        ours.sa_sigaction(number, info, context);
      });
      return Read(watched() + offset);
    });
    EXPECT_EQ(crash.signal, SIGSEGV);
    Lines lines{"later"};
    if (offset == 3) lines.push_back("watcher: read at 3");
    EXPECT_EQ(crash.lines, lines);
  }
}

TEST(FaultSignalTest, HandlersBeforeAndAfterOurs) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Install(Handle);
    Watch();
    sigaction(SIGSEGV, nullptr, &ours);
    Install([](int number, siginfo_t* info, void* context) {
      Say("later\n");
      ours.sa_sigaction(number, info, context);
    });
    return Read(watched() + 3);
  });
  EXPECT_EQ(crash.status, 42);
  EXPECT_EQ(crash.lines, (Lines{"later", "watcher: read at 3", "program: 3"}));
}

alignas(16) char signal_stack[64 << 10];

TEST(FaultSignalTest, RunsOnTheSignalStack) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    const stack_t stack = {signal_stack, 0, sizeof(signal_stack)};
    sigaltstack(&stack, nullptr);
    WatchFaults(
        reinterpret_cast<uintptr_t>(watched()), kSize,
        [](const Fault&, void*) {
          char local;
          asm volatile("" : : "r"(&local));
          Say(reinterpret_cast<uintptr_t>(&local) -
                          reinterpret_cast<uintptr_t>(signal_stack) <
                      sizeof(signal_stack)
                  ? "signal stack\n"
                  : "another stack\n");
        },
        nullptr);
    return Read(watched());
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"signal stack"});
}

TEST(FaultSignalTest, KeepsErrno) {
  if (kThreadSanitizer) GTEST_SKIP() << "it sets errno in between";
  const Crash crash = InCrashingChild([] {
    Prepare();
    Install([](int, siginfo_t*, void*) { _exit(errno == EXDEV ? 3 : 4); });
    errno = EXDEV;
    Watch();
    return Read(watched());
  });
  EXPECT_EQ(crash.status, 3);
}

TEST(FaultSignalTest, OfAnyThread) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    std::thread([] { Read(watched() + 5); }).join();
    return 1;
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"watcher: read at 5"});
}

TEST(FaultSignalTest, AnotherRange) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    static char other[] = "other:";
    WatchFaults(reinterpret_cast<uintptr_t>(range), kSize, SayFault, other);
    return Read(range);
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  EXPECT_EQ(crash.lines, Lines{"other: read at -" + std::to_string(kSize)});
}

TEST(FaultSignalTest, StopPutsThePreviousActionBack) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Install(Handle);
    Watch();
    StopWatchingFaults();
    StopWatchingFaults();
    sigaction(SIGSEGV, nullptr, &ours);
    if (ours.sa_sigaction != Handle) Say("not the one\n");
    return Read(watched());
  });
  EXPECT_EQ(crash.status, 42);
  EXPECT_EQ(crash.lines, Lines{"program: 0"});
}

TEST(FaultSignalTest, StopLeavesALaterHandler) {
  const Crash crash = InCrashingChild([] {
    Prepare();
    Watch();
    Install(Handle);
    StopWatchingFaults();
    return Read(watched() + 1);
  });
  EXPECT_EQ(crash.status, 42);
  EXPECT_EQ(crash.lines, Lines{"program: 1"});
}

TEST(FaultSignalTest, RefusedBySandbox) {
  const int status = InChild([] {
    Prepare();
    if (!Deny({SYS_rt_sigaction}, EPERM)) return kChildSkips;
    errno = EXDEV;
    const bool watches = WatchFaults(reinterpret_cast<uintptr_t>(watched()),
                                     kSize, SayFault, name);
    if (errno != EXDEV) return 3;
    return watches ? 1 : 2;
  });
  if (status == kChildSkips) GTEST_SKIP() << "no seccomp";
  EXPECT_EQ(status, 2);
}

}  // namespace
}  // namespace spanmalloc
