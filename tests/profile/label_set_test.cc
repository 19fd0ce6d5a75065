// Sets of labels: against a map, limits of text and number, failure, threads.

#include "allocator/profile/label_set.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

using Map = std::map<std::string, std::string>;

Map Read(const LabelSet* set) {
  Map map;
  LabelReader reader(set);
  std::string last;
  for (Label label; reader.Next(&label);) {
    const std::string key(label.key.start, label.key.bytes);
    EXPECT_LT(last, key);
    last = key;
    map[key] = std::string(label.value.start, label.value.bytes);
  }
  return map;
}

class LabelTableTest : public testing::Test {
 protected:
  const LabelSet* With(const LabelSet* parent, const std::string& key,
                       const std::string& value) {
    return table_.With(parent, Text{key.data(), key.size()},
                       Text{value.data(), value.size()});
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  LabelTable table_{&arena_};
};

TEST_F(LabelTableTest, EmptySet) {
  EXPECT_TRUE(Read(nullptr).empty());
  EXPECT_EQ(table_.With(nullptr, "", "x"), nullptr);
  EXPECT_EQ(table_.With(nullptr, "x", ""), nullptr);
  EXPECT_EQ(system_.calls(), 0u);
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, AddsReplacesAndTakesAway) {
  const LabelSet* const b = table_.With(nullptr, "b", "1");
  const LabelSet* const ab = table_.With(b, "a", "2");
  const LabelSet* const abc = table_.With(ab, "c", "3");
  EXPECT_EQ(Read(abc), (Map{{"a", "2"}, {"b", "1"}, {"c", "3"}}));
  EXPECT_EQ(Read(b), (Map{{"b", "1"}}));
  EXPECT_EQ(Read(table_.With(abc, "b", "x")),
            (Map{{"a", "2"}, {"b", "x"}, {"c", "3"}}));
  EXPECT_EQ(table_.With(abc, "c", ""), ab);
  EXPECT_EQ(table_.With(b, "b", ""), nullptr);
  EXPECT_EQ(table_.With(abc, "none", ""), abc);
  EXPECT_EQ(table_.With(abc, "", "x"), abc);
  // The order in which they come makes no difference, nor does a repetition.
  EXPECT_EQ(table_.With(table_.With(nullptr, "a", "2"), "b", "1"), ab);
  EXPECT_EQ(table_.With(ab, "a", "2"), ab);
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, KeysAndValuesDoNotRunTogether) {
  EXPECT_NE(table_.With(nullptr, "ab", "c"), table_.With(nullptr, "a", "bc"));
  EXPECT_EQ(Read(With(nullptr, std::string("a\0b", 3), "x")),
            (Map{{std::string("a\0b", 3), "x"}}));
  // A key that is the beginning of another one comes first.
  const LabelSet* const set =
      table_.With(table_.With(nullptr, "abc", "1"), "ab", "2");
  EXPECT_EQ(Read(set), (Map{{"ab", "2"}, {"abc", "1"}}));
}

TEST_F(LabelTableTest, CutsText) {
  const std::string key(100, 'k'), value(200, 'v');
  EXPECT_EQ(Read(With(nullptr, key, value)),
            (Map{{std::string(64, 'k'), std::string(128, 'v')}}));
  EXPECT_EQ(Read(With(nullptr, key.substr(0, 64), value.substr(0, 128))),
            (Map{{std::string(64, 'k'), std::string(128, 'v')}}));
  // Between characters: one of three bytes does not fit.
  const std::string euro = "\xe2\x82\xac";
  EXPECT_EQ(Read(With(nullptr, "x", value.substr(0, 126) + euro)),
            (Map{{"x", value.substr(0, 126)}}));
  EXPECT_EQ(Read(With(nullptr, "x", value.substr(0, 125) + euro + "z")),
            (Map{{"x", value.substr(0, 125) + euro}}));
  EXPECT_EQ(Read(With(nullptr, "x", std::string(300, '\x80'))),
            (Map{{"x", std::string(128, '\x80')}}));
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, AtMostSixteen) {
  const LabelSet* set = nullptr;
  Map expected;
  for (int i = 0; i < 16; ++i) {
    const std::string key = std::to_string(i * 7 % 16 + 10);
    set = With(set, key, "v");
    expected[key] = "v";
  }
  EXPECT_EQ(Read(set), expected);
  EXPECT_EQ(table_.lost(), 0u);
  EXPECT_EQ(With(set, "99", "v"), set);
  EXPECT_EQ(table_.lost(), 1u);
  expected["12"] = "w";
  set = With(set, "12", "w");
  EXPECT_EQ(Read(set), expected);
  set = With(With(set, "13", ""), "99", "v");
  expected.erase("13");
  expected["99"] = "v";
  EXPECT_EQ(Read(set), expected);
  EXPECT_EQ(table_.lost(), 1u);
}

TEST_F(LabelTableTest, TheLargestSet) {
  const LabelSet* set = nullptr;
  Map expected;
  for (char c = 'a'; c < 'a' + 16; ++c) {
    set = With(set, std::string(64, c), std::string(128, c));
    expected[std::string(64, c)] = std::string(128, c);
  }
  EXPECT_EQ(Read(set), expected);
  EXPECT_EQ(set->bytes(), 24u + 16 * 4 + 16 * 192);
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, RandomSetsAgainstAMap) {
  std::mt19937_64 random(1);
  std::map<Map, const LabelSet*> known = {{Map(), nullptr}};
  const LabelSet* set = nullptr;
  Map map;
  for (int i = 0; i < 20000; ++i) {
    const std::string key = std::string(random() % 3 + 1, 'a' + random() % 3);
    const std::string value(random() % 3, 'x' + random() % 2);
    set = With(set, key, value);
    if (value.empty()) {
      map.erase(key);
    } else {
      map[key] = value;
    }
    ASSERT_EQ(Read(set), map);
    ASSERT_EQ(known.emplace(map, set).first->second, set);
    if (random() % 20 == 0) {
      set = nullptr;
      map.clear();
    }
  }
  EXPECT_EQ(table_.sets(), known.size() - 1);
  EXPECT_GT(table_.sets(), LabelTable::kChains);
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, WithoutRoomTheSetStays) {
  const LabelSet* const a = table_.With(nullptr, "a", "1");
  table_.set_limit(table_.used_bytes() + 64);
  const LabelSet* const ab = table_.With(a, "b", "2");
  EXPECT_EQ(Read(ab), (Map{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(table_.With(ab, "c", "3"), ab);
  EXPECT_EQ(table_.With(nullptr, "c", "3"), nullptr);
  EXPECT_EQ(table_.lost(), 2u);
  EXPECT_EQ(table_.With(a, "b", "2"), ab);
  EXPECT_EQ(table_.lost(), 2u);
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, WithoutMemory) {
  system_.FailFrom(1);
  EXPECT_EQ(table_.With(nullptr, "a", "1"), nullptr);
  EXPECT_EQ(table_.lost(), 1u);
  system_.FailNothing();
  table_.set_limit(SIZE_MAX);
  const LabelSet* set = nullptr;
  for (int i = 0; i < 5000; ++i) {
    if (i % 300 == 0) system_.FailCall(1);
    const std::string value = std::to_string(i) + std::string(100, 'v');
    const LabelSet* const next = With(set, "key", value);
    if (next != set) {
      EXPECT_EQ(Read(next), (Map{{"key", value}}));
    }
    set = next;
  }
  EXPECT_GT(system_.failures(), 1u);
  table_.CheckInvariants();
}

TEST_F(LabelTableTest, Threads) {
  constexpr int kThreads = 4, kSets = 500;
  std::vector<std::vector<const LabelSet*>> found(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const LabelSet* set = nullptr;
      for (int i = 0; i < kSets; ++i) {
        set = With(set, std::to_string(i % 7), std::to_string(i));
        found[t].push_back(set);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 1; t < kThreads; ++t) EXPECT_EQ(found[t], found[0]);
  EXPECT_EQ(table_.sets(), static_cast<size_t>(kSets));
  table_.CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
