// What the allocator says on stderr, and that it says nothing when it must not.

#include "allocator/base/message.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace spanmalloc {
namespace {

std::string TextOf(const Message& message) {
  return std::string(message.data(), message.size());
}

TEST(MessageTest, StartsWithTheName) {
  EXPECT_EQ(TextOf(Message()), "spanmalloc: ");
}

TEST(MessageTest, StartsWithSomethingElse) {
  EXPECT_EQ(TextOf(Message("  by: ").Text("me")), "  by: me");
}

TEST(MessageTest, Numbers) {
  struct {
    uint64_t value;
    const char* decimal;
    const char* hex;
  } const kCases[] = {
      {0, "0", "0x0"},
      {9, "9", "0x9"},
      {10, "10", "0xa"},
      {255, "255", "0xff"},
      {0x7f0012345678, "139638282147448", "0x7f0012345678"},
      {UINT64_MAX, "18446744073709551615", "0xffffffffffffffff"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(TextOf(Message().Decimal(c.value)),
              std::string("spanmalloc: ") + c.decimal);
    EXPECT_EQ(TextOf(Message().Hex(c.value)),
              std::string("spanmalloc: ") + c.hex);
    EXPECT_EQ(TextOf(Message().Pointer(reinterpret_cast<void*>(c.value))),
              std::string("spanmalloc: ") + c.hex);
  }
}

TEST(MessageTest, Composes) {
  Message message;
  message.Text("double free of ").Hex(0x10).Text(" (").Decimal(48);
  message.Text("-byte class)XX", 12);
  EXPECT_EQ(TextOf(message), "spanmalloc: double free of 0x10 (48-byte class)");
}

TEST(MessageTest, CutsWhatDoesNotFit) {
  const std::string text(1000, 'x');
  Message message;
  message.Text(text.c_str());
  const size_t size = message.size();
  EXPECT_GT(size, 300u);
  EXPECT_LT(size, 400u);
  EXPECT_EQ(TextOf(message), "spanmalloc: " + text.substr(0, size - 12));
  message.Decimal(UINT64_MAX).Hex(1).Text("more");
  EXPECT_EQ(message.size(), size);
}

TEST(MessageTest, PrintsOneLineAndKeepsErrno) {
  testing::internal::CaptureStderr();
  errno = EXDEV;
  Message().Text("hello").Print();
  EXPECT_EQ(errno, EXDEV);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "spanmalloc: hello\n");
}

TEST(MessageTest, PrintsALineThatWasCut) {
  testing::internal::CaptureStderr();
  Message message;
  message.Text(std::string(1000, 'y').c_str()).Print();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), TextOf(message) + "\n");
}

TEST(MessageTest, PrintKeepsErrnoWhenWritingFails) {
  const int saved = dup(STDERR_FILENO);
  close(STDERR_FILENO);
  errno = EXDEV;
  Message().Text("nobody reads this").Print();
  EXPECT_EQ(errno, EXDEV);
  dup2(saved, STDERR_FILENO);
  close(saved);
}

// A program that was started without stderr may have a file of its own there.
TEST(MessageTest, WritesNothingIfStderrWasClosedAtStart) {
  char path[] = "/tmp/spanmalloc_message_test_XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  unlink(path);
  const int saved = dup(STDERR_FILENO);
  close(STDERR_FILENO);
  errno = EXDEV;
  Message::CheckStandardError();
  EXPECT_EQ(errno, EXDEV);
  dup2(file, STDERR_FILENO);
  Message().Text("must not appear").Print();
  EXPECT_EQ(lseek(file, 0, SEEK_END), 0);
  // And again, now that it is open.
  Message::CheckStandardError();
  Message().Text("x").Print();
  EXPECT_EQ(lseek(file, 0, SEEK_END), 14);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(file);
}

TEST(MessageDeathTest, AbortPrintsFirst) {
  EXPECT_EXIT(Message().Text("the end").Abort(),
              testing::KilledBySignal(SIGABRT), "^spanmalloc: the end\n");
}

}  // namespace
}  // namespace spanmalloc
