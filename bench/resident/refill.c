// Memory that was freed, wanted again in other sizes.
//
// Usage:    resident_refill [PAUSE_MS=0] [LIVE_MIB=881] [REFILL_MIB=400]
// Measures: Whether freed memory of mixed sizes serves others: fill LIVE_MIB
//           with objects of 16 bytes to 64 KiB, free nine of ten at random,
//           wait, then allocate REFILL_MIB in objects of 1 to 4 KiB. All of it
//           fits into what was there before, so the peak shows what could not
//           be used again, or was given back in between.
// Prints:   top_kib, freed_kib (RSS before the refill), end_kib, peak_kib.

#include "resident.h"

enum { kKeepEvery = 10 };

int main(int argc, char** argv) {
  uint64_t pause_ms = NumberArgument(argc, argv, 1, 0);
  uint64_t live = NumberArgument(argc, argv, 2, 881) << 20;
  uint64_t refill = NumberArgument(argc, argv, 3, 400) << 20;
  Random random = {67};
  Heap kept;
  Heap added;
  InitHeap(&kept);
  InitHeap(&added);

  GrowTo(&kept, &random, live, 16, 64 << 10);
  WriteNumber("top_kib", ReadRssKib());
  Shrink(&kept, &random, kKeepEvery);
  SleepUntilNs(NowNs() + 1000000u * pause_ms);
  WriteNumber("freed_kib", ReadRssKib());
  GrowTo(&added, &random, refill, 1 << 10, 4 << 10);
  WriteNumber("end_kib", ReadRssKib());
  WriteNumber("peak_kib", ReadPeakKib());
  return 0;
}
