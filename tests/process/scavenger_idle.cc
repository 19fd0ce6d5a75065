// A process that frees its memory and then sleeps: the memory goes back without
// another call of malloc or free, from the page heap, from the caches of
// threads that sleep too, and from spans of which a few objects are left. The
// thread that does it comes when there is something to do, has its signals
// blocked, and then sleeps without waking up.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/process/harness.h"

namespace {

constexpr size_t kMebibyte = 1 << 20;
constexpr const char* kThread = "spanmalloc";

void Nap() {
  const timespec time = {0, 20'000'000};
  nanosleep(&time, nullptr);
}

// Waits, without allocating, until at most so many bytes are resident.
void WaitUntilResident(size_t bytes) {
  for (int i = 0; i < 1500; i++) {
    if (process::ResidentBytes() <= bytes) return;
    Nap();
  }
  char text[100];
  snprintf(text, sizeof(text), "%zu bytes stay resident, not %zu",
           process::ResidentBytes(), bytes);
  process::Fail(__FILE__, __LINE__, text);
}

// Blocks of one size, and their number before and after what lies in `bytes`.
struct Blocks {
  Blocks(size_t size, size_t bytes) : blocks(bytes / size) {
    for (void*& block : blocks) block = process::Allocate(size, 1);
  }
  // Keeps every n-th, or none.
  void Free(size_t keep_every) {
    for (size_t i = 0; i < blocks.size(); i++) {
      if (keep_every != 0 && i % keep_every == 0) continue;
      free(blocks[i]);
      blocks[i] = nullptr;
    }
  }
  std::vector<void*> blocks;
};

void FreeEverything(size_t size) {
  const size_t before = process::ResidentBytes();
  Blocks blocks(size, 128 * kMebibyte);
  CHECK(process::ResidentBytes() > 100 * kMebibyte);
  blocks.Free(0);
  // The vector of pointers, and what the allocator keeps of small sizes.
  WaitUntilResident(before + 128 * kMebibyte / size * 9 + 6 * kMebibyte);
}

// Objects of 16 KiB, of which every third stays: no span is empty.
void FreeInsideSpans() {
  const size_t before = process::ResidentBytes();
  Blocks blocks(16384, 128 * kMebibyte);
  blocks.Free(4);
  WaitUntilResident(before + 128 * kMebibyte / 4 + 16 * kMebibyte);
  for (void* block : blocks.blocks) {
    CHECK(block == nullptr || static_cast<char*>(block)[16383] == 1);
  }
  blocks.Free(0);
}

pthread_barrier_t filled, leave;

void* FillCacheAndSleep(void*) {
  constexpr int kMost = 64;
  void* blocks[kMost];
  for (size_t size = 16; size <= 32768; size += size / 2) {
    const int count = size < 2048 ? kMost : 8;
    for (int i = 0; i < count; i++) blocks[i] = process::Allocate(size, 1);
    for (int i = 0; i < count; i++) free(blocks[i]);
  }
  pthread_barrier_wait(&filled);
  pthread_barrier_wait(&leave);
  return nullptr;
}

void CachesOfSleepingThreads() {
  constexpr unsigned kThreads = 200;
  pthread_barrier_init(&filled, nullptr, kThreads + 1);
  pthread_barrier_init(&leave, nullptr, kThreads + 1);
  pthread_t threads[kThreads];
  const size_t before = process::ResidentBytes();
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, FillCacheAndSleep, nullptr) == 0);
  }
  pthread_barrier_wait(&filled);
  // Of each thread its stack, its record, and next to nothing else.
  WaitUntilResident(before + kThreads * 48 * 1024 + 6 * kMebibyte);
  pthread_barrier_wait(&leave);
  for (pthread_t thread : threads) CHECK(pthread_join(thread, nullptr) == 0);
}

// The number behind the title in the status of the scavenger's thread.
unsigned long long ThreadStatus(const char* title, int base) {
  static char text[8192];
  for (int id = getpid(); id < getpid() + 100000; id++) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/status", id);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    const ssize_t got = read(file, text, sizeof(text) - 1);
    close(file);
    CHECK(got > 0);
    text[got] = '\0';
    if (strstr(text, "Name:\tspanmalloc\n") == nullptr) continue;
    const char* const found = strstr(text, title);
    CHECK(found != nullptr);
    return strtoull(found + strlen(title), nullptr, base);
  }
  process::Fail(__FILE__, __LINE__, "no thread of the scavenger's");
}

void RestsWithoutTimer() {
  const char* const kSwitches = "\nvoluntary_ctxt_switches:";
  // It may have to look a last time.
  unsigned long long before = ThreadStatus(kSwitches, 10);
  for (int quiet = 0, tries = 0; quiet < 10; tries++) {
    CHECK(tries < 1000);
    Nap();
    const unsigned long long now = ThreadStatus(kSwitches, 10);
    quiet = now == before ? quiet + 1 : 0;
    before = now;
  }
  // Far more than the delay of 20 ms has passed: now it sleeps for good.
  for (int i = 0; i < 50; i++) Nap();
  CHECK(ThreadStatus(kSwitches, 10) == before);
}

}  // namespace

int main(int, char** argv) {
  process::WithOptions(argv, "scavenge_delay=20ms");
  process::Begin(250);
  if (!process::OnSpanmalloc()) return 0;
  process::Churn(1, 10000);
  // One thread and little to do.
  CHECK(process::ThreadsNamed(kThread) == 0);
  for (const size_t size : {100, 5000, 30000, 200000, 50 << 20}) {
    FreeEverything(size);
  }
  CHECK(process::ThreadsNamed(kThread) == 1);
  FreeInsideSpans();
  CachesOfSleepingThreads();
  RestsWithoutTimer();
  const unsigned long long blocked = ThreadStatus("\nSigBlk:", 16);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGALRM, SIGCHLD}) {
    CHECK((blocked >> (number - 1) & 1) != 0);
  }
  // And it wakes up again.
  FreeEverything(5000);
  return 0;
}
