#include "allocator/os/small_file.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

namespace spanmalloc {
namespace {

class SmallFileTest : public testing::Test {
 protected:
  void SetUp() override {
    const int fd = mkstemp(path_);
    ASSERT_GE(fd, 0);
    close(fd);
    errno = EXDEV;
  }
  void TearDown() override {
    EXPECT_EQ(errno, EXDEV);
    unlink(path_);
  }
  void Write(const std::string& text) {
    std::ofstream(path_) << text;
    errno = EXDEV;
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    LineReader reader(path_);
    while (char* const line = reader.Next()) lines.push_back(line);
    EXPECT_EQ(reader.Next(), nullptr);
    return lines;
  }

  char path_[32] = "/tmp/spanmalloc-small-XXXXXX";
};

using Strings = std::vector<std::string>;

TEST_F(SmallFileTest, ReadsUpToTheSize) {
  char text[8] = "before!";
  EXPECT_FALSE(ReadSmallFile(path_, text, sizeof(text))) << "it is empty";
  Write("abc\n");
  EXPECT_TRUE(ReadSmallFile(path_, text, sizeof(text)));
  EXPECT_STREQ(text, "abc\n");
  Write("0123456789");
  EXPECT_TRUE(ReadSmallFile(path_, text, sizeof(text)));
  EXPECT_STREQ(text, "0123456");
  EXPECT_FALSE(ReadSmallFile("/no/such/file", text, sizeof(text)));
  EXPECT_FALSE(ReadSmallFile("/tmp", text, sizeof(text)));
}

TEST_F(SmallFileTest, Decimals) {
  const char* at = "120x";
  uint64_t value = 7;
  EXPECT_TRUE(ParseDecimal(&at, &value));
  EXPECT_EQ(value, 120u);
  EXPECT_STREQ(at, "x");
  EXPECT_FALSE(ParseDecimal(&at, &value));
  EXPECT_STREQ(at, "x");
  EXPECT_EQ(value, 120u);
  at = "18446744073709551615 ";
  EXPECT_TRUE(ParseDecimal(&at, &value));
  EXPECT_EQ(value, UINT64_MAX);
  for (const char* text : {"18446744073709551616 ", "99999999999999999999999 ",
                           "184467440737095516150 "}) {
    at = text;
    EXPECT_TRUE(ParseDecimal(&at, &value));
    EXPECT_EQ(value, UINT64_MAX) << text;
    EXPECT_STREQ(at, " ");
  }
}

TEST_F(SmallFileTest, LinesWithAndWithoutAnEnd) {
  EXPECT_EQ(Lines(), Strings{});
  Write("\n");
  EXPECT_EQ(Lines(), Strings{""});
  Write("one\n\nthree\n");
  EXPECT_EQ(Lines(), (Strings{"one", "", "three"}));
  Write("one\ntwo");
  EXPECT_EQ(Lines(), (Strings{"one", "two"}));
}

TEST_F(SmallFileTest, NoFileHasNoLines) {
  LineReader reader("/no/such/file");
  EXPECT_EQ(reader.Next(), nullptr);
}

// Lines of all lengths around the buffer's, at all places in it.
TEST_F(SmallFileTest, LinesAcrossTheBuffer) {
  for (size_t length = LineReader::kMaxLine - 3;
       length <= LineReader::kMaxLine + 3; ++length) {
    for (const char* end : {"", "\n", "\nlast", "\nlast\n"}) {
      const std::string line(length, 'x');
      Write("first\n" + line + end);
      Strings expected{"first"};
      if (length <= LineReader::kMaxLine) expected.push_back(line);
      if (end[0] == '\n' && end[1] != '\0') expected.push_back("last");
      EXPECT_EQ(Lines(), expected) << length << end;
    }
  }
}

TEST_F(SmallFileTest, ManyLines) {
  std::string text;
  Strings expected;
  for (size_t i = 0; i < 300; ++i) {
    // Some of them are too long.
    const size_t length = i % 50 == 49 ? 4000 + i * 60 : i * 7 % 500;
    const std::string line(length, static_cast<char>('a' + i % 26));
    text += line + "\n";
    if (length <= LineReader::kMaxLine) expected.push_back(line);
  }
  Write(text);
  EXPECT_EQ(Lines(), expected);
}

TEST_F(SmallFileTest, TheCallerMayWriteInALine) {
  Write("one\ntwo\n");
  LineReader reader(path_);
  char* const line = reader.Next();
  ASSERT_STREQ(line, "one");
  line[0] = line[1] = line[2] = '\n';
  EXPECT_STREQ(reader.Next(), "two");
}

}  // namespace
}  // namespace spanmalloc
