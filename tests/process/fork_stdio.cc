// fork while other threads allocate inside stdio's locks. Three threads can
// wait for each other in a circle: one forks, holds what the handlers of
// pthread_atfork took, and waits for stdio's list of files; one is in
// fflush(NULL), holds the list and waits for a file; one is in getline, holds
// that file and waits for memory. An allocator that takes its locks in such a
// handler deadlocks here.

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

constexpr int kForks = 100;
constexpr size_t kLine = 400000;
std::atomic<bool> stop{false};

void OpenAndClose() {
  while (!stop.load(std::memory_order_relaxed)) {
    FILE* const file = fopen("/dev/null", "we");
    CHECK(file != nullptr);
    fprintf(file, "%d %s", 12345, "text");  // Allocates the buffer.
    fclose(file);
  }
}

// One long line: getline's buffer passes through every size, under the file's
// lock.
void ReadLines() {
  const int memory = memfd_create("line", MFD_CLOEXEC);
  CHECK(memory >= 0);
  const std::string text(kLine, 'x');
  CHECK(write(memory, text.data(), kLine) == static_cast<ssize_t>(kLine));
  FILE* const file = fdopen(memory, "re");
  CHECK(file != nullptr);
  while (!stop.load(std::memory_order_relaxed)) {
    char* line = nullptr;
    size_t capacity = 0;
    rewind(file);
    CHECK(getline(&line, &capacity, file) == static_cast<ssize_t>(kLine));
    free(line);
  }
  fclose(file);
}

void FlushAll() {
  while (!stop.load(std::memory_order_relaxed)) {
    fflush(nullptr);
    std::this_thread::yield();  // stdio's locks are not fair: fork would
                                // starve.
  }
}

void MemoryStreams() {
  while (!stop.load(std::memory_order_relaxed)) {
    char* text = nullptr;
    size_t size = 0;
    FILE* const stream = open_memstream(&text, &size);
    CHECK(stream != nullptr);
    for (int i = 0; i < 3000; i++)
      fprintf(stream, "%d, ", i);  // Grows by realloc under the lock.
    fclose(stream);
    CHECK(size > 10000);
    free(text);
  }
}

void Child() {
  alarm(60);
  process::Churn(3, 300);
  FILE* const file = fopen("/dev/null", "we");
  CHECK(file != nullptr);
  fputs("from the child\n", file);
  fclose(file);
  char* text = nullptr;
  size_t size = 0;
  FILE* const stream = open_memstream(&text, &size);
  CHECK(stream != nullptr);
  fputs("in memory", stream);
  fclose(stream);
  CHECK(strcmp(text, "in memory") == 0);
  free(text);
  std::thread([] { process::Churn(4, 300); }).join();
  _exit(0);
}

}  // namespace

int main() {
  process::Begin(250);
  std::vector<std::thread> threads;
  threads.emplace_back(&OpenAndClose);
  threads.emplace_back(&ReadLines);
  threads.emplace_back(&ReadLines);
  threads.emplace_back(&FlushAll);
  threads.emplace_back(&MemoryStreams);
  for (int i = 0; i < kForks; i++) {
    const pid_t child = fork();
    if (child == 0) Child();
    EXPECT_SUCCESS(child);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  return 0;
}
