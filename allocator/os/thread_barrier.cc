#include "allocator/os/thread_barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace spanmalloc {
namespace {

bool Membarrier(int command) {
  const int saved_errno = errno;
  const bool done = syscall(SYS_membarrier, command, 0, 0) == 0;
  errno = saved_errno;
  return done;
}

}  // namespace

bool PrepareThreadBarrier() {
  return Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

bool ThreadBarrier() { return Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); }

}  // namespace spanmalloc
