// What a background thread looks like from within and from outside.

#include "allocator/os/background_thread.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "allocator/base/annotations.h"
#include "allocator/os/process_info.h"
#include "allocator/os/small_file.h"
#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

SPANMALLOC_CONSTINIT BackgroundThread thread;

// Thread-local variables that alone would fill most of a stack of kStackSize.
constexpr size_t kTlsSize = 48 << 10;
__thread char thread_locals[kTlsSize];

// What the thread saw. Nothing in it allocates: the system's malloc maps much
// for a new thread.
struct Report {
  std::atomic<bool> done{false};
  pid_t id = 0;
  void* argument = nullptr;
  char name[32] = {};
  char status[4096] = {};
  uint64_t virtual_bytes = 0;
};
Report* report = nullptr;

void FillReport(void* argument) {
  report->argument = argument;
  report->id = static_cast<pid_t>(syscall(SYS_gettid));
  ReadSmallFile("/proc/thread-self/comm", report->name, sizeof(report->name));
  ReadSmallFile("/proc/thread-self/status", report->status,
                sizeof(report->status));
  report->virtual_bytes = ReadProcessInfo().virtual_bytes.value;
  report->done = true;
}

void FillStack(void* argument) {
  // All that it may use, and all of the thread-local variables.
  volatile char stack[BackgroundThread::kStackSize - 4096];
  for (size_t i = 0; i < sizeof(stack); i += 1024) stack[i] = 1;
  memset(thread_locals, 1, sizeof(thread_locals));
  for (size_t i = 0; i < sizeof(stack); i += 1024) {
    if (stack[i] != 1) return;
  }
  FillReport(argument);
}

class BackgroundThreadTest : public testing::Test {
 protected:
  BackgroundThreadTest() { report = new Report; }
  ~BackgroundThreadTest() override { delete report; }

  static void Await() {
    while (!report->done) sched_yield();
    AwaitEnd();
  }
  // A detached thread is gone when its task is.
  static void AwaitEnd() {
    while (syscall(SYS_tgkill, getpid(), report->id, 0) == 0) sched_yield();
  }
  static uint64_t Blocked() {
    const char* const line = strstr(report->status, "\nSigBlk:");
    return line != nullptr ? strtoull(line + 8, nullptr, 16) : 0;
  }
};

constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }

TEST_F(BackgroundThreadTest, CallsWithTheArgument) {
  errno = EXDEV;
  int argument = 0;
  ASSERT_TRUE(thread.Start(FillReport, &argument, "name"));
  EXPECT_EQ(errno, EXDEV);
  Await();
  EXPECT_EQ(report->argument, &argument);
  EXPECT_NE(report->id, getpid());
  EXPECT_STREQ(report->name, "name\n");
}

TEST_F(BackgroundThreadTest, LongNamesAreCut) {
  ASSERT_TRUE(thread.Start(FillReport, nullptr, "fifteen_letters_and_more"));
  Await();
  EXPECT_EQ(std::string(report->name),
            std::string("fifteen_letters_and_more")
                    .substr(0, BackgroundThread::kMaxName) +
                "\n");
}

TEST_F(BackgroundThreadTest, BlocksAllSignalsButItsOwnFaults) {
  sigset_t before, after;
  sigemptyset(&before);
  sigaddset(&before, SIGUSR2);
  sigaddset(&before, SIGSEGV);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(thread.Start(FillReport, nullptr, "name"));
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal))
        << "the caller's own " << signal;
  }
  sigemptyset(&before);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  Await();
  if (Blocked() == 0) GTEST_SKIP() << "no /proc";
  const uint64_t own = Bit(SIGSEGV) | Bit(SIGBUS) | Bit(SIGILL) | Bit(SIGFPE) |
                       Bit(SIGTRAP) | Bit(SIGSYS);
  EXPECT_EQ(Blocked() & own, 0u);
  // Those below SIGRTMIN that have no names are the C library's.
  uint64_t others = 0;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (signal <= SIGSYS || signal >= SIGRTMIN) others |= Bit(signal);
  }
  others &= ~(own | Bit(SIGKILL) | Bit(SIGSTOP));
  EXPECT_EQ(Blocked() & others, others);
}

