#include "allocator/observe/text_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

namespace spanmalloc {
namespace {

struct Sink {
  std::vector<std::string> parts;
  int error = 0;

  static int Take(void* context, const char* data, size_t size) {
    Sink* const sink = static_cast<Sink*>(context);
    sink->parts.emplace_back(data, size);
    return sink->error;
  }
  std::string all() const {
    std::string text;
    for (const std::string& part : parts) text += part;
    return text;
  }
};

std::string Written(const std::function<void(TextWriter*)>& body) {
  Sink sink;
  TextWriter out(Sink::Take, &sink);
  body(&out);
  EXPECT_EQ(out.Finish(), 0);
  return sink.all();
}

TEST(TextWriter, Nothing) {
  Sink sink;
  TextWriter out(Sink::Take, &sink);
  EXPECT_EQ(out.Finish(), 0);
  EXPECT_TRUE(sink.parts.empty());
}

TEST(TextWriter, Pieces) {
  EXPECT_EQ(Written([](TextWriter* out) {
              out->Text("a").Text("bcd", 2).Decimal(0).Text(" ");
              out->Decimal(UINT64_MAX).Text(" ").Hundredths(7).Text(" ");
              out->Hundredths(12345).Text("").Text("\n");
            }),
            "abc0 18446744073709551615 0.07 123.45\n");
}

TEST(TextWriter, Billionths) {
  EXPECT_EQ(Written([](TextWriter* out) {
              out->Billionths(0).Text(" ").Billionths(7).Text(" ");
              out->Billionths(12'345'678'901).Text(" ");
              out->Billionths(UINT64_MAX);
            }),
            "0.000000000 0.000000007 12.345678901 18446744073.709551615");
}

TEST(TextWriter, Human) {
  const struct {
    uint64_t bytes;
    const char* text;
  } rows[] = {
      {0, "0 B"},
      {1, "1 B"},
      {1023, "1023 B"},
      {1024, "1.0 KiB"},
      {1536, "1.5 KiB"},
      {1024 * 1023, "1023.0 KiB"},
      {1024 * 1024 - 52, "1023.9 KiB"},
      {1024 * 1024 - 51, "1.0 MiB"},
      {1024 * 1024 - 1, "1.0 MiB"},
      {1024 * 1024, "1.0 MiB"},
      {uint64_t{5} << 30, "5.0 GiB"},
      {uint64_t{7} << 40, "7.0 TiB"},
      {uint64_t{1} << 50, "1.0 PiB"},
      {(uint64_t{1} << 60) - 1, "1.0 EiB"},
      {UINT64_MAX, "16.0 EiB"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(Written([&row](TextWriter* out) { out->HumanTo(0, row.bytes); }),
              row.text);
  }
}

TEST(TextWriter, Columns) {
  EXPECT_EQ(Written([](TextWriter* out) {
              out->Text("ab").Column(4).Text("c\n");
              out->Column(2).DecimalTo(6, 123).DecimalTo(8, 12345);
              out->Text("\n").HumanTo(10, 2048);
            }),
            "ab  c\n   12312345\n   2.0 KiB");
}

TEST(TextWriter, LongTextsComeInParts) {
  std::string expected;
  const std::string found = Written([&expected](TextWriter* out) {
    for (int i = 0; i < 5000; ++i) {
      out->Decimal(static_cast<uint64_t>(i)).Text("\n");
      expected += std::to_string(i) + "\n";
    }
  });
  EXPECT_EQ(found, expected);
}

TEST(TextWriter, TheFirstErrorIsTheLast) {
  Sink sink;
  sink.error = EPIPE;
  TextWriter out(Sink::Take, &sink);
  for (int i = 0; i < 20000; ++i) out.Text("x");
  sink.error = ENOSPC;
  EXPECT_EQ(out.Finish(), EPIPE);
  EXPECT_EQ(sink.parts.size(), 1u);
}

TEST(TextWriter, ToDescriptor) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  errno = 99;
  EXPECT_EQ(TextWriter::ToDescriptor(&ends[1], "hello", 5), 0);
  char text[8] = {};
  EXPECT_EQ(read(ends[0], text, sizeof(text)), 5);
  EXPECT_STREQ(text, "hello");
  close(ends[0]);
  close(ends[1]);
  errno = 99;
  EXPECT_EQ(TextWriter::ToDescriptor(&ends[1], "hello", 5), EBADF);
  EXPECT_EQ(errno, 99);
}

}  // namespace
}  // namespace spanmalloc
