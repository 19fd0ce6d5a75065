// A program that enters a sandbox where unexpected system calls are deadly: the
// scavenger starts no thread there, and makes no barrier.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <vector>

#include "tests/process/harness.h"

namespace {

bool Forbid(const std::vector<int>& calls) {
  std::vector<sock_filter> program;
  program.push_back(
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const int call : calls) {
    program.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter = {};
  filter.len = static_cast<unsigned short>(program.size());
  filter.filter = program.data();
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

int main(int, char** argv) {
  process::WithOptions(argv, "scavenge_delay=1ms,scavenger=thread");
  process::Begin(100);
  std::vector<int> calls = {SYS_clone, SYS_membarrier};
#ifdef SYS_clone3
  calls.push_back(SYS_clone3);
#endif
  if (!Forbid(calls)) return process::kSkipped;
  for (int round = 0; round < 5; round++) {
    std::vector<void*> blocks(2000);
    for (void*& block : blocks) block = process::Allocate(50000, 1);
    for (void* block : blocks) free(block);
    process::Churn(1, 20000);
    malloc_trim(0);
  }
  CHECK(process::ThreadsNamed("spanmalloc") == 0);
  return 0;
}
