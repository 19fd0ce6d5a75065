// What other threads do between the two look-ups. The rest is tested with the
// tables of stacks and of labels.

#include "allocator/profile/intern_table.h"

#include <gtest/gtest.h>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

struct Number {
  const Number* next;
  uint64_t hash;
  int number;
};

class InternTableTest : public testing::Test {
 protected:
  // All have the same hash. `meanwhile` is called in each comparison.
  template <typename Function>
  const Number* Intern(int number, Function meanwhile) {
    return table_.Intern(
        7, sizeof(Number),
        [&](const Number* other) {
          meanwhile();
          return other->number == number;
        },
        [&](Number* added) { added->number = number; });
  }
  const Number* Intern(int number) {
    return Intern(number, [] {});
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  InternTable<Number, 512> table_{&arena_, SIZE_MAX};
};

TEST_F(InternTableTest, AddedByAnotherAfterTheFirstLook) {
  ASSERT_NE(Intern(1), nullptr);
  const Number* theirs = nullptr;
  bool is_first = true;
  const Number* const mine = Intern(2, [&] {
    if (!is_first) return;
    is_first = false;
    theirs = Intern(2);  // Another thread, so to speak.
  });
  EXPECT_NE(mine, nullptr);
  EXPECT_EQ(mine, theirs);
  EXPECT_EQ(table_.count(), 2u);
  table_.CheckInvariants(
      [](const Number*) { return sizeof(Number); },
      [](const Number* a, const Number* b) { return a->number == b->number; });
}

TEST_F(InternTableTest, OneHashForAll) {
  for (int times = 0; times < 2; ++times) {
    for (int i = 0; i < 100; ++i) ASSERT_EQ(Intern(i)->number, i);
  }
  EXPECT_EQ(table_.count(), 100u);
  EXPECT_EQ(Intern(5), Intern(5));
}

}  // namespace
}  // namespace spanmalloc
