// Rates and order.
#include "tools/spanmalloc/process_table.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/spanmalloc_tool/samples.h"

namespace spanmalloc_tool {
namespace {

std::vector<pid_t> Pids(const ProcessTable& table) {
  std::vector<pid_t> pids;
  for (const ProcessRow& row : table.rows()) {
    pids.push_back(row.sample.process.pid);
  }
  return pids;
}

ProcessSample Later(ProcessSample sample, double seconds) {
  sample.seconds += seconds;
  spanmalloc_memstats& stats = sample.snapshot.stats;
  stats.mallocs += 1000;
  stats.frees += 600;
  stats.total_alloc += 50000;
  stats.total_freed += 20000;
  stats.by_size[0].mallocs += 1000;
  stats.by_size[0].frees += 600;
  return sample;
}

TEST(ProcessTableTest, RatesNeedTwoLooks) {
  ProcessTable table;
  const ProcessSample sample = MakeSample(7, "a", kMiB);
  table.Update(MakeScan({sample}));
  EXPECT_FALSE(table.Find(7)->has_rates);
  table.Update(MakeScan({Later(sample, 4)}));
  const ProcessRow& row = *table.Find(7);
  ASSERT_TRUE(row.has_rates);
  EXPECT_DOUBLE_EQ(row.mallocs, 250);
  EXPECT_DOUBLE_EQ(row.frees, 150);
  EXPECT_DOUBLE_EQ(row.bytes_allocated, 12500);
  EXPECT_DOUBLE_EQ(row.bytes_freed, 5000);
  // Classes that were used, and the large blocks.
  ASSERT_EQ(row.classes.size(), 3u);
  EXPECT_DOUBLE_EQ(row.classes[0].mallocs, 250);
  EXPECT_EQ(row.classes[0].blocks, 430u);
  EXPECT_EQ(row.classes[0].bytes, 430u * 16);
  EXPECT_DOUBLE_EQ(row.classes[1].mallocs, 0);
  EXPECT_EQ(row.classes[2].size, 0u);
  EXPECT_EQ(row.classes[2].bytes, 2 * kMiB);
}

TEST(ProcessTableTest, AnotherProgramHasNoRates) {
  const ProcessSample sample = MakeSample(7, "a", kMiB);
  // Counters that have fallen, though all else is equal.
  for (auto counter :
       {&spanmalloc_memstats::mallocs, &spanmalloc_memstats::frees,
        &spanmalloc_memstats::total_alloc, &spanmalloc_memstats::total_freed}) {
    ProcessTable table;
    table.Update(MakeScan({sample}));
    ProcessSample later = Later(sample, 1);
    later.snapshot.stats.*counter = 1;
    table.Update(MakeScan({later}));
    EXPECT_FALSE(table.Find(7)->has_rates);
    EXPECT_EQ(table.Find(7)->mallocs, 0);
  }
  // The PID used again; exec.
  for (auto part : {&ProcessImage::start_time, &ProcessImage::start_code,
                    &ProcessImage::start_stack}) {
    ProcessTable table;
    table.Update(MakeScan({sample}));
    ProcessSample later = Later(sample, 1);
    later.process.image.*part += 1;
    table.Update(MakeScan({later}));
    EXPECT_FALSE(table.Find(7)->has_rates);
  }
}

TEST(ProcessTableTest, ProcessThatVanishes) {
  ProcessTable table;
  const ProcessSample a = MakeSample(7, "a", kMiB);
  const ProcessSample b = MakeSample(8, "b", kMiB);
  table.Update(MakeScan({a, b}));
  table.Update(MakeScan({Later(b, 1)}));
  EXPECT_EQ(Pids(table), std::vector<pid_t>{8});
  EXPECT_FALSE(table.Exists(7));
  EXPECT_EQ(table.Find(7), nullptr);
  // One that comes back begins anew.
  table.Update(MakeScan({Later(a, 2), Later(b, 2)}));
  EXPECT_FALSE(table.Find(7)->has_rates);
  EXPECT_TRUE(table.Find(8)->has_rates);
}

TEST(ProcessTableTest, Order) {
  std::vector<ProcessSample> samples = {
      MakeSample(1, "c", 30), MakeSample(2, "a", 40), MakeSample(3, "b", 40),
      MakeSample(4, "d", 50)};
  // Each figure has an order of its own.
  samples[0].process.rss_bytes = 1000;
  samples[1].snapshot.stats.heap_inuse += 5000;  // Held.
  samples[2].snapshot.stats.heap_released = 0;   // Idle.
  ProcessTable table;
  table.Update(MakeScan(samples));
  for (ProcessSample& sample : samples) sample.seconds += 1;
  samples[0].snapshot.stats.mallocs += 1;
  samples[3].snapshot.stats.total_alloc += 7;
  table.Update(MakeScan(samples));

  using Order = std::vector<pid_t>;
  EXPECT_EQ(Pids(table), (Order{1, 4, 2, 3}));  // By RSS.
  table.SortBy(SortKey::kRss, true);
  EXPECT_EQ(Pids(table), (Order{2, 3, 4, 1}));
  table.SortBy(SortKey::kInUse, false);
  EXPECT_EQ(Pids(table), (Order{4, 2, 3, 1}));
  table.SortBy(SortKey::kHeld, false);
  EXPECT_EQ(Pids(table), (Order{2, 4, 3, 1}));
  table.SortBy(SortKey::kIdle, false);
  EXPECT_EQ(Pids(table), (Order{3, 4, 2, 1}));
  table.SortBy(SortKey::kAllocated, false);
  EXPECT_EQ(Pids(table), (Order{4, 1, 2, 3}));
  table.SortBy(SortKey::kMallocs, false);
  EXPECT_EQ(Pids(table), (Order{1, 2, 3, 4}));
  table.SortBy(SortKey::kPid, false);
  EXPECT_EQ(Pids(table), (Order{1, 2, 3, 4}));
  table.SortBy(SortKey::kPid, true);
  EXPECT_EQ(Pids(table), (Order{4, 3, 2, 1}));
  table.SortBy(SortKey::kCommand, false);
  EXPECT_EQ(Pids(table), (Order{2, 3, 1, 4}));
  // A new look keeps it.
  table.Update(MakeScan(samples));
  EXPECT_EQ(Pids(table), (Order{2, 3, 1, 4}));
}

}  // namespace
}  // namespace spanmalloc_tool
