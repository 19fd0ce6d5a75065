// fork from a process whose other threads are inside the allocator at that
// moment. The child finds every lock free and every structure whole: it
// allocates, frees what its parent had, starts threads that allocate, and forks
// again.

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

constexpr int kForks = 120;
constexpr int kThreads = 4;
std::atomic<bool> stop{false};

void Hammer(unsigned seed) {
  while (!stop.load(std::memory_order_relaxed)) {
    process::Churn(seed++, 300);
    // Large blocks and whole batches, for the page heap and the lists in the
    // middle.
    void* const large = process::Allocate(2000000, 1);
    std::vector<void*> blocks(3000);
    for (void*& block : blocks) block = malloc(64);
    for (void* block : blocks) free(block);
    free(large);
  }
}

// Threads that come and go, for the registry of threads.
void ComeAndGo(unsigned seed) {
  while (!stop.load(std::memory_order_relaxed)) {
    std::thread([seed] { process::Churn(seed, 50); }).join();
  }
}

void* ChildsThread(void*) {
  process::Churn(18, 1000);
  return nullptr;
}

// Each pass of the loop is one generation: it starts threads, and forks the
// next while they run.
[[noreturn]] void Child(std::vector<char*> parents_blocks, int generations) {
  for (;; generations--) {
    alarm(100);
    process::Churn(17, 1000);
    for (char* block : parents_blocks) {
      CHECK(block[0] == 5 && block[99] == 5);
      free(realloc(block, 5000));
    }
    pthread_t threads[2];
    for (pthread_t& thread : threads) {
      CHECK(pthread_create(&thread, nullptr, &ChildsThread, nullptr) == 0);
    }
    std::vector<char*> blocks(50);
    for (char*& block : blocks)
      block = static_cast<char*>(process::Allocate(100, 5));
    if (generations > 0) {
      const pid_t child = fork();
      if (child == 0) {
        parents_blocks = blocks;
        continue;
      }
      EXPECT_SUCCESS(child);
    }
    for (pthread_t thread : threads) CHECK(pthread_join(thread, nullptr) == 0);
    void* const large = process::Allocate(5000000, 1);
    CHECK(large != nullptr);
    free(large);
    _exit(0);
  }
}

}  // namespace

int main() {
  process::Begin(250);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; i++)
    threads.emplace_back(&Hammer, i * 1000);
  threads.emplace_back(&ComeAndGo, 99);
  for (int i = 0; i < kForks; i++) {
    std::vector<char*> blocks(50);
    for (char*& block : blocks)
      block = static_cast<char*>(process::Allocate(100, 5));
    const pid_t child = fork();
    if (child == 0) Child(blocks, i % 10 == 0 ? 2 : 0);
    EXPECT_SUCCESS(child);
    for (char* block : blocks) {
      CHECK(block[0] == 5 && block[99] == 5);
      free(block);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  return 0;
}
