// Threads that all do the same, each with a context of its own.
//
// Purpose:  One way of starting and joining for every workload whose threads
//           meet nobody but each other.
// Contexts: The elements of an array, so neighbours share cache lines. A thread
//           writes to its own only when it is done, lest the driver itself
//           disturb the measurement.

#ifndef SPANMALLOC_BENCH_WORKLOADS_THREADS_H_
#define SPANMALLOC_BENCH_WORKLOADS_THREADS_H_

#include <pthread.h>

#include "workload.h"

typedef void* (*ThreadFunction)(void* context);

static inline void StartThread(pthread_t* thread, ThreadFunction run,
                               void* context) {
  if (pthread_create(thread, NULL, run, context) != 0)
    Fail("cannot start a thread");
}

// Runs `run` on each of the contexts and returns when all have ended. The first
// is the caller's own, so that a run with one thread starts none.
static inline void RunThreads(uint64_t count, ThreadFunction run,
                              void* contexts, size_t context_size) {
  pthread_t* threads = (pthread_t*)MapArray(count, sizeof(pthread_t));
  char* first = (char*)contexts;
  for (uint64_t i = 1; i < count; i++)
    StartThread(&threads[i], run, first + i * context_size);
  run(first);
  for (uint64_t i = 1; i < count; i++) pthread_join(threads[i], NULL);
}

#endif  // SPANMALLOC_BENCH_WORKLOADS_THREADS_H_
