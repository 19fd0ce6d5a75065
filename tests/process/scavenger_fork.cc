// fork at any moment of the scavenger's work. The child has no such thread and
// does without it until it needs one; its memory goes back then, too. Nothing
// of what parent or child hold is lost, and nothing hangs.

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

constexpr size_t kMebibyte = 1 << 20;
constexpr const char* kThread = "spanmalloc";
std::atomic<bool> stop{false};

// Memory that comes and goes, so that there is always something to release.
void ComeAndGo(unsigned seed) {
  while (!stop.load(std::memory_order_relaxed)) {
    std::vector<void*> blocks(2000);
    for (size_t i = 0; i < blocks.size(); i++) {
      blocks[i] = process::Allocate((i * 37 + seed) % 9000 + 1, 1);
    }
    for (void* block : blocks) free(block);
    process::Churn(seed++, 300);
  }
}

void Nap() {
  const timespec time = {0, 10'000'000};
  nanosleep(&time, nullptr);
}

void WaitForThread() {
  for (int i = 0; process::ThreadsNamed(kThread) != 1; i++) {
    CHECK(i < 3000);
    Nap();
  }
}

void AllocateAndWaitUntilReleased() {
  const size_t before = process::ResidentBytes();
  std::vector<void*> blocks(1000);
  for (void*& block : blocks) block = process::Allocate(65536, 1);
  for (void* block : blocks) free(block);
  for (int i = 0; process::ResidentBytes() > before + 16 * kMebibyte; i++) {
    CHECK(i < 3000);
    Nap();
  }
}

// A child of vfork runs in the memory of its parent. Whatever it does there, a
// thread that it made would be none of the parent's.
void VforkedChildFrees() {
  if (!process::OnSpanmalloc()) return;
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);
    void* const block = process::Allocate(64 * kMebibyte, 1);
    CHECK(process::ThreadsNamed(kThread) == 0);
    const pid_t grandchild = vfork();
    if (grandchild == 0) {
      free(block);
      _exit(0);
    }
    EXPECT_SUCCESS(grandchild);
    AllocateAndWaitUntilReleased();
    WaitForThread();
    _exit(0);
  }
  EXPECT_SUCCESS(child);
}

// A child that no handler of pthread_atfork was told about, by its exit.
void RawlyClonedChildExits() {
  for (int i = 0; i < 10; i++) {
    const auto child =
        static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (child == 0) exit(0);
    EXPECT_SUCCESS(child);
  }
}

}  // namespace

int main(int, char** argv) {
  process::WithOptions(argv, "scavenge_delay=1ms,scavenger=thread");
  process::Begin(250);
  VforkedChildFrees();
  RawlyClonedChildExits();
  std::thread first(ComeAndGo, 1), second(ComeAndGo, 1000);
  for (int i = 0; i < 200; i++) {
    std::vector<char*> blocks(200);
    for (size_t j = 0; j < blocks.size(); j++) {
      blocks[j] = static_cast<char*>(process::Allocate(100 + j * 50, 5));
    }
    const pid_t child = fork();
    if (child == 0) {
      alarm(100);
      for (size_t j = 0; j < blocks.size(); j++) {
        CHECK(blocks[j][0] == 5 && blocks[j][99 + j * 50] == 5);
        free(blocks[j]);
      }
      process::Churn(3, 1000);
      if (i % 20 == 0 && process::OnSpanmalloc()) {
        AllocateAndWaitUntilReleased();
        WaitForThread();
      }
      // Half of them by exit handlers, half without.
      if (i % 2 == 0) _exit(0);
      exit(0);
    }
    EXPECT_SUCCESS(child);
    for (size_t j = 0; j < blocks.size(); j++) {
      CHECK(blocks[j][0] == 5 && blocks[j][99 + j * 50] == 5);
      free(blocks[j]);
    }
  }
  stop = true;
  first.join();
  second.join();
  return 0;
}
