// LinkedList against a deque.

#include "allocator/base/linked_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

namespace spanmalloc {
namespace {

struct Node {
  Node* next = nullptr;
  Node* prev = nullptr;
  Node* other_next = nullptr;
  Node* other_prev = nullptr;
};

using List = LinkedList<Node>;
using OtherList = LinkedList<Node, &Node::other_next, &Node::other_prev>;

template <typename L>
std::deque<Node*> Contents(const L& list) {
  std::deque<Node*> nodes;
  for (Node* n = list.first(); n != nullptr; n = L::Next(n)) nodes.push_back(n);
  EXPECT_EQ(list.size(), nodes.size());
  EXPECT_EQ(list.empty(), nodes.empty());
  return nodes;
}

TEST(LinkedListTest, PushesAtBothEnds) {
  Node a, b, c;
  List list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.PopFront(), nullptr);
  list.PushBack(&b);
  list.PushFront(&a);
  list.PushBack(&c);
  EXPECT_EQ(Contents(list), (std::deque<Node*>{&a, &b, &c}));
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_EQ(Contents(list), (std::deque<Node*>{&b, &c}));
}

TEST(LinkedListTest, RemovesFirstMiddleLastAndOnly) {
  Node nodes[4];
  List list;
  for (Node& node : nodes) list.PushBack(&node);
  list.Remove(&nodes[1]);
  EXPECT_EQ(Contents(list),
            (std::deque<Node*>{&nodes[0], &nodes[2], &nodes[3]}));
  list.Remove(&nodes[3]);
  list.Remove(&nodes[0]);
  EXPECT_EQ(Contents(list), std::deque<Node*>{&nodes[2]});
  list.Remove(&nodes[2]);
  EXPECT_TRUE(list.empty());
  list.PushBack(&nodes[3]);  // An emptied list is as good as a new one.
  EXPECT_EQ(Contents(list), std::deque<Node*>{&nodes[3]});
}

TEST(LinkedListTest, PushByAddressPutsTheLowestFirst) {
  Node nodes[4];
  List list;
  for (size_t i : {2, 3, 0, 1}) list.PushByAddress(&nodes[i]);
  EXPECT_EQ(Contents(list),
            (std::deque<Node*>{&nodes[0], &nodes[2], &nodes[3], &nodes[1]}));
}

TEST(LinkedListTest, TwoListsThroughDifferentLinks) {
  Node a, b;
  List list;
  OtherList other;
  list.PushBack(&a);
  list.PushBack(&b);
  other.PushBack(&b);
  other.PushBack(&a);
  EXPECT_EQ(Contents(list), (std::deque<Node*>{&a, &b}));
  EXPECT_EQ(Contents(other), (std::deque<Node*>{&b, &a}));
  list.Remove(&a);
  EXPECT_EQ(Contents(other), (std::deque<Node*>{&b, &a}));
}

TEST(LinkedListTest, RandomSteps) {
  std::mt19937 random(2);
  std::vector<Node> nodes(20);
  std::vector<Node*> outside;
  for (Node& node : nodes) outside.push_back(&node);
  std::deque<Node*> model;
  List list;
  for (int step = 0; step < 5000; ++step) {
    const bool add = model.empty() || (!outside.empty() && random() % 2 == 0);
    if (add) {
      Node* const node = outside[random() % outside.size()];
      outside.erase(std::find(outside.begin(), outside.end(), node));
      const auto how = random() % 3;
      const bool front =
          how == 0 || (how == 2 && (model.empty() || node < model.front()));
      if (front) {
        model.push_front(node);
      } else {
        model.push_back(node);
      }
      if (how == 0) list.PushFront(node);
      if (how == 1) list.PushBack(node);
      if (how == 2) list.PushByAddress(node);
    } else {
      Node* node = model[random() % model.size()];
      if (random() % 4 == 0) {
        node = model.front();
        ASSERT_EQ(list.PopFront(), node);
      } else {
        list.Remove(node);
      }
      model.erase(std::find(model.begin(), model.end(), node));
      outside.push_back(node);
    }
    ASSERT_EQ(Contents(list), model) << "step " << step;
  }
}

TEST(LinkedListDeathTest, RemovesOnlyMembers) {
  if (kAssertLevel == 0) GTEST_SKIP() << "no assertions in this build";
  Node a, b;
  List list;
  list.PushBack(&a);
  EXPECT_DEATH(list.Remove(&b), "check failed");
}

}  // namespace
}  // namespace spanmalloc
