// Programs that put themselves under seccomp filters, in children.

#include "allocator/os/sandbox.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <thread>

#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

bool AllowAll() { return Filter({}, 0); }

// InChild, and a skip where the child says so.
#define EXPECT_CHILD(...)                                                   \
  do {                                                                      \
    const int status = InChild(__VA_ARGS__);                                \
    if (status == kChildSkips) GTEST_SKIP() << "no seccomp, or an old one"; \
    EXPECT_EQ(status, 0);                                                   \
  } while (false)

TEST(SandboxTest, NothingChanges) {
  SandboxWatch watch;
  errno = EXDEV;
  EXPECT_TRUE(watch.Changed()) << "before Start nothing is known";
  watch.Start();
  if (SeccompMode() != 0) GTEST_SKIP() << "a filter is there already";
  EXPECT_FALSE(watch.Changed());
  EXPECT_EQ(errno, EXDEV);
}

TEST(SandboxTest, AFilterIsNoticed) {
  EXPECT_CHILD([] {
    SandboxWatch watch;
    watch.Start();
    if (SeccompMode() == 0 && watch.Changed()) return 1;
    if (!AllowAll()) return kChildSkips;
    errno = EXDEV;
    if (SeccompMode() != 2) return 2;
    if (!watch.Changed()) return 3;
    return errno == EXDEV ? 0 : 4;
  });
}

// As in a container, whose filter is there from the start.
TEST(SandboxTest, ASecondFilterIsNoticed) {
  EXPECT_CHILD([] {
    if (!AllowAll()) return kChildSkips;
    SandboxWatch watch;
    watch.Start();
    errno = EXDEV;
    if (watch.Changed()) return kChildSkips;  // Linux before 5.9.
    if (errno != EXDEV) return 1;
    if (!AllowAll()) return 2;
    return watch.Changed() ? 0 : 3;
  });
}

TEST(SandboxTest, AFilterThatHidesTheNumberIsNoticed) {
  EXPECT_CHILD([] {
    if (!AllowAll()) return kChildSkips;
    SandboxWatch watch;
    watch.Start();
    if (!Deny({SYS_openat}, EACCES)) return 1;
    errno = EXDEV;
    if (!watch.Changed()) return 2;
    return errno == EXDEV ? 0 : 3;
  });
}

TEST(SandboxTest, WithoutTheNumberNothingIsKnown) {
  EXPECT_CHILD([] {
    if (!Deny({SYS_openat}, EACCES)) return kChildSkips;
    SandboxWatch watch;
    watch.Start();
    return watch.Changed() ? 0 : 1;
  });
}

TEST(SandboxTest, AnAnswerThatIsDeniedIsNoAnswer) {
  EXPECT_CHILD([] {
    SandboxWatch before, after;
    before.Start();
    if (!Deny({SYS_prctl}, EPERM)) return kChildSkips;
    after.Start();
    errno = EXDEV;
    if (SeccompMode() != -1) return 1;
    if (!before.Changed()) return 2;
    if (!after.Changed()) return 3;
    return errno == EXDEV ? 0 : 4;
  });
}

TEST(SandboxTest, AKernelWithoutSeccompHasNoFilter) {
  EXPECT_CHILD([] {
    if (SeccompMode() != 0) return kChildSkips;
    if (!Deny({SYS_prctl}, EINVAL)) return kChildSkips;
    SandboxWatch watch;
    watch.Start();
    return watch.Changed() ? 1 : 0;
  });
}

TEST(SandboxTest, AFilterOfAnotherThreadIsItsOwn) {
  EXPECT_CHILD([] {
    static SandboxWatch watch;
    watch.Start();
    if (watch.Changed()) return kChildSkips;
    static int result;
    std::thread([] {
      result = !AllowAll() ? kChildSkips : watch.Changed() ? 0 : 1;
    }).join();
    if (result != 0) return result;
    return watch.Changed() ? 2 : 0;
  });
}

// Where filters are there from the start their number is the thread's, too.
TEST(SandboxTest, ASecondFilterOfAnotherThreadIsItsOwn) {
  EXPECT_CHILD([] {
    if (!AllowAll()) return kChildSkips;
    static SandboxWatch watch;
    watch.Start();
    if (watch.Changed()) return kChildSkips;
    static int result;
    std::thread([] {
      result = !AllowAll() ? kChildSkips : watch.Changed() ? 0 : 1;
    }).join();
    if (result != 0) return result;
    return watch.Changed() ? 2 : 0;
  });
}

TEST(SandboxTest, ParsesTheNumber) {
  EXPECT_EQ(ParseSeccompFilters("Name:\ta\nSeccomp:\t2\nSeccomp_filters:\t3\n"
                                "Speculation_Store_Bypass:\tx\n"),
            3u);
  EXPECT_EQ(ParseSeccompFilters("Name:\ta\nSeccomp:\t0\nSeccomp_filters:\t0\n"),
            0u);
  for (const char* text :
       {"", "Name:\ta\nSeccomp:\t2\n", "Seccomp_filters:\t3\n",
        "Name:\tSeccomp_filters:\t3\n", "Name:\ta\nSeccomp_filters:\t\n",
        "Name:\ta\nSeccomp_filters:"}) {
    EXPECT_EQ(ParseSeccompFilters(text), UINT64_MAX) << text;
  }
}

}  // namespace
}  // namespace spanmalloc
