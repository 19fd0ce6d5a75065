// Phases whose sizes differ, with no more live memory than the first had.
//
// Usage:    resident_phases [PHASES=40] [MEBIBYTES=120]
// Measures: Fragmentation over a longer time. A phase keeps one object of ten
//           of all there are, at random, and fills up with objects of sizes
//           that were rare before: kSpread times the smallest at most, which is
//           drawn for each phase from 16 bytes to 16 KiB.
// Prints:   live_kib, a sample at the end of each phase (with its number in
//           place of a time), peak_kib.

#include "resident.h"

enum { kKeepEvery = 10, kSpread = 4 };

int main(int argc, char** argv) {
  uint64_t phases = NumberArgument(argc, argv, 1, 40);
  uint64_t bytes = NumberArgument(argc, argv, 2, 120) << 20;
  Random random = {71};
  Heap heap;
  InitHeap(&heap);

  for (uint64_t phase = 1; phase <= phases; phase++) {
    Shrink(&heap, &random, kKeepEvery);
    size_t smallest = LogUniformSize(&random, sizeof(Object), 16 << 10);
    // The last object may go beyond the limit, but no further than its size.
    GrowTo(&heap, &random, bytes - kSpread * smallest, smallest,
           kSpread * smallest);
    WriteSample(phase);
  }
  WriteNumber("live_kib", heap.bytes / 1024);
  WriteNumber("peak_kib", ReadPeakKib());
  return 0;
}
