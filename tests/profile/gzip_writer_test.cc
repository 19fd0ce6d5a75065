// gzip files: against known checksums, taken apart by hand, and by gzip itself.

#include "allocator/profile/gzip_writer.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>

namespace spanmalloc {
namespace {

ByteSink SinkTo(std::string* out) {
  return {[](void* context, const void* data, size_t n) {
            static_cast<std::string*>(context)->append(
                static_cast<const char*>(data), n);
          },
          out};
}

std::string RandomText(size_t n) {
  std::mt19937_64 random(n);
  std::string text(n, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Writes it in parts of `part` bytes.
std::string Zipped(const std::string& text, size_t part) {
  std::string out;
  const auto writer = std::make_unique<GzipWriter>(SinkTo(&out));
  for (size_t at = 0; at < text.size(); at += part) {
    const ByteSink sink = writer->sink();
    sink.Write(text.data() + at, std::min(part, text.size() - at));
  }
  writer->Finish();
  return out;
}

uint64_t Number(const std::string& text, size_t at, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = bytes; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(text[at + i]);
  }
  return number;
}

// What is in a file of stored blocks.
std::string Unzipped(const std::string& file) {
  EXPECT_EQ(file.substr(0, 4), std::string("\x1f\x8b\x08\0", 4));
  std::string text;
  size_t at = 10;
  for (bool is_last = false; !is_last && at + 5 <= file.size();) {
    EXPECT_LE(static_cast<unsigned char>(file[at]), 1);
    is_last = file[at] != 0;
    const size_t length = Number(file, at + 1, 2);
    EXPECT_EQ(Number(file, at + 3, 2), length ^ 0xffff);
    text += file.substr(at + 5, length);
    at += 5 + length;
  }
  EXPECT_EQ(at + 8, file.size());
  EXPECT_EQ(Number(file, at, 4), Crc32(0, text.data(), text.size()));
  EXPECT_EQ(Number(file, at + 4, 4), text.size());
  return text;
}

TEST(Crc32Test, KnownValues) {
  EXPECT_EQ(Crc32(0, "", 0), 0u);
  EXPECT_EQ(Crc32(0, "123456789", 9), 0xcbf43926u);
  EXPECT_EQ(Crc32(Crc32(0, "1234", 4), "56789", 5), 0xcbf43926u);
  EXPECT_EQ(Crc32(0, "The quick brown fox jumps over the lazy dog", 43),
            0x414fa339u);
}

TEST(GzipWriterTest, EveryLengthAndPart) {
  for (size_t n : {0, 1, 100, 32767, 32768, 32769, 65536, 200000}) {
    const std::string text = RandomText(n);
    for (size_t part : {1, 7, 1000, 32768, 1000000}) {
      ASSERT_EQ(Unzipped(Zipped(text, part)), text) << n << ", " << part;
    }
  }
}

TEST(GzipWriterTest, GzipReadsIt) {
  if (system("gzip --version > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no gzip";
  }
  for (size_t n : {0, 5, 32768, 300000}) {
    const std::string text = RandomText(n);
    char path[] = "/tmp/spanmalloc-gzip-XXXXXX";
    const int fd = mkstemp(path);
    ASSERT_GE(fd, 0);
    close(fd);
    std::ofstream(path, std::ios::binary) << Zipped(text, 1000);
    FILE* const pipe = popen((std::string("gzip -dc < ") + path).c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string out;
    char part[4096];
    while (const size_t got = fread(part, 1, sizeof(part), pipe)) {
      out.append(part, got);
    }
    EXPECT_EQ(pclose(pipe), 0);
    EXPECT_EQ(out, text);
    unlink(path);
  }
}

}  // namespace
}  // namespace spanmalloc
