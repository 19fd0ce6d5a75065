// Code that runs in a forked child, so that what it does to the process is
// gone with it: limits, and system calls that a seccomp filter denies.
#ifndef SPANMALLOC_TESTS_SUPPORT_RESTRICTED_CHILD_H_
#define SPANMALLOC_TESTS_SUPPORT_RESTRICTED_CHILD_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace spanmalloc {

// What a child says that can't do what it wanted to.
constexpr int kChildSkips = 77;

// The child's exit status: what `body` returns, or 1000 and the number of the
// signal that killed it.
template <typename F>
int InChild(F body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

// For the calling thread and those that it makes: each of these system calls
// ends as `action` says, and all others are allowed. False where the system
// has no filters.
inline bool Filter(std::initializer_list<long> calls, uint32_t action) {
  constexpr size_t kMost = 8;
  if (calls.size() > kMost) return false;
  sock_filter program[2 * kMost + 2];
  unsigned short size = 0;
  program[size++] =
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (const long call : calls) {
    program[size++] =
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1);
    program[size++] = BPF_STMT(BPF_RET | BPF_K, action);
  }
  program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog filter = {size, program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

// Each of these calls fails with that error.
inline bool Deny(std::initializer_list<long> calls, int error) {
  return Filter(calls, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error));
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_RESTRICTED_CHILD_H_
