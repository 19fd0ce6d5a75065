#include "allocator/os/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {

int MappedFile::Open(const char* path) {
  Close();
  const ErrnoSaver errno_saver;
  // Should it be a pipe, nobody may be there to write to it.
  const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = 0;
  struct stat status;
  if (fstat(fd, &status) != 0) {
    error = errno;
  } else if (!S_ISREG(status.st_mode)) {
    error = EINVAL;
  } else if (status.st_size > 0) {
    const size_t size = static_cast<size_t>(status.st_size);
    void* const memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
      error = errno;
    } else {
      data_ = static_cast<const char*>(memory);
      size_ = size;
    }
  }
  close(fd);
  return error;
}

void MappedFile::Close() {
  if (data_ == nullptr) return;
  const ErrnoSaver errno_saver;
  munmap(const_cast<char*>(data_), size_);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace spanmalloc
