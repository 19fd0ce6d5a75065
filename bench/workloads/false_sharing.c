// Blocks of different threads that may lie in one cache line.
//
// Usage:    false_sharing [PROBE=active|passive] [THREADS=2] [ROUNDS=20000]
//                         [WRITES=1000] [SIZE=8]
// Measures: Whether threads that write only to blocks of their own disturb each
//           other. In each round a thread allocates kBlocks blocks, writes to
//           all of them in turns, WRITES times each, and frees them.
//             active   the allocator alone decides where the blocks lie
//             passive  each thread starts with kBlocks blocks that the main
//                      thread allocated in turns with those of the others, and
//                      frees them: it must not get them back as its own
// Counted:  2 operations a block, those handed over among them.

#include "threads.h"

enum { kBlocks = 8 };

typedef struct {
  uint64_t rounds;
  uint64_t writes;
  size_t size;
  void* handed[kBlocks];  // NULL in the active probe
  uint64_t checksum;
} Writer;

static pthread_barrier_t all_started;

// Counts up in the blocks themselves: each step loads and stores a line.
static void WriteMany(uint64_t* const* blocks, uint64_t writes) {
  for (uint64_t i = 0; i < writes; i++) {
    for (int k = 0; k < kBlocks; k++) {
      volatile uint64_t* word = blocks[k];
      *word = *word + 1;
    }
  }
}

static uint64_t RunRound(const Writer* writer, uint64_t round) {
  uint64_t* blocks[kBlocks];
  uint64_t checksum = 0;
  for (int k = 0; k < kBlocks; k++) {
    blocks[k] = (uint64_t*)Allocate(writer->size);
    *blocks[k] = round + (uint64_t)k;
  }
  WriteMany(blocks, writer->writes);
  for (int k = 0; k < kBlocks; k++) {
    checksum += *blocks[k];
    free(blocks[k]);
  }
  return checksum;
}

static void* Run(void* argument) {
  Writer writer = *(Writer*)argument;
  pthread_barrier_wait(&all_started);
  for (int k = 0; k < kBlocks && writer.handed[k] != NULL; k++) {
    writer.checksum += ReadEnds(writer.handed[k], writer.size);
    free(writer.handed[k]);
  }
  for (uint64_t round = 0; round < writer.rounds; round++)
    writer.checksum += RunRound(&writer, round);
  ((Writer*)argument)->checksum = writer.checksum;
  return NULL;
}

static void HandOver(Writer* writers, uint64_t count) {
  for (int k = 0; k < kBlocks; k++) {
    for (uint64_t i = 0; i < count; i++) {
      writers[i].handed[k] = Allocate(writers[i].size);
      WriteEnds(writers[i].handed[k], writers[i].size, (unsigned char)i);
    }
  }
}

int main(int argc, char** argv) {
  const char* probe = TextArgument(argc, argv, 1, "active");
  uint64_t count = NumberArgument(argc, argv, 2, 2);
  Writer model = {.rounds = NumberArgument(argc, argv, 3, 20000),
                  .writes = NumberArgument(argc, argv, 4, 1000),
                  .size = NumberArgument(argc, argv, 5, 8)};
  int passive = strcmp(probe, "passive") == 0;
  if (!passive && strcmp(probe, "active") != 0)
    Fail("PROBE is active or passive");
  if (model.size < sizeof(uint64_t)) Fail("SIZE must be 8 at least");
  Writer* writers = (Writer*)MapArray(count, sizeof(Writer));
  pthread_barrier_init(&all_started, NULL, (unsigned)count);

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < count; i++) writers[i] = model;
  if (passive) HandOver(writers, count);
  RunThreads(count, Run, writers, sizeof(Writer));
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < count; i++) checksum += writers[i].checksum;
  uint64_t handed = passive ? 1 : 0;
  Report(2 * count * kBlocks * (model.rounds + handed), NowNs() - start,
         checksum);
  return 0;
}
