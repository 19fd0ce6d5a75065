// Random replacement in a large live set.
//
// Usage:    random_replace [SLOTS=1000000] [REPLACEMENTS=5000000] [MIX=mixed]
// Measures: Life after warm-up of a program with many objects of many ages:
//           each step frees the object of a random slot and puts one of another
//           size there. Cache misses of the allocator's own bookkeeping, refill
//           and flush, and the fragmentation (peak RSS) all show.
// Counted:  2 operations a replacement, plus filling and the final clearing.

#include "size_mix.h"

typedef struct {
  void* block;
  size_t size;
} Slot;

static SizeMix mix;

static void Fill(Slot* slot, uint64_t draw) {
  slot->size = SizeAt(&mix, draw);
  slot->block = Allocate(slot->size);
  WriteEnds(slot->block, slot->size, (unsigned char)draw);
}

static uint64_t Clear(Slot* slot) {
  uint64_t sum = ReadEnds(slot->block, slot->size);
  free(slot->block);
  return sum;
}

int main(int argc, char** argv) {
  uint64_t slot_count = NumberArgument(argc, argv, 1, 1000000);
  uint64_t replacements = NumberArgument(argc, argv, 2, 5000000);
  InitSizeMix(&mix, TextArgument(argc, argv, 3, "mixed"));
  Slot* slots = (Slot*)MapArray(slot_count, sizeof(Slot));
  Random random = {7};
  uint64_t checksum = 0;
  uint64_t draw = 0;

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < slot_count; i++) Fill(&slots[i], draw++);
  for (uint64_t i = 0; i < replacements; i++) {
    Slot* slot = &slots[RandomBelow(&random, slot_count)];
    checksum += Clear(slot);
    Fill(slot, draw++);
  }
  for (uint64_t i = 0; i < slot_count; i++) checksum += Clear(&slots[i]);
  Report(2 * (slot_count + replacements), NowNs() - start, checksum);
  return 0;
}
