// Threads that come, allocate a little and go.
//
// Usage:    thread_churn [THREADS=20000] [BLOCKS=200] [AT_ONCE=2] [MIX=mixed]
// Measures: What a thread costs the allocator at its start and end, and whether
//           caches of dead threads are used again (peak RSS). Each thread frees
//           three blocks of four; the fourth outlives it and is freed by the
//           main thread, AT_ONCE threads later.
// Counted:  2 operations a block.

#include "size_mix.h"
#include "threads.h"

enum { kMaxAtOnce = 256, kMaxBlocks = 4096, kKeepEvery = 4 };

typedef struct {
  pthread_t thread;
  uint64_t block_count;
  uint64_t first_draw;
  uint64_t checksum;
  void* blocks[kMaxBlocks];
} Worker;

static SizeMix mix;

static uint64_t FreeOne(const Worker* worker, uint64_t index) {
  uint64_t sum =
      ReadEnds(worker->blocks[index], SizeAt(&mix, worker->first_draw + index));
  free(worker->blocks[index]);
  return sum;
}

static void* Run(void* argument) {
  Worker* worker = (Worker*)argument;
  for (uint64_t i = 0; i < worker->block_count; i++) {
    size_t size = SizeAt(&mix, worker->first_draw + i);
    worker->blocks[i] = Allocate(size);
    WriteEnds(worker->blocks[i], size, (unsigned char)i);
  }
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < worker->block_count; i++) {
    if (i % kKeepEvery != 0) checksum += FreeOne(worker, i);
  }
  worker->checksum = checksum;
  return NULL;
}

// Waits for the thread and frees what it left behind.
static uint64_t Finish(Worker* worker) {
  pthread_join(worker->thread, NULL);
  uint64_t checksum = worker->checksum;
  for (uint64_t i = 0; i < worker->block_count; i += kKeepEvery)
    checksum += FreeOne(worker, i);
  return checksum;
}

int main(int argc, char** argv) {
  uint64_t thread_count = NumberArgument(argc, argv, 1, 20000);
  uint64_t block_count = NumberArgument(argc, argv, 2, 200);
  uint64_t at_once = NumberArgument(argc, argv, 3, 2);
  InitSizeMix(&mix, TextArgument(argc, argv, 4, "mixed"));
  if (at_once > kMaxAtOnce || block_count > kMaxBlocks)
    Fail("AT_ONCE or BLOCKS is too large");
  Worker* workers = (Worker*)MapArray(at_once, sizeof(Worker));
  uint64_t checksum = 0;

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < thread_count; i++) {
    Worker* worker = &workers[i % at_once];
    if (i >= at_once) checksum += Finish(worker);
    worker->block_count = block_count;
    worker->first_draw = i * block_count;
    StartThread(&worker->thread, Run, worker);
  }
  uint64_t running = thread_count < at_once ? thread_count : at_once;
  for (uint64_t i = 0; i < running; i++) checksum += Finish(&workers[i]);
  Report(2 * thread_count * block_count, NowNs() - start, checksum);
  return 0;
}
