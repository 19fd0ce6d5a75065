// A server whose cache ages, and three times grows to ten times its size.
//
// Usage:    resident_server SECONDS
//           resident_server unlimited [REQUESTS=1000000]
// Measures: RSS over time, with SECONDS, at kRate requests a second for each of
//           kThreads threads; throughput without limit. A request has a dozen
//           short-lived blocks and puts a value in place of a random one of its
//           thread's part of the cache. At three times the cache grows, stays
//           large for a while and shrinks, by values that are dropped at
//           random; what is left goes little by little.
// Sizes:    short-lived ones as in the mix "mixed" of size_mix.h; values of
//           16 bytes to 16 KiB, written as a whole. kThreads times kSlots
//           values are 40 MiB.
// Threads:  A value goes through a mailbox that all threads share, so that each
//           frees what others have made. How much is done, and the check sum,
//           depend on no other thread. They wait for each other at every step
//           of kSteps, so that the peaks of all come at one time.
// Counted:  One operation a call of malloc or free.
// Prints:   operations, checksum, wall_ns, cpu_ns, peak_kib; samples kPeriodMs
//           apart with SECONDS.

#include <stdatomic.h>

#include "../workloads/threads.h"
#include "resident.h"

enum { kThreads = 2, kRate = 5000, kBatch = 10, kPeriodMs = 100 };
enum { kSlots = 17700 / kThreads, kPeakFactor = 10, kMailboxes = 64 };
enum {
  kSteps = 100,
  kBlocks = 12,
  kPeaks = 3,
  kSmallestValue = 16,
  kLargestValue = 16384
};

typedef struct {
  unsigned char* bytes;
  size_t size;
} Value;

typedef struct {
  uint64_t number;
  uint64_t requests;
  uint64_t start_ns;  // 0 for no limit
  Value** slots;
  uint64_t slot_count;
  uint64_t operations;
  uint64_t checksum;
  Random random;
} Worker;

// Shares of the time, in percent: when a peak begins, grows, stays and shrinks.
static const double kPeakStarts[kPeaks] = {12, 42, 72};
static const double kRamp = 4;
static const double kHold = 8;

static SizeMix mix;
static _Atomic(Value*) mailboxes[kMailboxes];
static pthread_barrier_t step;

// How many values the cache should have, after this share of all requests.
static uint64_t WantedSlots(double percent) {
  double height = 0;
  for (int i = 0; i < kPeaks; i++) {
    double since = percent - kPeakStarts[i];
    double left = 2 * kRamp + kHold - since;
    double one = fmin(1, fmin(since, left) / kRamp);
    height = fmax(height, one);
  }
  return (uint64_t)(kSlots * (1 + (kPeakFactor - 1) * height));
}

static void FreeValue(Worker* worker, Value* value) {
  if (value == NULL) return;
  worker->checksum += ReadEnds(value->bytes, value->size);
  free(value->bytes);
  free(value);
  worker->operations += 2;
}

// A new value goes into a mailbox, and what was there is returned.
static Value* MakeValue(Worker* worker) {
  Value* value = (Value*)Allocate(sizeof(Value));
  value->size = LogUniformSize(&worker->random, kSmallestValue, kLargestValue);
  value->bytes = (unsigned char*)Allocate(value->size);
  memset(value->bytes, (int)(value->size & 255), value->size);
  Escape(value->bytes);
  worker->operations += 2;
  uint64_t box = RandomBelow(&worker->random, kMailboxes);
  return atomic_exchange(&mailboxes[box], value);
}

static void UseBlocks(Worker* worker, uint64_t request) {
  void* blocks[kBlocks];
  uint64_t first = request * kBlocks;
  for (uint64_t i = 0; i < kBlocks; i++) {
    size_t size = SizeAt(&mix, first + i);
    blocks[i] = Allocate(size);
    WriteEnds(blocks[i], size, (unsigned char)i);
  }
  for (uint64_t i = 0; i < kBlocks; i++) {
    worker->checksum += ReadEnds(blocks[i], SizeAt(&mix, first + i));
    free(blocks[i]);
  }
  worker->operations += 2 * kBlocks;
}

static void UpdateCache(Worker* worker, uint64_t wanted) {
  while (worker->slot_count < wanted)
    worker->slots[worker->slot_count++] = MakeValue(worker);
  while (worker->slot_count > wanted) {
    uint64_t victim = RandomBelow(&worker->random, worker->slot_count);
    FreeValue(worker, worker->slots[victim]);
    worker->slots[victim] = worker->slots[--worker->slot_count];
  }
  uint64_t replaced = RandomBelow(&worker->random, worker->slot_count);
  FreeValue(worker, worker->slots[replaced]);
  worker->slots[replaced] = MakeValue(worker);
}

static void* Run(void* argument) {
  Worker worker = *(Worker*)argument;
  worker.random.state = worker.number;
  worker.slots = (Value**)MapArray(kSlots * kPeakFactor, sizeof(Value*));
  for (uint64_t i = 0; i < worker.requests; i++) {
    if (i % (worker.requests / kSteps + 1) == 0) pthread_barrier_wait(&step);
    if (worker.start_ns != 0 && i % kBatch == 0)
      SleepUntilNs(worker.start_ns + i * (1000000000u / kRate));
    UseBlocks(&worker, i);
    UpdateCache(&worker,
                WantedSlots(100 * (double)i / (double)worker.requests));
  }
  *(Worker*)argument = worker;
  return NULL;
}

static uint64_t CpuNs(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void WatchRss(uint64_t start_ns, uint64_t seconds) {
  for (uint64_t at = 0; at <= 1000 * seconds; at += kPeriodMs) {
    SleepUntilNs(start_ns + 1000000u * at);
    WriteSample(at);
  }
}

static void ReportAll(Worker* workers, uint64_t wall_ns, uint64_t cpu_ns) {
  Worker total = {0};
  for (int i = 0; i < kThreads; i++) {
    for (uint64_t k = 0; k < workers[i].slot_count; k++)
      FreeValue(&total, workers[i].slots[k]);
    total.operations += workers[i].operations;
    total.checksum += workers[i].checksum;
  }
  for (int i = 0; i < kMailboxes; i++) FreeValue(&total, mailboxes[i]);
  WriteNumber("operations", total.operations);
  WriteNumber("wall_ns", wall_ns);
  WriteNumber("checksum", total.checksum);
  WriteNumber("cpu_ns", cpu_ns);
  WriteNumber("peak_kib", ReadPeakKib());
}

int main(int argc, char** argv) {
  bool unlimited = strcmp(TextArgument(argc, argv, 1, "60"), "unlimited") == 0;
  uint64_t seconds = unlimited ? 0 : NumberArgument(argc, argv, 1, 60);
  uint64_t requests =
      unlimited ? NumberArgument(argc, argv, 2, 1000000) : kRate * seconds;
  InitSizeMix(&mix, "mixed");
  static Worker workers[kThreads];
  pthread_t threads[kThreads];

  pthread_barrier_init(&step, NULL, kThreads);
  uint64_t start = NowNs();
  for (int i = 0; i < kThreads; i++) {
    workers[i].number = (uint64_t)i;
    workers[i].requests = requests;
    workers[i].start_ns = unlimited ? 0 : start;
    StartThread(&threads[i], Run, &workers[i]);
  }
  if (!unlimited) WatchRss(start, seconds);
  for (int i = 0; i < kThreads; i++) pthread_join(threads[i], NULL);
  ReportAll(workers, NowNs() - start, CpuNs());
  return 0;
}
