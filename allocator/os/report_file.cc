#include "allocator/os/report_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace spanmalloc {
namespace {

// A string that is built up to a bound.
class Path {
 public:
  Path(char* data, size_t capacity) : data_(data), capacity_(capacity) {}

  void Add(char c) {
    if (size_ + 1 < capacity_) {
      data_[size_++] = c;
    } else {
      fits_ = false;
    }
    data_[size_] = '\0';
  }
  void Add(const char* text) {
    for (; *text != '\0'; ++text) Add(*text);
  }
  void AddDecimal(uint64_t n) {
    if (n >= 10) AddDecimal(n / 10);
    Add(static_cast<char>('0' + n % 10));
  }
  bool fits() const { return fits_; }

 private:
  char* const data_;
  const size_t capacity_;
  size_t size_ = 0;
  bool fits_ = true;
};

bool Expand(const char* pattern, Path* path) {
  for (const char* at = pattern; *at != '\0'; ++at) {
    if (at[0] == '%' && at[1] == 'p') {
      path->AddDecimal(static_cast<uint64_t>(getpid()));
      ++at;
    } else {
      path->Add(*at);
      if (at[0] == '%' && at[1] == '%') ++at;
    }
  }
  return path->fits();
}

}  // namespace

int ReportFile::Open(const char* pattern) {
  const int saved_errno = errno;
  Path path(path_, sizeof(path_));
  int error = 0;
  struct stat status;
  if (!Expand(pattern, &path)) {
    error = ENAMETOOLONG;
  } else if (stat(path_, &status) == 0 && S_ISDIR(status.st_mode)) {
    error = EISDIR;
  } else if (stat(path_, &status) == 0 && !S_ISREG(status.st_mode)) {
    // A pipe that nobody reads must not hold the program up.
    fd_ = open(path_, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd_ < 0) {
      error = errno;
    } else {
      fcntl(fd_, F_SETFL, O_APPEND);
    }
  } else {
    error = OpenBeside();
  }
  errno = saved_errno;
  return error;
}

int ReportFile::OpenBeside() {
  // Another name each time it is taken: by another thread of ours, or by what
  // a process of the same number left when it was killed.
  for (uint64_t i = 0; i < 100; ++i) {
    Path beside(beside_, sizeof(beside_));
    beside.Add(path_);
    beside.Add('.');
    beside.AddDecimal(static_cast<uint64_t>(getpid()));
    beside.Add('.');
    beside.AddDecimal(i);
    beside.Add(".tmp");
    fd_ = open(beside_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ >= 0) {
      renames_ = true;
      return 0;
    }
    if (errno != EEXIST) return errno;
  }
  return EEXIST;
}

int ReportFile::Close(bool ok) {
  const int saved_errno = errno;
  int error = 0;
  if (close(fd_) != 0) error = errno;
  if (renames_ && ok && error == 0 && rename(beside_, path_) != 0) {
    error = errno;
  }
  if (renames_ && (!ok || error != 0)) unlink(beside_);
  fd_ = -1;
  renames_ = false;
  errno = saved_errno;
  return error;
}

bool KeptStandardError::Keep() {
  const int saved_errno = errno;
  // High, so that the program's files get the numbers that they always had.
  fd_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
  if (fd_ < 0) fd_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  struct stat status;
  if (fd_ >= 0 && fstat(fd_, &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  errno = saved_errno;
  return fd_ >= 0;
}

int KeptStandardError::descriptor() const {
  if (fd_ < 0) return -1;
  const int saved_errno = errno;
  int found = -1;
  // The program may have closed ours as well, as daemons do.
  const int candidates[] = {fd_, STDERR_FILENO};
  for (const int fd : candidates) {
    struct stat status;
    if (fstat(fd, &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_) {
      found = fd;
      break;
    }
  }
  errno = saved_errno;
  return found;
}

}  // namespace spanmalloc
