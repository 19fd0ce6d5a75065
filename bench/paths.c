// One path through an allocator, walked with every call counted by its own.
//
// Usage:    paths PATH SIZE
// Purpose:  profile.sh counts what is executed below the functions Counted...;
//           each of them makes one call and nothing else, so that malloc is
//           told from free. They are called on the path itself, never while it
//           is warmed up. Their calls go through the global offset table
//           (-fno-plt): no stub stands between caller and callee.
// Paths:    hot           malloc, free, the same object each time
//           calloc        the same with calloc
//           realloc       between SIZE and one byte less: the block stays
//           new_delete    operator new and sized operator delete
//           refill        many objects in a row, in a new process
//           flush_fifo    many objects in a row, then all freed: oldest first,
//           flush_lifo      newest first,
//           flush_random    in random order; second round
//           hot_guest     hot, after many longer objects whose slack
//                           (size_classes.h) can hold objects of SIZE
//           flush_guest   the same before flush_random
//           remote        the same in batches that another thread frees
//           large         hot, with fewer pairs
// Failure:  Status 3 if the allocator has no operator new of its own; 2 for
//           everything else. No block is touched: the counts are of the
//           allocator's work, and large ones shall not cost page faults.
//
// Threads take turns by semaphores and never run at the same time, so that all
// counts repeat.

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "workloads/workload.h"

enum {
  kWarmUpPairs = 2000,
  kPairs = 20000,
  kLargePairs = 200,
  kObjects = 50000,
  kBatchObjects = 1000,
  kWarmUpBatches = 4,
  kBatches = 10,
};
static const uint64_t kMostBytes = 32 << 20;  // In one round, or one batch.

// operator new(size_t) and operator delete(void*, size_t), where a library has
// them: a C program does not bring its own.
extern void* _Znwm(size_t size) __attribute__((weak));
extern void _ZdlPvm(void* block, size_t size) __attribute__((weak));

// ---- What is counted. Escape after the call keeps it from becoming a jump.

#define COUNTED __attribute__((noinline)) static

COUNTED void* CountedMalloc(size_t size) {
  void* block = malloc(size);
  Escape(block);
  return block;
}

COUNTED void* CountedCalloc(size_t size) {
  void* block = calloc(1, size);
  Escape(block);
  return block;
}

COUNTED void* CountedRealloc(void* block, size_t size) {
  block = realloc(block, size);
  Escape(block);
  return block;
}

COUNTED void CountedFree(void* block) {
  free(block);
  Escape(block);
}

COUNTED void* CountedNew(size_t size) {
  void* block = _Znwm(size);
  Escape(block);
  return block;
}

COUNTED void CountedDelete(void* block, size_t size) {
  _ZdlPvm(block, size);
  Escape(block);
}

// ---- One object at a time

static void Hot(size_t size, uint64_t pairs) {
  for (uint64_t i = 0; i < kWarmUpPairs; i++) free(Allocate(size));
  for (uint64_t i = 0; i < pairs; i++) CountedFree(CountedMalloc(size));
}

static void Calloc(size_t size) {
  for (uint64_t i = 0; i < kWarmUpPairs; i++) free(calloc(1, size));
  for (uint64_t i = 0; i < kPairs; i++) free(CountedCalloc(size));
}

static void Realloc(size_t size) {
  void* block = realloc(Allocate(size), size - 1);
  for (uint64_t i = 0; i < kPairs; i++) {
    block = CountedRealloc(block, size - i % 2);
  }
  free(block);
}

static void NewDelete(size_t size) {
  if (&_Znwm == NULL || &_ZdlPvm == NULL) exit(3);
  for (uint64_t i = 0; i < kWarmUpPairs; i++) _ZdlPvm(_Znwm(size), size);
  for (uint64_t i = 0; i < kPairs; i++) CountedDelete(CountedNew(size), size);
}

// ---- Many objects in a row

static void AllocateAll(void** blocks, uint64_t count, size_t size,
                        bool counted) {
  for (uint64_t i = 0; i < count; i++) {
    blocks[i] = counted ? CountedMalloc(size) : Allocate(size);
  }
}

static void FreeAll(void** blocks, uint64_t count, bool counted) {
  for (uint64_t i = 0; i < count; i++) {
    if (counted) {
      CountedFree(blocks[i]);
    } else {
      free(blocks[i]);
    }
  }
}

