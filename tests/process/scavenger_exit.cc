// The end of a process with a scavenger at work: by exit, by quick_exit, by the
// return of main, by the end of its last thread. The thread of the allocator's
// own neither keeps the process alive nor stops it from ending.

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

void MakeWork(size_t count) {
  std::vector<void*> blocks(count);
  for (void*& block : blocks) block = process::Allocate(100000, 1);
  for (void* block : blocks) free(block);
}

template <typename F>
void InChild(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    f();
    process::Fail(__FILE__, __LINE__, "still alive");
  }
  EXPECT_SUCCESS(child);
}

void* WorkAndReturn(void*) {
  MakeWork(100);
  return nullptr;
}

}  // namespace

int main(int, char** argv) {
  process::WithOptions(argv, "scavenge_delay=1ms,scavenger=thread");
  process::Begin(250);
  for (size_t i = 0; i < 40; i++) {
    InChild([i] {
      MakeWork(i * 20);
      exit(0);
    });
    InChild([i] {
      MakeWork(i * 20);
      quick_exit(0);
    });
    // exit while another thread frees.
    InChild([i] {
      std::thread([] {
        for (;;) MakeWork(50);
      }).detach();
      MakeWork(i * 20);
      exit(0);
    });
    // The last thread of the program ends: exit status 0.
    InChild([i] {
      pthread_t threads[3];
      for (pthread_t& thread : threads) {
        CHECK(pthread_create(&thread, nullptr, WorkAndReturn, nullptr) == 0);
        CHECK(pthread_detach(thread) == 0);
      }
      MakeWork(i * 20);
      pthread_exit(nullptr);
    });
  }
  // As this one: by the return of main.
  MakeWork(2000);
  return 0;
}
