// Assertions: which tier looks at which build's level.

#include "allocator/base/check.h"

#include <gtest/gtest.h>

namespace spanmalloc {
namespace {

int evaluations = 0;

bool Evaluate(bool value) {
  ++evaluations;
  return value;
}

TEST(CheckTest, HoldsSilently) {
  evaluations = 0;
  SPANMALLOC_CHECK(Evaluate(true));
  EXPECT_EQ(evaluations, 1);
}

TEST(CheckTest, TiersAreEvaluatedFromTheirLevelOn) {
  evaluations = 0;
  SPANMALLOC_ASSERT(Evaluate(true));
  EXPECT_EQ(evaluations, kAssertLevel >= 1 ? 1 : 0);
  evaluations = 0;
  SPANMALLOC_EXPENSIVE(Evaluate(true));
  EXPECT_EQ(evaluations, kAssertLevel >= 2 ? 1 : 0);
}

TEST(CheckTest, IsAnExpression) {
  const auto half = [](int x) { return SPANMALLOC_CHECK(x % 2 == 0), x / 2; };
  EXPECT_EQ(half(4), 2);
}

TEST(CheckDeathTest, NamesTheConditionAndThePlace) {
  const int one = 1;
  EXPECT_EXIT(
      SPANMALLOC_CHECK(one == 2), testing::KilledBySignal(SIGABRT),
      "^spanmalloc: check failed: one == 2 at .*check_test\\.cc:[0-9]+\n");
}

TEST(CheckDeathTest, AssertDiesFromLevelOne) {
  if (kAssertLevel < 1) {
    SPANMALLOC_ASSERT(false);
    return;
  }
  EXPECT_DEATH(SPANMALLOC_ASSERT(false), "check failed: false");
}

TEST(CheckDeathTest, ExpensiveDiesFromLevelTwo) {
  if (kAssertLevel < 2) {
    SPANMALLOC_EXPENSIVE(false);
    return;
  }
  EXPECT_DEATH(SPANMALLOC_EXPENSIVE(false), "check failed: false");
}

}  // namespace
}  // namespace spanmalloc
