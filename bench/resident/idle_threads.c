// Many threads that have used the allocator once and do nothing any more.
//
// Usage:    resident_idle_threads [THREADS=2000] [SECONDS=30]
// Measures: What a cache for each thread keeps. First all threads are there and
//           have allocated nothing: their stacks and what the allocator has for
//           a thread at once are the zero line. Then each in turn, some at a
//           time, allocates kObjects of every size, writes and frees them, and
//           goes to sleep for good.
// Sizes:    kSizes between 8 bytes and 32 KiB, in equal ratios.
// Prints:   threads, before_kib (no thread yet), threads_kib (threads that have
//           allocated nothing), samples.

#include <semaphore.h>

#include "../workloads/threads.h"
#include "resident.h"

enum { kSizes = 60, kObjects = 4, kAtOnce = 4, kStackBytes = 64 << 10 };
enum { kSmallest = 8, kLargest = 32 << 10 };

static size_t sizes[kSizes];
static sem_t* turns;  // one for each thread
static uint64_t thread_count;
static sem_t arrived;
static sem_t done;
static sem_t never;

static void InitSizes(void) {
  for (int i = 0; i < kSizes; i++) {
    double doublings = log2((double)kLargest / kSmallest) * i / (kSizes - 1);
    sizes[i] = (size_t)(kSmallest * exp2(doublings) + 0.5);
  }
}

static void Wait(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) continue;
}

static void UseEverySize(void) {
  void* blocks[kSizes][kObjects];
  for (int i = 0; i < kSizes; i++) {
    for (int k = 0; k < kObjects; k++) {
      blocks[i][k] = Allocate(sizes[i]);
      memset(blocks[i][k], k, sizes[i]);
      Escape(blocks[i][k]);
    }
  }
  for (int i = 0; i < kSizes; i++) {
    for (int k = 0; k < kObjects; k++) free(blocks[i][k]);
  }
}

static void* Run(void* argument) {
  uint64_t number = (uint64_t)(uintptr_t)argument;
  sem_post(&arrived);
  Wait(&turns[number]);
  UseEverySize();
  if (number + kAtOnce < thread_count) sem_post(&turns[number + kAtOnce]);
  sem_post(&done);
  Wait(&never);
  return NULL;
}

static void StartAll(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, kStackBytes) != 0)
    Fail("threads cannot have stacks this small");
  for (uint64_t i = 0; i < thread_count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, Run, (void*)(uintptr_t)i) != 0)
      Fail("cannot start a thread");
  }
  for (uint64_t i = 0; i < thread_count; i++) Wait(&arrived);
}

int main(int argc, char** argv) {
  thread_count = NumberArgument(argc, argv, 1, 2000);
  uint64_t seconds = NumberArgument(argc, argv, 2, 30);
  turns = (sem_t*)MapArray(thread_count, sizeof(sem_t));
  for (uint64_t i = 0; i < thread_count; i++) sem_init(&turns[i], 0, 0);
  sem_init(&arrived, 0, 0);
  sem_init(&done, 0, 0);
  sem_init(&never, 0, 0);
  InitSizes();

  WriteNumber("threads", thread_count);
  WriteNumber("before_kib", ReadRssKib());
  StartAll();
  WriteNumber("threads_kib", ReadRssKib());
  for (uint64_t i = 0; i < kAtOnce && i < thread_count; i++)
    sem_post(&turns[i]);
  for (uint64_t i = 0; i < thread_count; i++) Wait(&done);
  StayIdle(seconds);
  return 0;
}
