// Named mixes of block sizes, drawn ahead of time into a table.
//
// Purpose:  Let workloads share size distributions and spend no time on them:
//           a draw is one load from a 256 KiB table, walked in order.
// Mixes:    small    log-normal, median 40 bytes, 8 to 512: strings and nodes
//           mixed    log-normal, median 96 bytes, 8 to 16 KiB: most programs
//           buffers  log-normal, median 4 KiB, 256 bytes to 128 KiB: servers
//           a number that size only
//
// The normal variate is the sum of twelve uniform ones; its tails end at six
// standard deviations, which the bounds cut off anyway.

#ifndef SPANMALLOC_BENCH_WORKLOADS_SIZE_MIX_H_
#define SPANMALLOC_BENCH_WORKLOADS_SIZE_MIX_H_

#include <math.h>

#include "workload.h"

enum { kSizeMixEntries = 1 << 16 };

typedef struct {
  uint32_t sizes[kSizeMixEntries];
} SizeMix;

typedef struct {
  const char* name;
  double median;
  double sigma;
  double smallest;
  double largest;
} SizeMixShape;

static const SizeMixShape kSizeMixShapes[] = {
    {"small", 40, 0.6, 8, 512},
    {"mixed", 96, 1.2, 8, 16384},
    {"buffers", 4096, 1.0, 256, 131072},
};

static inline void DrawLogNormalSizes(SizeMix* mix, const SizeMixShape* shape) {
  Random random = {42};
  for (int i = 0; i < kSizeMixEntries; i++) {
    double normal = -6;
    for (int k = 0; k < 12; k++)
      normal += (double)(NextRandom(&random) >> 11) * 0x1p-53;
    double size = shape->median * exp(shape->sigma * normal);
    size = fmin(fmax(size, shape->smallest), shape->largest);
    mix->sizes[i] = (uint32_t)size;
  }
}

static inline void InitSizeMix(SizeMix* mix, const char* name) {
  for (size_t i = 0; i < sizeof(kSizeMixShapes) / sizeof(kSizeMixShapes[0]);
       i++) {
    if (strcmp(name, kSizeMixShapes[i].name) == 0) {
      DrawLogNormalSizes(mix, &kSizeMixShapes[i]);
      return;
    }
  }
  char* end;
  unsigned long size = strtoul(name, &end, 10);
  if (*end != '\0' || size == 0) Fail("unknown size mix");
  for (int i = 0; i < kSizeMixEntries; i++) mix->sizes[i] = (uint32_t)size;
}

// The size of draw number `index`; the sequence repeats after the table's end.
static inline size_t SizeAt(const SizeMix* mix, uint64_t index) {
  return mix->sizes[index % kSizeMixEntries];
}

// A size of [smallest, largest], each doubling of which is as likely as any
// other, so that neither small nor large ones are rare.
static inline size_t LogUniformSize(Random* random, uint64_t smallest,
                                    uint64_t largest) {
  double place = (double)(NextRandom(random) >> 11) * 0x1p-53;
  double doublings = log2((double)largest / (double)smallest);
  return (size_t)((double)smallest * exp2(doublings * place));
}

#endif  // SPANMALLOC_BENCH_WORKLOADS_SIZE_MIX_H_
