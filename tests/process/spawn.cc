// The other ways to start a process: vfork, posix_spawn, and clone called
// directly, where no handler of pthread_atfork runs; with threads allocating
// meanwhile.

#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/process/harness.h"

extern char** environ;

namespace {

constexpr int kRounds = 100;
char true_program[] = "true";
char* const arguments[] = {true_program, nullptr};
std::atomic<bool> stop{false};

void Vfork() {
  for (int i = 0; i < kRounds; i++) {
    const pid_t child = vfork();
    if (child == 0) {
      execvp("true", arguments);
      _exit(1);
    }
    EXPECT_SUCCESS(child);
    process::Churn(1, 50);
  }
}

void PosixSpawn() {
  for (int i = 0; i < kRounds; i++) {
    pid_t child = -1;
    CHECK(posix_spawnp(&child, "true", nullptr, nullptr, arguments, environ) ==
          0);
    EXPECT_SUCCESS(child);
    process::Churn(2, 50);
  }
}

// A child by the bare system call: a copy of this process made behind the C
// library's back. Only with no other thread about may such a child allocate.
void RawClone() {
  for (int i = 0; i < kRounds; i++) {
    void* const parents = process::Allocate(1000, 1);
    const auto child =
        static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (child == 0) {
      process::Churn(3, 300);
      free(parents);
      _exit(0);
    }
    EXPECT_SUCCESS(child);
    free(parents);
  }
}

// A child that shares the parent's memory while the parent waits: what it
// allocates and frees, the parent has allocated and freed.
void SharedMemoryClone() {
  static void* from_child;
  constexpr size_t kStack = 262144;
  char* const stack = static_cast<char*>(process::Allocate(kStack, 0));
  for (int i = 0; i < kRounds; i++) {
    void* parents = process::Allocate(500, 2);
    const pid_t child = clone(
        [](void* argument) -> int {
          free(*static_cast<void**>(argument));
          from_child = process::Allocate(700, 3);
          process::Churn(4, 300);
          _exit(0);
        },
        stack + kStack, CLONE_VM | CLONE_VFORK | SIGCHLD, &parents);
    EXPECT_SUCCESS(child);
    CHECK(static_cast<char*>(from_child)[699] == 3);
    free(from_child);
    process::Churn(5, 300);
  }
  free(stack);
}

void Hammer() {
  for (unsigned seed = 1; !stop.load(std::memory_order_relaxed); seed++)
    process::Churn(seed, 300);
}

}  // namespace

int main() {
  process::Begin(120);
  RawClone();
  SharedMemoryClone();
  Vfork();
  PosixSpawn();
  std::thread one(&Hammer);
  std::thread two(&Hammer);
  Vfork();
  PosixSpawn();
  SharedMemoryClone();
  stop = true;
  one.join();
  two.join();
  return 0;
}
