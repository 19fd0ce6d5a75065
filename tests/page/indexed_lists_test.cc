// Lists by key and the next key that has members.

#include "allocator/page/indexed_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "allocator/base/linked_list.h"

namespace spanmalloc {
namespace {

struct Node {
  Node* next = nullptr;
  Node* prev = nullptr;
};

constexpr size_t kKeys = 70;  // More than a word, less than two.
using Lists = IndexedLists<LinkedList<Node>, kKeys>;

TEST(IndexedListsTest, StartsEmpty) {
  Lists lists;
  for (size_t key = 0; key < kKeys; ++key) {
    EXPECT_EQ(lists.Next(key), Lists::kNone);
    EXPECT_TRUE(lists.list(key).empty());
  }
  EXPECT_GE(size_t{Lists::kNone}, kKeys);
  lists.CheckInvariants();
}

TEST(IndexedListsTest, NextIsTheSmallestKeyThatFits) {
  Node a, b, c;
  Lists lists;
  lists.Add(0, &a);
  lists.Add(63, &b);
  lists.Add(kKeys - 1, &c);
  struct {
    size_t from, expected;
  } const kCases[] = {
      {0, 0},
      {1, 63},
      {63, 63},
      {64, kKeys - 1},
      {kKeys - 1, kKeys - 1},
      {kKeys, Lists::kNone},
      {Lists::kNone, Lists::kNone},
  };
  for (const auto& x : kCases) EXPECT_EQ(lists.Next(x.from), x.expected);
  EXPECT_EQ(lists.list(63).first(), &b);
  lists.Remove(63, &b);
  EXPECT_EQ(lists.Next(1), kKeys - 1);
}

TEST(IndexedListsTest, AKeyStaysUntilItsLastMemberGoes) {
  Node a, b;
  Lists lists;
  lists.Add(5, &a);
  lists.Add(5, &b);
  lists.Remove(5, &a);
  EXPECT_EQ(lists.Next(0), 5u);
  lists.Remove(5, &b);
  EXPECT_EQ(lists.Next(0), Lists::kNone);
}

TEST(IndexedListsTest, RandomSteps) {
  constexpr size_t kOutside = SIZE_MAX;
  std::mt19937 random(5);
  std::vector<Node> nodes(40);
  std::vector<size_t> keys(nodes.size(), kOutside);
  Lists lists;
  for (int step = 0; step < 10000; ++step) {
    const size_t i = random() % nodes.size();
    if (keys[i] == kOutside) {
      keys[i] = random() % kKeys;
      lists.Add(keys[i], &nodes[i]);
    } else {
      lists.Remove(keys[i], &nodes[i]);
      keys[i] = kOutside;
    }
    lists.CheckInvariants();
    const size_t from = random() % kKeys;
    size_t expected = kOutside;
    for (size_t key : keys) {
      if (key >= from) expected = std::min(expected, key);
    }
    ASSERT_EQ(lists.Next(from), expected == kOutside ? Lists::kNone : expected);
    if (expected == kOutside) continue;
    ASSERT_EQ(
        lists.list(expected).size(),
        static_cast<size_t>(std::count(keys.begin(), keys.end(), expected)));
  }
}

}  // namespace
}  // namespace spanmalloc
