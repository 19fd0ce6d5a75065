// What /proc/PID/stat says.
#include "tools/spanmalloc/process_stat.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace spanmalloc_tool {
namespace {

std::string Text(const std::string& command, char state, unsigned flags) {
  return "42 (" + command + ") " + state + " 1 42 42 34816 -1 " +
         std::to_string(flags) +
         " 98 0 0 0 5 6 0 0 20 -5 1 0 777 3133440 362 18446744073709551615 "
         "94804 94810 140722 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 "
         "0\n";
}

TEST(ProcessStatTest, Fields) {
  ProcessStat stat;
  ASSERT_TRUE(ParseProcessStat(Text("cat", 'S', 0x400000), 4096, &stat));
  EXPECT_EQ(stat.pid, 42);
  EXPECT_EQ(stat.command, "cat");
  EXPECT_EQ(stat.image.start_time, 777u);
  EXPECT_EQ(stat.rss_bytes, 362u * 4096);
  EXPECT_EQ(stat.image.start_code, 94804u);
  EXPECT_EQ(stat.image.start_stack, 140722u);
  EXPECT_TRUE(stat.has_memory);
}

TEST(ProcessStatTest, NameThatLooksLikeMore) {
  ProcessStat stat;
  for (const char* name : {"a) Z (b", "(", ")", ") ", "x y\n", ""}) {
    ASSERT_TRUE(ParseProcessStat(Text(name, 'R', 0), 4096, &stat)) << name;
    EXPECT_EQ(stat.command, name);
    EXPECT_EQ(stat.image.start_time, 777u) << name;
    EXPECT_TRUE(stat.has_memory) << name;
  }
}

TEST(ProcessStatTest, WithoutMemory) {
  ProcessStat stat;
  ASSERT_TRUE(ParseProcessStat(Text("ended", 'Z', 0), 4096, &stat));
  EXPECT_FALSE(stat.has_memory);
  ASSERT_TRUE(ParseProcessStat(Text("kworker", 'I', 0x208040), 4096, &stat));
  EXPECT_FALSE(stat.has_memory);
}

TEST(ProcessStatTest, NoSuchText) {
  ProcessStat stat;
  for (const char* text :
       {"", "42", "42 (cat", "42 (cat) ", "42 (cat) R 1 2", "(cat) R", ") ("}) {
    EXPECT_FALSE(ParseProcessStat(text, 4096, &stat)) << text;
  }
}

TEST(ProcessStatTest, ThisProcess) {
  ProcessStat stat;
  ASSERT_TRUE(ReadProcessStat(getpid(), &stat));
  EXPECT_EQ(stat.pid, getpid());
  EXPECT_TRUE(stat.has_memory);
  EXPECT_GT(stat.rss_bytes, 100000u);
  EXPECT_NE(stat.image.start_stack, 0u);
  const auto pids = ListProcesses();
  EXPECT_TRUE(std::binary_search(pids.begin(), pids.end(), getpid()));
}

TEST(ProcessStatTest, ProcessThatHasEnded) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  ProcessStat stat;
  ASSERT_TRUE(ReadProcessStat(child, &stat));
  EXPECT_FALSE(stat.has_memory);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(ReadProcessStat(child, &stat));
}

}  // namespace
}  // namespace spanmalloc_tool
