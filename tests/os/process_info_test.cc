#include "allocator/os/process_info.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace spanmalloc {
namespace {

TEST(ProcessInfo, ParsesTheLine) {
  ProcessStat stat;
  EXPECT_TRUE(ParseProcessStat(
      "7 (a ) b) (c)) S 1 7 7 0 -1 4194560 91 0 0 0 14 15 0 0 20 0 1 0 22222 "
      "2323 242 18446744073709551615 1 1 0\n",
      &stat));
  EXPECT_EQ(stat.user_ticks, 14u);
  EXPECT_EQ(stat.system_ticks, 15u);
  EXPECT_EQ(stat.start_ticks, 22222u);
  EXPECT_EQ(stat.virtual_bytes, 2323u);
  EXPECT_EQ(stat.resident_pages, 242u);
}

TEST(ProcessInfo, RefusesOtherLines) {
  ProcessStat stat;
  for (const char* text :
       {"", "7", "7 (a)", "7 (a) S 1 2 3", "7 (a) S 1 7 7 0 -1 4 9 0 0 0 x 15",
        "7 (a) S 1 7 7 0 -1 4194560 91 0 0 0 14 15 0 0 20 0 1 0 22222 2323"}) {
    EXPECT_FALSE(ParseProcessStat(text, &stat)) << text;
  }
}

TEST(ProcessInfo, ThisProcess) {
  errno = 99;
  const ProcessInfo info = ReadProcessInfo();
  EXPECT_EQ(errno, 99);
  if (!info.virtual_bytes.known) GTEST_SKIP() << "no /proc";
  EXPECT_GT(info.resident_bytes.value, 100u << 10);
  EXPECT_GT(info.virtual_bytes.value, info.resident_bytes.value);
  EXPECT_TRUE(info.cpu_hundredths.known);
  ASSERT_TRUE(info.start_hundredths.known);
  const uint64_t now = static_cast<uint64_t>(time(nullptr));
  EXPECT_LE(info.start_hundredths.value / 100, now + 2);
  EXPECT_GT(info.start_hundredths.value / 100, now - 3600);
}

TEST(ProcessInfo, CountsOpenFiles) {
  const ProcessInfo before = ReadProcessInfo();
  if (!before.open_files.known) GTEST_SKIP() << "no /proc";
  int files[100];
  for (int& file : files) file = open("/dev/null", O_RDONLY);
  EXPECT_EQ(ReadProcessInfo().open_files.value, before.open_files.value + 100);
  for (const int file : files) close(file);
  EXPECT_EQ(ReadProcessInfo().open_files.value, before.open_files.value);
}

TEST(ProcessInfo, Limits) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const ProcessInfo info = ReadProcessInfo();
  ASSERT_TRUE(info.max_files.known);
  EXPECT_EQ(info.max_files.value, limit.rlim_cur);
}

}  // namespace
}  // namespace spanmalloc
