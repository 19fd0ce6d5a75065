#include "allocator/os/own_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {

OwnMemory::OwnMemory() {
  ErrnoSaver errno_saver;
  fd_ = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
}

OwnMemory::~OwnMemory() {
  ErrnoSaver errno_saver;
  if (fd_ >= 0) close(fd_);
}

bool OwnMemory::Read(uint64_t address, void* out, size_t n) const {
  if (fd_ < 0) return false;
  ErrnoSaver errno_saver;
  char* const bytes = static_cast<char*>(out);
  size_t done = 0;
  while (done < n) {
    const ssize_t got =
        pread(fd_, bytes + done, n - done, static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

}  // namespace spanmalloc
