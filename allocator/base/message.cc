#include "allocator/base/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace spanmalloc {
namespace {

bool standard_error_closed = false;

}  // namespace

Message::Message() : Message("spanmalloc: ") {}

Message::Message(const char* start) { Text(start); }

Message& Message::Text(const char* text) { return Text(text, strlen(text)); }

Message& Message::Text(const char* text, size_t length) {
  const size_t room = kCapacity - 1 - size_;  // One byte for the newline.
  if (length > room) length = room;
  memcpy(buffer_ + size_, text, length);
  size_ += length;
  return *this;
}

Message& Message::Decimal(uint64_t value) {
  char digits[20];
  size_t at = sizeof(digits);
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return Text(digits + at, sizeof(digits) - at);
}

Message& Message::Hex(uintptr_t value) {
  char digits[2 * sizeof(value)];
  size_t at = sizeof(digits);
  do {
    digits[--at] = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  return Text("0x").Text(digits + at, sizeof(digits) - at);
}

void Message::Print() {
  if (standard_error_closed) return;
  const int saved_errno = errno;
  buffer_[size_] = '\n';
  ssize_t ignored = write(STDERR_FILENO, buffer_, size_ + 1);
  static_cast<void>(ignored);
  errno = saved_errno;
}

void Message::Abort() {
  Print();
  abort();
}

void Message::CheckStandardError() {
  const int saved_errno = errno;
  standard_error_closed = fcntl(STDERR_FILENO, F_GETFD) == -1;
  errno = saved_errno;
}

}  // namespace spanmalloc
