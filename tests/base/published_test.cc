// A record that is read while it is being replaced.

#include "allocator/base/published.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace spanmalloc {
namespace {

struct Record {
  uint64_t number = 0;
  uint64_t twice = 0;
  uint64_t square = 0;
};

Record Make(uint64_t n) { return {n, 2 * n, n * n}; }

TEST(Published, ReadsAsZeroAtFirst) {
  Published<Record> published;
  Record record = Make(7);
  EXPECT_TRUE(published.Load(&record));
  EXPECT_EQ(record.number, 0u);
  EXPECT_EQ(record.square, 0u);
}

TEST(Published, GivesBackWhatWasStored) {
  Published<Record> published;
  for (uint64_t n = 1; n < 10; ++n) {
    published.Store(Make(n));
    Record record;
    ASSERT_TRUE(published.Load(&record));
    EXPECT_EQ(record.number, n);
    EXPECT_EQ(record.twice, 2 * n);
    EXPECT_EQ(record.square, n * n);
  }
}

TEST(Published, ReadersSeeWholeRecords) {
  Published<Record> published;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t n = 1; !stop; ++n) published.Store(Make(n));
  });
  std::atomic<int> errors{0}, reads{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      uint64_t last = 0;
      for (int i = 0; i < 20000; ++i) {
        Record record;
        if (!published.Load(&record))
          continue;  // The writer sleeps in a store.
        ++reads;
        errors += record.twice != 2 * record.number;
        errors += record.square != record.number * record.number;
        errors += record.number < last;
        last = record.number;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  stop = true;
  writer.join();
  EXPECT_EQ(errors, 0);
  EXPECT_GT(reads, 0);
}

}  // namespace
}  // namespace spanmalloc
