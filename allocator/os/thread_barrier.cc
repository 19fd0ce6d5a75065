#include "allocator/os/thread_barrier.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "allocator/os/errno_saver.h"

namespace spanmalloc {
namespace {

// <linux/membarrier.h> has them since Linux 4.14, which is younger than some
// systems that we are compiled on.
constexpr int kPrivateExpedited = 1 << 3;
constexpr int kRegisterPrivateExpedited = 1 << 4;

bool Membarrier(int command) {
  ErrnoSaver errno_saver;
  // Compilers must not move accesses over it, and don't: it is a call of a
  // function that they cannot see.
  return syscall(SYS_membarrier, command, 0, 0) == 0;
}

}  // namespace

bool PrepareThreadBarrier() { return Membarrier(kRegisterPrivateExpedited); }

bool ThreadBarrier() { return Membarrier(kPrivateExpedited); }

}  // namespace spanmalloc
