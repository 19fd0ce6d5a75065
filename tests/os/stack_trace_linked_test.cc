// The walk in programs that are linked in different ways: where the tables are
// found depends on it.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <cstring>

#include "allocator/os/stack_trace.h"

namespace spanmalloc {
namespace {

constexpr size_t kMost = 64;

struct Trace {
  void* frames[kMost];
  size_t count = 0;
};

Trace the_trace;

void Capture() {
  the_trace.count = CaptureStackTrace(the_trace.frames, kMost, 0);
}

// Whether a trace ends as another does, but for the call that made it.
bool EndsAs(const Trace& inner, const Trace& outer) {
  return inner.count > outer.count &&
         memcmp(inner.frames + inner.count - outer.count + 1, outer.frames + 1,
                (outer.count - 1) * sizeof(void*)) == 0;
}

class StackTraceLinkedTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if !defined(__x86_64__) && !defined(__aarch64__)
    GTEST_SKIP() << "there is no walk on this architecture";
#endif
  }
};

// To main and what calls it.
TEST_F(StackTraceLinkedTest, ThroughTheCLibrary) {
  Capture();
  const Trace here = the_trace;
  ASSERT_GT(here.count, 5u);
  int numbers[] = {2, 1};
  qsort(numbers, 2, sizeof(int), [](const void* a, const void* b) {
    Capture();
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  });
  EXPECT_TRUE(EndsAs(the_trace, here));
}

TEST_F(StackTraceLinkedTest, ThroughASignalHandler) {
  Capture();
  const Trace here = the_trace;
  ASSERT_NE(signal(SIGUSR1, [](int) { Capture(); }), SIG_ERR);
  ASSERT_EQ(raise(SIGUSR1), 0);
  EXPECT_TRUE(EndsAs(the_trace, here));
}

}  // namespace
}  // namespace spanmalloc