static void Swap(void** blocks, uint64_t i, uint64_t j) {
  void* block = blocks[i];
  blocks[i] = blocks[j];
  blocks[j] = block;
}

// Puts the blocks into the order in which they are to be freed.
static void Arrange(void** blocks, uint64_t count, const char* path) {
  if (strcmp(path, "flush_lifo") == 0) {
    for (uint64_t i = 0; i < count / 2; i++) Swap(blocks, i, count - 1 - i);
  } else if (strcmp(path, "flush_random") == 0) {
    Random random = {11};
    for (uint64_t i = count - 1; i > 0; i--) {
      Swap(blocks, i, RandomBelow(&random, i + 1));
    }
  }
}

static uint64_t CountFor(size_t size, uint64_t count) {
  return count * size <= kMostBytes ? count : kMostBytes / size;
}

static void Refill(size_t size) {
  uint64_t count = CountFor(size, kObjects);
  void** blocks = (void**)MapArray(count, sizeof(void*));
  free(Allocate(1));  // What the first malloc of a process sets up.
  AllocateAll(blocks, count, size, true);
}

static void Flush(size_t size, const char* path) {
  uint64_t count = CountFor(size, kObjects);
  void** blocks = (void**)MapArray(count, sizeof(void*));
  for (int round = 0; round < 2; round++) {
    AllocateAll(blocks, count, size, round == 1);
    Arrange(blocks, count, path);
    FreeAll(blocks, count, round == 1);
  }
}

// Objects of 12 bytes have room for 4 more behind them, and of 24 for 8. They
// stay.
static void AllocateHosts(size_t size) {
  size_t host = size <= 4 ? 12 : 24;
  for (uint64_t i = 0; i < 2 * kObjects; i++) Escape(Allocate(host));
}

// ---- Allocated here, freed there

typedef struct {
  void** blocks;
  uint64_t count;
  sem_t full;
  sem_t empty;
} Exchange;

static void Wait(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) {
    if (errno != EINTR) Fail("sem_wait failed");
  }
}

static void* FreeBatches(void* argument) {
  Exchange* exchange = (Exchange*)argument;
  for (int batch = 0; batch < kWarmUpBatches + kBatches; batch++) {
    Wait(&exchange->full);
    FreeAll(exchange->blocks, exchange->count, batch >= kWarmUpBatches);
    sem_post(&exchange->empty);
  }
  return NULL;
}

static void Remote(size_t size) {
  Exchange exchange;
  exchange.count = CountFor(size, kBatchObjects);
  exchange.blocks = (void**)MapArray(exchange.count, sizeof(void*));
  sem_init(&exchange.full, 0, 0);
  sem_init(&exchange.empty, 0, 0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, FreeBatches, &exchange) != 0) {
    Fail("pthread_create failed");
  }
  for (int batch = 0; batch < kWarmUpBatches + kBatches; batch++) {
    AllocateAll(exchange.blocks, exchange.count, size, batch >= kWarmUpBatches);
    sem_post(&exchange.full);
    Wait(&exchange.empty);
  }
  pthread_join(thread, NULL);
}

int main(int argc, char** argv) {
  if (argc != 3) Fail("usage: paths PATH SIZE");
  const char* path = argv[1];
  size_t size = NumberArgument(argc, argv, 2, 0);
  if (strcmp(path, "hot") == 0) {
    Hot(size, kPairs);
  } else if (strcmp(path, "large") == 0) {
    Hot(size, kLargePairs);
  } else if (strcmp(path, "calloc") == 0) {
    Calloc(size);
  } else if (strcmp(path, "realloc") == 0) {
    Realloc(size);
  } else if (strcmp(path, "new_delete") == 0) {
    NewDelete(size);
  } else if (strcmp(path, "refill") == 0) {
    Refill(size);
  } else if (strcmp(path, "hot_guest") == 0) {
    AllocateHosts(size);
    Hot(size, kPairs);
  } else if (strcmp(path, "flush_guest") == 0) {
    AllocateHosts(size);
    Flush(size, "flush_random");
  } else if (strncmp(path, "flush_", 6) == 0) {
    Flush(size, path);
  } else if (strcmp(path, "remote") == 0) {
    Remote(size);
  } else {
    Fail("no such path");
  }
  return 0;
}
