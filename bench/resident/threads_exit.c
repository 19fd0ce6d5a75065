// What threads leave behind that fill memory, free it and end.
//
// Usage:    resident_threads_exit [THREADS=3] [MEBIBYTES=256] [SECONDS=5]
// Measures: Whether memory in the caches, arenas or heaps of threads that are
//           gone comes back, while the only thread left allocates nothing.
//           MEBIBYTES are each thread's, in objects of 16 bytes to 64 KiB; none
//           frees before all are full.
// Prints:   before_kib, peak_kib, samples.

#include "../workloads/threads.h"
#include "resident.h"

static uint64_t bytes;
static pthread_barrier_t all_full;

static void* Run(void* argument) {
  Random random = {73 + (uint64_t)(uintptr_t)argument};
  Heap heap;
  InitHeap(&heap);
  GrowTo(&heap, &random, bytes, 16, 64 << 10);
  pthread_barrier_wait(&all_full);
  Shrink(&heap, &random, 0);
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t count = NumberArgument(argc, argv, 1, 3);
  bytes = NumberArgument(argc, argv, 2, 256) << 20;
  uint64_t seconds = NumberArgument(argc, argv, 3, 5);
  pthread_barrier_init(&all_full, NULL, (unsigned)count);
  pthread_t* threads = (pthread_t*)MapArray(count, sizeof(pthread_t));

  WriteNumber("before_kib", ReadRssKib());
  for (uint64_t i = 0; i < count; i++)
    StartThread(&threads[i], Run, (void*)(uintptr_t)i);
  for (uint64_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
  WriteNumber("peak_kib", ReadPeakKib());
  StayIdle(seconds);
  return 0;
}
