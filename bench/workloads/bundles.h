// Bundles of marked blocks, handed from one thread to another.
//
// Purpose:  Blocks that are freed by a thread that did not allocate them. One
//           thread fills bundles, one empties them; both sleep when they cannot
//           go on, so that CPU time is work and not spinning.
// Threads:  A bundle at index i of [taken, filled) belongs to the thread that
//           empties, the others to the one that fills; `mutex` guards the two
//           counters, each of which is written by one of the two alone.

#ifndef SPANMALLOC_BENCH_WORKLOADS_BUNDLES_H_
#define SPANMALLOC_BENCH_WORKLOADS_BUNDLES_H_

#include "size_mix.h"
#include "threads.h"

enum { kBundleSize = 256, kChannelBundles = 16 };

typedef struct {
  void* blocks[kBundleSize];
  uint32_t sizes[kBundleSize];
  uint32_t count;
} Bundle;

typedef struct {
  Bundle bundles[kChannelBundles];
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  uint64_t filled;
  uint64_t taken;
} Channel;

static inline void InitChannel(Channel* channel) {
  pthread_mutex_init(&channel->mutex, NULL);
  pthread_cond_init(&channel->changed, NULL);
}

static inline void AdvanceChannel(Channel* channel, uint64_t* counter) {
  pthread_mutex_lock(&channel->mutex);
  ++*counter;
  pthread_cond_signal(&channel->changed);
  pthread_mutex_unlock(&channel->mutex);
}

// Waits for a free bundle and fills it with the blocks of the draws from
// `first` on, `limit` at most. Returns how many there are.
static inline uint64_t FillBundle(Channel* channel, const SizeMix* mix,
                                  uint64_t first, uint64_t limit) {
  pthread_mutex_lock(&channel->mutex);
  while (channel->filled - channel->taken == kChannelBundles)
    pthread_cond_wait(&channel->changed, &channel->mutex);
  pthread_mutex_unlock(&channel->mutex);
  Bundle* bundle = &channel->bundles[channel->filled % kChannelBundles];
  uint32_t count = 0;
  for (; count < kBundleSize && count < limit; count++) {
    size_t size = SizeAt(mix, first + count);
    bundle->sizes[count] = (uint32_t)size;
    bundle->blocks[count] = Allocate(size);
    WriteEnds(bundle->blocks[count], size, (unsigned char)(first + count));
  }
  bundle->count = count;
  AdvanceChannel(channel, &channel->filled);
  return count;
}

// Waits for a bundle, adds what its blocks say to `checksum` and frees them.
// Returns how many there were.
static inline uint64_t EmptyBundle(Channel* channel, uint64_t* checksum) {
  pthread_mutex_lock(&channel->mutex);
  while (channel->filled == channel->taken)
    pthread_cond_wait(&channel->changed, &channel->mutex);
  pthread_mutex_unlock(&channel->mutex);
  Bundle* bundle = &channel->bundles[channel->taken % kChannelBundles];
  uint32_t count = bundle->count;
  for (uint32_t i = 0; i < count; i++) {
    *checksum += ReadEnds(bundle->blocks[i], bundle->sizes[i]);
    free(bundle->blocks[i]);
  }
  AdvanceChannel(channel, &channel->taken);
  return count;
}

#endif  // SPANMALLOC_BENCH_WORKLOADS_BUNDLES_H_
