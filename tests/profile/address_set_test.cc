// A set of addresses, whole and in parts.

#include "allocator/profile/address_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace spanmalloc {
namespace {

TEST(AddressSetTest, EachOnce) {
  std::vector<uint64_t> memory(1024);
  AddressSet addresses(memory.data(), memory.size() * 8);
  addresses.Restart(0, 0);
  std::mt19937_64 random(1);
  std::set<uint64_t> model;
  for (int i = 0; i < 3000; ++i) {
    const uint64_t address = random() % 700;
    addresses.Insert(address);
    model.insert(address);
  }
  EXPECT_FALSE(addresses.is_full());
  EXPECT_EQ(addresses.size(), model.size());
  addresses.ForEach(
      [&](uint64_t address) { EXPECT_EQ(model.erase(address), 1u); });
  EXPECT_TRUE(model.empty());
}

TEST(AddressSetTest, FullAndStartedAgain) {
  std::vector<uint64_t> memory(64);
  AddressSet addresses(memory.data(), memory.size() * 8 + 7);
  addresses.Restart(0, 0);
  for (uint64_t i = 1; i <= 48; ++i) addresses.Insert(i * 4096);
  EXPECT_FALSE(addresses.is_full());
  addresses.Insert(4096);
  EXPECT_FALSE(addresses.is_full());
  addresses.Insert(1);
  EXPECT_TRUE(addresses.is_full());
  EXPECT_EQ(addresses.size(), 48u);
  addresses.Restart(0, 0);
  EXPECT_FALSE(addresses.is_full());
  addresses.ForEach([](uint64_t) { FAIL(); });
}

TEST(AddressSetTest, PartsByBitsAreDisjointAndWhole) {
  std::vector<uint64_t> memory(4096);
  AddressSet addresses(memory.data(), memory.size() * 8);
  for (int count = 0; count <= 5; ++count) {
    std::set<uint64_t> seen;
    for (uint64_t bits = 0; bits < (1u << count); ++bits) {
      addresses.Restart(bits, count);
      for (uint64_t i = 0; i < 2000; ++i) addresses.Insert(i * 5);
      addresses.ForEach(
          [&](uint64_t address) { EXPECT_TRUE(seen.insert(address).second); });
      // They are spread evenly.
      EXPECT_NEAR(static_cast<double>(addresses.size()), 2000.0 / (1 << count),
                  150);
    }
    EXPECT_EQ(seen.size(), 2000u);
  }
}

}  // namespace
}  // namespace spanmalloc