TEST_F(BackgroundThreadTest, HasItsStackBesideThreadLocals) {
  ASSERT_TRUE(thread.Start(FillStack, nullptr, "name"));
  Await();
}

TEST_F(BackgroundThreadTest, CostsLittleAddressSpace) {
  const uint64_t before = ReadProcessInfo().virtual_bytes.value;
  ASSERT_TRUE(thread.Start(FillReport, nullptr, "name"));
  Await();
  if (before == 0) GTEST_SKIP() << "no /proc";
#if defined(__SANITIZE_ADDRESS__) || defined(SPANMALLOC_TSAN)
  GTEST_SKIP() << "a sanitizer maps much for each thread";
#else
  constexpr size_t kOthers = 64 << 10;
  EXPECT_LE(report->virtual_bytes - before,
            BackgroundThread::kStackSize + kTlsSize + kOthers);
#endif
}

TEST_F(BackgroundThreadTest, OneAfterTheOther) {
  for (int i = 0; i < 100; ++i) {
    report->done = false;
    ASSERT_TRUE(thread.Start(FillReport, nullptr, "name"));
    Await();
  }
}

TEST_F(BackgroundThreadTest, AChildStartsItsOwn) {
  ASSERT_TRUE(thread.Start(FillReport, nullptr, "parent"));
  Await();
  EXPECT_EQ(InChild([] {
              report->done = false;
              if (!thread.Start(FillReport, nullptr, "child")) return 1;
              Await();
              return strcmp(report->name, "child\n") == 0 ? 0 : 2;
            }),
            0);
}

// Start must fail now, and leave no trace.
int ExpectRefusal() {
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  errno = EXDEV;
  if (thread.Start(FillReport, nullptr, "name")) return 1;
  if (errno != EXDEV) return 2;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  return sigismember(&after, SIGUSR1) == sigismember(&before, SIGUSR1) ? 0 : 3;
}

TEST_F(BackgroundThreadTest, TooManyThreads) {
  const int status = InChild([] {
    // The limit does not bind root.
    constexpr uid_t kNobody = 65534;
    if (geteuid() == 0 && setresuid(kNobody, kNobody, kNobody) != 0) {
      return kChildSkips;
    }
    rlimit limit;
    if (getrlimit(RLIMIT_NPROC, &limit) != 0) return kChildSkips;
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1;
    if (setrlimit(RLIMIT_NPROC, &limit) != 0) return kChildSkips;
    const int refused = ExpectRefusal();
    if (refused != 0) return refused;
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NPROC, &limit);
    if (!thread.Start(FillReport, nullptr, "name")) return 4;
    while (!report->done) sched_yield();
    return 0;
  });
  if (status == kChildSkips) GTEST_SKIP() << "the limit cannot be set";
  EXPECT_EQ(status, 0);
}

TEST_F(BackgroundThreadTest, ThreadsDenied) {
  for (const int error : {EAGAIN, EPERM}) {
    const int status = InChild([error] {
      if (!Deny({SYS_clone, SYS_clone3}, error)) return kChildSkips;
      return ExpectRefusal();
    });
    if (status == kChildSkips) GTEST_SKIP() << "no seccomp filters";
    EXPECT_EQ(status, 0);
  }
}

// The user may have the C library set aside so much of each stack that the
// small one is refused.
TEST_F(BackgroundThreadTest, AnyAmountOfStaticThreadLocalStorage) {
  for (const char* bytes : {"16384", "1000000"}) {
    const int status = InChild([bytes] {
      const std::string tunable =
          std::string("glibc.rtld.optional_static_tls=") + bytes;
      setenv("GLIBC_TUNABLES", tunable.c_str(), 1);
      execl("/proc/self/exe", "background_thread_test",
            "--gtest_filter=*HasItsStackBesideThreadLocals", nullptr);
      return 1;
    });
    EXPECT_EQ(status, 0) << bytes;
  }
}

}  // namespace
}  // namespace spanmalloc
