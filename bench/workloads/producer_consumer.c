// Blocks allocated in one thread and freed in another.
//
// Usage:    producer_consumer [PAIRS=1] [BLOCKS=4000000] [MIX=mixed]
// Measures: The way back of remotely freed memory. Each pair of threads shares
//           a channel; the producer allocates and marks blocks, the consumer
//           reads the marks and frees. Neither ever does the other's part.
// Counted:  2 operations a block; BLOCKS is the number for each pair.

#include "bundles.h"

typedef struct {
  Channel channel;
  uint64_t block_count;
  uint64_t checksum;  // the consumer's, read after it has been joined
} Pair;

static SizeMix mix;

static void* Produce(void* argument) {
  Pair* pair = (Pair*)argument;
  for (uint64_t made = 0; made < pair->block_count;)
    made += FillBundle(&pair->channel, &mix, made, pair->block_count - made);
  return NULL;
}

static void* Consume(void* argument) {
  Pair* pair = (Pair*)argument;
  uint64_t checksum = 0;
  for (uint64_t freed = 0; freed < pair->block_count;)
    freed += EmptyBundle(&pair->channel, &checksum);
  pair->checksum = checksum;
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t pair_count = NumberArgument(argc, argv, 1, 1);
  uint64_t block_count = NumberArgument(argc, argv, 2, 4000000);
  InitSizeMix(&mix, TextArgument(argc, argv, 3, "mixed"));
  Pair* pairs = (Pair*)MapArray(pair_count, sizeof(Pair));
  pthread_t* threads = (pthread_t*)MapArray(2 * pair_count, sizeof(pthread_t));

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < pair_count; i++) {
    InitChannel(&pairs[i].channel);
    pairs[i].block_count = block_count;
    StartThread(&threads[2 * i], Produce, &pairs[i]);
    StartThread(&threads[2 * i + 1], Consume, &pairs[i]);
  }
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < 2 * pair_count; i++) pthread_join(threads[i], NULL);
  for (uint64_t i = 0; i < pair_count; i++) checksum += pairs[i].checksum;
  Report(2 * pair_count * block_count, NowNs() - start, checksum);
  return 0;
}
