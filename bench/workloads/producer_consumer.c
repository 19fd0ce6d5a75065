// Blocks allocated in one thread and freed in another.
//
// Usage:    producer_consumer [PAIRS=1] [BLOCKS=4000000] [MIX=mixed]
// Measures: The way back of remotely freed memory. Each pair of threads shares
//           a ring; the producer allocates and marks blocks, the consumer reads
//           the marks and frees. Both take turns in the ring by whole bundles
//           and sleep when it is full or empty, so that CPU time is work and
//           not spinning.
// Counted:  2 operations a block; BLOCKS is the number for each pair.

#include <pthread.h>

#include "size_mix.h"

enum { kBundleSize = 256, kRingBundles = 16 };

typedef struct {
  void* blocks[kBundleSize];
  uint32_t sizes[kBundleSize];
  uint32_t count;
} Bundle;

// A bundle at index i of [taken, filled) belongs to the consumer, the others
// to the producer; mutex guards the two counters.
typedef struct {
  Bundle bundles[kRingBundles];
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  uint64_t filled;
  uint64_t taken;
  uint64_t block_count;
  uint64_t checksum;  // the consumer's, read after it has been joined
} Ring;

static SizeMix mix;

static void WaitForFreeBundle(Ring* ring) {
  pthread_mutex_lock(&ring->mutex);
  while (ring->filled - ring->taken == kRingBundles) {
    pthread_cond_wait(&ring->changed, &ring->mutex);
  }
  pthread_mutex_unlock(&ring->mutex);
}

static void WaitForFilledBundle(Ring* ring) {
  pthread_mutex_lock(&ring->mutex);
  while (ring->filled == ring->taken)
    pthread_cond_wait(&ring->changed, &ring->mutex);
  pthread_mutex_unlock(&ring->mutex);
}

static void Advance(Ring* ring, uint64_t* counter) {
  pthread_mutex_lock(&ring->mutex);
  ++*counter;
  pthread_cond_signal(&ring->changed);
  pthread_mutex_unlock(&ring->mutex);
}

static void* Produce(void* argument) {
  Ring* ring = (Ring*)argument;
  for (uint64_t made = 0; made < ring->block_count;) {
    WaitForFreeBundle(ring);
    Bundle* bundle = &ring->bundles[ring->filled % kRingBundles];
    uint32_t count = 0;
    for (; count < kBundleSize && made < ring->block_count; count++, made++) {
      size_t size = SizeAt(&mix, made);
      bundle->sizes[count] = (uint32_t)size;
      bundle->blocks[count] = Allocate(size);
      WriteEnds(bundle->blocks[count], size, (unsigned char)made);
    }
    bundle->count = count;
    Advance(ring, &ring->filled);
  }
  return NULL;
}

static void* Consume(void* argument) {
  Ring* ring = (Ring*)argument;
  uint64_t checksum = 0;
  for (uint64_t freed = 0; freed < ring->block_count;) {
    WaitForFilledBundle(ring);
    Bundle* bundle = &ring->bundles[ring->taken % kRingBundles];
    for (uint32_t i = 0; i < bundle->count; i++, freed++) {
      checksum += ReadEnds(bundle->blocks[i], bundle->sizes[i]);
      free(bundle->blocks[i]);
    }
    Advance(ring, &ring->taken);
  }
  ring->checksum = checksum;
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t pairs = NumberArgument(argc, argv, 1, 1);
  uint64_t block_count = NumberArgument(argc, argv, 2, 4000000);
  InitSizeMix(&mix, TextArgument(argc, argv, 3, "mixed"));
  Ring* rings = (Ring*)MapArray(pairs, sizeof(Ring));
  pthread_t* threads = (pthread_t*)MapArray(2 * pairs, sizeof(pthread_t));

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < pairs; i++) {
    pthread_mutex_init(&rings[i].mutex, NULL);
    pthread_cond_init(&rings[i].changed, NULL);
    rings[i].block_count = block_count;
    if (pthread_create(&threads[2 * i], NULL, Produce, &rings[i]) != 0 ||
        pthread_create(&threads[2 * i + 1], NULL, Consume, &rings[i]) != 0) {
      Fail("cannot start a thread");
    }
  }
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < 2 * pairs; i++) pthread_join(threads[i], NULL);
  for (uint64_t i = 0; i < pairs; i++) checksum += rings[i].checksum;
  Report(2 * pairs * block_count, NowNs() - start, checksum);
  return 0;
}
