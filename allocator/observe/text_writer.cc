#include "allocator/observe/text_writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

namespace spanmalloc {
namespace {

constexpr size_t kMaxDigits = 20;

// Writes the digits so that they end at `end`; returns where they start.
char* WriteDigits(uint64_t value, char* end) {
  do {
    *--end = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return end;
}

}  // namespace

int TextWriter::ToDescriptor(void* descriptor, const char* data, size_t size) {
  const int fd = *static_cast<const int*>(descriptor);
  const int saved_errno = errno;
  int error = 0;
  while (size > 0 && error == 0) {
    const ssize_t written = write(fd, data, size);
    if (written > 0) {
      data += written;
      size -= static_cast<size_t>(written);
    } else if (written == 0) {
      error = EIO;
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  errno = saved_errno;
  return error;
}

TextWriter& TextWriter::Text(const char* text) {
  return Text(text, strlen(text));
}

TextWriter& TextWriter::Text(const char* text, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    if (size_ == kCapacity) Flush();
    buffer_[size_++] = text[i];
    column_ = text[i] == '\n' ? 0 : column_ + 1;
  }
  return *this;
}

TextWriter& TextWriter::Decimal(uint64_t value) {
  char digits[kMaxDigits];
  char* const end = digits + kMaxDigits;
  const char* const start = WriteDigits(value, end);
  return Text(start, static_cast<size_t>(end - start));
}

TextWriter& TextWriter::Hundredths(uint64_t value) {
  const char fraction[] = {'.', static_cast<char>('0' + value / 10 % 10),
                           static_cast<char>('0' + value % 10)};
  return Decimal(value / 100).Text(fraction, sizeof(fraction));
}

TextWriter& TextWriter::Billionths(uint64_t value) {
  char fraction[10] = {'.'};
  uint64_t rest = value % 1'000'000'000;
  for (size_t i = sizeof(fraction) - 1; i > 0; --i) {
    fraction[i] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
  return Decimal(value / 1'000'000'000).Text(fraction, sizeof(fraction));
}

TextWriter& TextWriter::Column(size_t column) {
  while (column_ < column) Text(" ", 1);
  return *this;
}

TextWriter& TextWriter::TextTo(size_t column, const char* text,
                               const char* end) {
  const size_t length = static_cast<size_t>(end - text);
  if (column > length) Column(column - length);
  return Text(text, length);
}

TextWriter& TextWriter::DecimalTo(size_t column, uint64_t value) {
  char digits[kMaxDigits];
  char* const end = digits + kMaxDigits;
  return TextTo(column, WriteDigits(value, end), end);
}

TextWriter& TextWriter::HumanTo(size_t column, uint64_t bytes) {
  static constexpr char kUnits[] = "KMGTPE";
  char text[kMaxDigits];
  char* const end = text + kMaxDigits;
  if (bytes < 1024) {
    memcpy(end - 2, " B", 2);
    return TextTo(column, WriteDigits(bytes, end - 2), end);
  }
  size_t unit = 0;
  while (unit < 5 && bytes >> (10 * (unit + 2)) != 0) ++unit;
  // Rounded to tenths; 1,023.96 KiB becomes 1.0 MiB. In two steps, because ten
  // times the bytes may be too much for 64 bits.
  uint64_t tenths = ((bytes >> (10 * unit)) * 10 + 512) >> 10;
  if (tenths >= 10240) {
    tenths = 10;
    ++unit;
  }
  const char tail[] = {
      '.', static_cast<char>('0' + tenths % 10), ' ', kUnits[unit], 'i', 'B'};
  memcpy(end - sizeof(tail), tail, sizeof(tail));
  return TextTo(column, WriteDigits(tenths / 10, end - sizeof(tail)), end);
}

void TextWriter::Flush() {
  if (error_ == 0 && size_ > 0) error_ = sink_(context_, buffer_, size_);
  size_ = 0;
}

int TextWriter::Finish() {
  Flush();
  return error_;
}

}  // namespace spanmalloc
