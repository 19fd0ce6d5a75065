// Buffers of 64 KiB to 4 MiB that come and go.
//
// Usage:    large_blocks [REPLACEMENTS=10000] [SLOTS=64]
//                        [MIN_KIB=64] [MAX_KIB=4096]
// Measures: The page level: whether a freed buffer is kept for the next one or
//           handed to the system, whose faults cost far more than the call.
//           Each doubling of size is as frequent as any other. One byte of
//           every 4 KiB is written.
// Counted:  2 operations a replacement, plus filling and the final clearing.

#include "size_mix.h"

enum { kTouchStride = 4096 };

typedef struct {
  unsigned char* block;
  size_t size;
} Slot;

static void Fill(Slot* slot, size_t size, unsigned char tag) {
  slot->size = size;
  slot->block = (unsigned char*)Allocate(size);
  for (size_t at = 0; at < size; at += kTouchStride) slot->block[at] = tag;
  WriteEnds(slot->block, size, tag);
}

static uint64_t Clear(Slot* slot) {
  if (slot->block == NULL) return 0;
  uint64_t sum = ReadEnds(slot->block, slot->size) +
                 slot->block[slot->size / 2 / kTouchStride * kTouchStride];
  free(slot->block);
  return sum;
}

int main(int argc, char** argv) {
  uint64_t replacements = NumberArgument(argc, argv, 1, 10000);
  uint64_t slot_count = NumberArgument(argc, argv, 2, 64);
  uint64_t smallest = NumberArgument(argc, argv, 3, 64) << 10;
  uint64_t largest = NumberArgument(argc, argv, 4, 4096) << 10;
  if (largest < smallest) Fail("MAX_KIB must be at least MIN_KIB");
  Slot* slots = (Slot*)MapArray(slot_count, sizeof(Slot));
  Random random = {13};
  uint64_t checksum = 0;

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < replacements; i++) {
    Slot* slot = &slots[RandomBelow(&random, slot_count)];
    checksum += Clear(slot);
    Fill(slot, LogUniformSize(&random, smallest, largest), (unsigned char)i);
  }
  for (uint64_t i = 0; i < slot_count; i++) checksum += Clear(&slots[i]);
  Report(2 * replacements, NowNs() - start, checksum);
  return 0;
}
