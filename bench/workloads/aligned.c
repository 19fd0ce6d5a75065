// Blocks with an alignment of their own, in random replacement.
//
// Usage:    aligned [SLOTS=20000] [REPLACEMENTS=3000000] [MIX=mixed]
// Measures: posix_memalign and aligned_alloc in turns, with alignments of 16 to
//           4,096 bytes, those of vector registers and cache lines the most
//           frequent; and what they waste (peak RSS). A block that is not
//           aligned ends the program.
// Counted:  2 operations a replacement, plus filling and the final clearing.

#include "size_mix.h"

static const uint16_t kAlignments[] = {16, 16, 16,  32,  32,  32,   64,   64,
                                       64, 64, 128, 256, 512, 1024, 2048, 4096};
enum { kAlignmentCount = sizeof(kAlignments) / sizeof(kAlignments[0]) };

typedef struct {
  void* block;
  size_t size;
} Slot;

static SizeMix mix;

static void Fill(Slot* slot, size_t alignment, uint64_t draw) {
  slot->size = SizeAt(&mix, draw);
  if (draw % 2 == 0) {
    if (posix_memalign(&slot->block, alignment, slot->size) != 0)
      Fail("posix_memalign failed");
  } else {
    // The standard asks for a multiple of the alignment.
    slot->size = (slot->size + alignment - 1) & ~(alignment - 1);
    slot->block = aligned_alloc(alignment, slot->size);
    if (slot->block == NULL) Fail("aligned_alloc returned NULL");
  }
  if ((uintptr_t)slot->block % alignment != 0) Fail("a block is not aligned");
  WriteEnds(slot->block, slot->size, (unsigned char)draw);
}

static uint64_t Clear(Slot* slot) {
  uint64_t sum = ReadEnds(slot->block, slot->size);
  free(slot->block);
  return sum;
}

static size_t DrawAlignment(Random* random) {
  return kAlignments[RandomBelow(random, kAlignmentCount)];
}

int main(int argc, char** argv) {
  uint64_t slot_count = NumberArgument(argc, argv, 1, 20000);
  uint64_t replacements = NumberArgument(argc, argv, 2, 3000000);
  InitSizeMix(&mix, TextArgument(argc, argv, 3, "mixed"));
  Slot* slots = (Slot*)MapArray(slot_count, sizeof(Slot));
  Random random = {23};
  uint64_t checksum = 0;
  uint64_t draw = 0;

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < slot_count; i++)
    Fill(&slots[i], DrawAlignment(&random), draw++);
  for (uint64_t i = 0; i < replacements; i++) {
    Slot* slot = &slots[RandomBelow(&random, slot_count)];
    checksum += Clear(slot);
    Fill(slot, DrawAlignment(&random), draw++);
  }
  for (uint64_t i = 0; i < slot_count; i++) checksum += Clear(&slots[i]);
  Report(2 * (slot_count + replacements), NowNs() - start, checksum);
  return 0;
}
