// Pairs of malloc and free of one size, back to back.
//
// Usage:    hot_pair SIZE [PAIRS=20000000] [WARM_UP_PAIRS=100000]
// Measures: The fast path and nothing else: the same object goes out and comes
//           back, always in the first-level cache. The block is not touched,
//           except in the warm-up, from which the check sum comes.
// Counted:  2 operations a pair; the warm-up is outside the time.
//
// PairLoop is a function of its own and never inlined, so that a profile tells
// it from the warm-up. Its calls go through the global offset table (-fno-plt),
// so no stub stands between caller and callee.

#include "workload.h"

// Runs `pairs` pairs and returns how many blocks were not NULL.
__attribute__((noinline)) static uint64_t PairLoop(size_t size,
                                                   uint64_t pairs) {
  uint64_t granted = 0;
  for (uint64_t i = 0; i < pairs; i++) {
    void* block = malloc(size);
    Escape(block);
    granted += block != NULL;
    free(block);
  }
  return granted;
}

// Pairs that are not counted, so that first-call costs fall outside. Returns
// the sum of what was written into the blocks and read back.
__attribute__((noinline)) static uint64_t WarmUpLoop(size_t size,
                                                     uint64_t pairs) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < pairs; i++) {
    void* block = Allocate(size);
    WriteEnds(block, size, (unsigned char)i);
    sum += ReadEnds(block, size);
    free(block);
  }
  return sum;
}

int main(int argc, char** argv) {
  if (argc < 2) Fail("usage: hot_pair SIZE [PAIRS] [WARM_UP_PAIRS]");
  size_t size = NumberArgument(argc, argv, 1, 0);
  uint64_t pairs = NumberArgument(argc, argv, 2, 20000000);
  uint64_t warm_up_pairs = NumberArgument(argc, argv, 3, 100000);
  uint64_t checksum = WarmUpLoop(size, warm_up_pairs);

  uint64_t start = NowNs();
  checksum += PairLoop(size, pairs);
  Report(2 * pairs, NowNs() - start, checksum);
  return 0;
}
