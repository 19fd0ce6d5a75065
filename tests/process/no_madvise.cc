// A sandbox that denies madvise, alone or with other system calls that an
// allocator can do without. The program goes on; above all, calloc does not
// take pages for cleared that the system refused to give up.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

bool Deny(std::initializer_list<int> calls, int error) {
  std::vector<sock_filter> program;
  program.push_back(
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const int call : calls) {
    program.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(
        BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter = {};
  filter.len = static_cast<unsigned short>(program.size());
  filter.filter = program.data();
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

void Work() {
  process::Churn(1, 20000);
  for (const size_t size :
       {size_t{100}, size_t{5000}, size_t{200000}, size_t{30} << 20}) {
    const size_t count = size < 1000000 ? 3000000 / size + 3 : 2;
    std::vector<unsigned char*> blocks(count);
    for (int round = 0; round < 3; round++) {
      for (unsigned char*& block : blocks) {
        block = static_cast<unsigned char*>(process::Allocate(size, 0xff));
        CHECK(block != nullptr);
      }
      for (unsigned char* block : blocks) free(block);
      malloc_trim(0);
      for (unsigned char*& block : blocks) {
        block = static_cast<unsigned char*>(calloc(1, size));
        CHECK(block != nullptr);
        for (size_t i = 0; i < size; i++) CHECK(block[i] == 0);
        block = static_cast<unsigned char*>(realloc(block, size * 2));
        CHECK(block != nullptr && block[size - 1] == 0);
        memset(block, 0xff, size * 2);
        block = static_cast<unsigned char*>(realloc(block, size / 2));
        CHECK(block != nullptr && block[size / 2 - 1] == 0xff);
      }
      for (unsigned char* block : blocks) free(block);
      malloc_trim(0);
    }
  }
  std::thread([] { process::Churn(2, 5000); }).join();
}

void InSandbox(std::initializer_list<int> calls, int error) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);
    if (!Deny(calls, error)) _exit(process::kSkipped);
    Work();
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      process::Churn(3, 5000);
      _exit(0);
    }
    EXPECT_SUCCESS(grandchild);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == process::kSkipped) {
    printf("no seccomp filters here\n");
    exit(process::kSkipped);
  }
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace

int main(int, char** argv) {
  // So that the scavenger tries all the time, too.
  process::WithOptions(argv, "scavenger=inline,scavenge_delay=1ms");
  process::Begin(250);
  InSandbox({SYS_madvise}, EPERM);
  InSandbox({SYS_madvise}, ENOSYS);
  InSandbox({SYS_madvise}, EINVAL);
  InSandbox({SYS_mremap}, EPERM);
  InSandbox({SYS_madvise, SYS_mremap, SYS_membarrier, SYS_sched_getaffinity,
             SYS_prctl},
            EPERM);
  return 0;
}
