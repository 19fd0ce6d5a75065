// Pairs of malloc and free of one size, back to back.
//
// Usage:    hot_pair SIZE [PAIRS=20000000] [WARM_UP_PAIRS=100000]
// Measures: The fast path and nothing else: the same object goes out and comes
//           back, always in the first-level cache. The block is not touched.
// Counted:  2 operations a pair; the warm-up is outside the time.
//
// PairLoop is a function of its own, never inlined and called once, because
// instructions.sh counts what is executed below it. Its calls go through the
// global offset table (-fno-plt), so no stub stands between caller and callee.

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

// The same loop under another name, so that first-call costs fall outside.
__attribute__((noinline)) static void WarmUpLoop(size_t size, uint64_t pairs) {
  for (uint64_t i = 0; i < pairs; i++) {
    void* block = malloc(size);
    Escape(block);
    free(block);
  }
}

int main(int argc, char** argv) {
  if (argc < 2) Fail("usage: hot_pair SIZE [PAIRS] [WARM_UP_PAIRS]");
  size_t size = NumberArgument(argc, argv, 1, 0);
  uint64_t pairs = NumberArgument(argc, argv, 2, 20000000);
  WarmUpLoop(size, NumberArgument(argc, argv, 3, 100000));

  uint64_t start = NowNs();
  uint64_t granted = PairLoop(size, pairs);
  Report(2 * pairs, NowNs() - start, granted);
  return 0;
}
