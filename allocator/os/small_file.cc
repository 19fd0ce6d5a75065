#include "allocator/os/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {
namespace {

// Up to `size` bytes; less at the end only. 0 also if it can't be read.
size_t ReadFully(int fd, char* text, size_t size) {
  size_t length = 0;
  while (length < size) {
    const ssize_t got = read(fd, text + length, size - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += static_cast<size_t>(got);
  }
  return length;
}

}  // namespace

bool ReadSmallFile(const char* path, char* text, size_t size) {
  ErrnoSaver errno_saver;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const size_t length = ReadFully(fd, text, size - 1);
  close(fd);
  text[length] = '\0';
  return length != 0;
}

bool ParseDecimal(const char** text, uint64_t* value) {
  const char* at = *text;
  uint64_t n = 0;
  for (; *at >= '0' && *at <= '9'; ++at) {
    if (__builtin_mul_overflow(n, uint64_t{10}, &n) ||
        __builtin_add_overflow(n, uint64_t(*at - '0'), &n)) {
      n = UINT64_MAX;
      while (*at >= '0' && *at <= '9') ++at;
      break;
    }
  }
  if (at == *text) return false;
  *text = at;
  *value = n;
  return true;
}

LineReader::LineReader(const char* path) {
  ErrnoSaver errno_saver;
  fd_ = open(path, O_RDONLY | O_CLOEXEC);
}

LineReader::~LineReader() {
  ErrnoSaver errno_saver;
  if (fd_ >= 0) close(fd_);
}

char* LineReader::Next() {
  bool whole = true;
  for (;;) {
    char* const line = text_ + start_;
    char* const newline = static_cast<char*>(memchr(line, '\n', end_ - start_));
    if (newline != nullptr) {
      *newline = '\0';
      start_ = static_cast<size_t>(newline + 1 - text_);
      if (whole) return line;
      whole = true;  // That was the rest of one too long.
      continue;
    }
    if (end_ - start_ == sizeof(text_)) {
      whole = false;
      start_ = end_;
    }
    if (!Fill()) break;
  }
  // The last line may lack its end.
  char* const line = text_ + start_;
  const bool is_line = whole && start_ != end_;
  if (is_line) text_[end_] = '\0';
  start_ = end_;
  return is_line ? line : nullptr;
}

// False at the end of the file. Otherwise there is room before: the caller has
// seen to it.
bool LineReader::Fill() {
  if (fd_ < 0) return false;
  memmove(text_, text_ + start_, end_ - start_);
  end_ -= start_;
  start_ = 0;
  ErrnoSaver errno_saver;
  const size_t got = ReadFully(fd_, text_ + end_, sizeof(text_) - end_);
  end_ += got;
  return got != 0;
}

}  // namespace spanmalloc
