#include "allocator/os/report_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace spanmalloc {
namespace {

class ReportFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/spanmalloc-report-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }
  std::string Contents(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name)).rdbuf();
    return text.str();
  }
  size_t Files() const {
    size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      static_cast<void>(entry);
      ++n;
    }
    return n;
  }
  int Write(const std::string& pattern, const std::string& text,
            bool ok = true) {
    ReportFile file;
    const int error = file.Open(pattern.c_str());
    if (error != 0) return error;
    EXPECT_EQ(write(file.descriptor(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
    return file.Close(ok);
  }

  std::string folder_;
};

TEST_F(ReportFileTest, AppearsWhole) {
  ReportFile file;
  errno = 99;
  ASSERT_EQ(file.Open(Path("a").c_str()), 0);
  EXPECT_EQ(file.path(), Path("a"));
  ASSERT_EQ(write(file.descriptor(), "text", 4), 4);
  EXPECT_EQ(errno, 99);
  EXPECT_FALSE(std::filesystem::exists(Path("a")));
  errno = 99;
  EXPECT_EQ(file.Close(true), 0);
  EXPECT_EQ(errno, 99);
  EXPECT_EQ(Contents("a"), "text");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ReportFileTest, ReplacesTheOneBefore) {
  EXPECT_EQ(Write(Path("a"), "first, and longer"), 0);
  EXPECT_EQ(Write(Path("a"), "second"), 0);
  EXPECT_EQ(Contents("a"), "second");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ReportFileTest, WhatFailedLeavesTheOneBefore) {
  EXPECT_EQ(Write(Path("a"), "first"), 0);
  EXPECT_EQ(Write(Path("a"), "second", false), 0);
  EXPECT_EQ(Contents("a"), "first");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ReportFileTest, TwoAtOnce) {
  ReportFile one, other;
  ASSERT_EQ(one.Open(Path("a").c_str()), 0);
  ASSERT_EQ(other.Open(Path("a").c_str()), 0);
  ASSERT_EQ(write(one.descriptor(), "one", 3), 3);
  ASSERT_EQ(write(other.descriptor(), "other", 5), 5);
  EXPECT_EQ(one.Close(true), 0);
  EXPECT_EQ(Contents("a"), "one");
  EXPECT_EQ(other.Close(true), 0);
  EXPECT_EQ(Contents("a"), "other");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ReportFileTest, Patterns) {
  const std::string pid = std::to_string(getpid());
  EXPECT_EQ(Write(Path("%p-%p"), "x"), 0);
  EXPECT_EQ(Contents(pid + "-" + pid), "x");
  EXPECT_EQ(Write(Path("100%%p%"), "y"), 0);
  EXPECT_EQ(Contents("100%p%"), "y");
}

TEST_F(ReportFileTest, Errors) {
  errno = 99;
  EXPECT_EQ(Write(folder_, ""), EISDIR);
  EXPECT_EQ(Write(Path("no/such"), ""), ENOENT);
  EXPECT_EQ(Write(Path(std::string(1000, 'x')), ""), ENAMETOOLONG);
  EXPECT_EQ(Write(Path(std::string(300, 'x')), ""), ENAMETOOLONG);
  EXPECT_EQ(errno, 99);
  EXPECT_EQ(Files(), 0u);
}

TEST_F(ReportFileTest, DevicesAreWrittenTo) {
  EXPECT_EQ(Write("/dev/null", "x"), 0);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST_F(ReportFileTest, PipesDoNotBlock) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(Write(Path("pipe"), "x"), ENXIO);
  const int reader = open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  EXPECT_EQ(Write(Path("pipe"), "x"), 0);
  char c = 0;
  EXPECT_EQ(read(reader, &c, 1), 1);
  EXPECT_EQ(c, 'x');
  close(reader);
}

TEST_F(ReportFileTest, StandardErrorOutlivesItsNumber) {
  const int original = dup(STDERR_FILENO);
  const int file = open(Path("stderr").c_str(), O_RDWR | O_CREAT, 0600);
  dup2(file, STDERR_FILENO);
  KeptStandardError kept;
  EXPECT_EQ(kept.descriptor(), -1);
  const bool ok = kept.Keep();
  const int after_keep = kept.descriptor();
  dup2(original, STDERR_FILENO);  // The program takes the number back.
  close(original);
  ASSERT_TRUE(ok);
  EXPECT_GT(after_keep, STDERR_FILENO);
  EXPECT_EQ(kept.descriptor(), after_keep);
  EXPECT_NE(fcntl(after_keep, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(write(kept.descriptor(), "x", 1), 1);
  EXPECT_EQ(Contents("stderr"), "x");
  // The number is another file's now.
  const int other = open("/dev/null", O_WRONLY);
  dup2(other, after_keep);
  EXPECT_EQ(kept.descriptor(), -1);
  close(after_keep);
  EXPECT_EQ(kept.descriptor(), -1);
  close(other);
  close(file);
}

}  // namespace
}  // namespace spanmalloc
