// Zeroed memory: tables that come and go, or small blocks.
//
// Usage:    calloc_tables [KIND=full|sparse|small] [REPLACEMENTS=300]
//                         [SLOTS=4] [MIN_KIB=64] [MAX_KIB=65536]
// Measures: What zeros cost: memory fresh from the system need not be cleared,
//           and clearing what nobody touches makes it resident.
//             full    tables, each read and written as a whole
//             sparse  tables, of which one page of 64 KiB is read and written
//             small   blocks of the mix `mixed` instead, read and written
//           Each doubling of a table's size is as frequent as any other.
// Counted:  2 operations a replacement. What is read before it is written goes
//           into the check sum, which is wrong unless it was all zeros.

#include <stdbool.h>

#include "size_mix.h"

enum { kSparseStride = 65536, kTouched = 4096 };

typedef struct {
  unsigned char* bytes;
  size_t size;
} Slot;

static SizeMix mix;

static uint64_t SumBytes(const unsigned char* bytes, size_t size) {
  uint64_t sum = 0;
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
    uint64_t word;
    memcpy(&word, bytes + at, sizeof(word));
    sum += word;
  }
  for (; at < size; at++) sum += bytes[at];
  return sum;
}

// Allocates the block, and reads and then writes the first `touched` bytes of
// each `stride`. Returns the sum of what was read.
static uint64_t Fill(Slot* slot, size_t size, size_t stride, size_t touched,
                     unsigned char tag) {
  slot->size = size;
  slot->bytes = (unsigned char*)calloc(1, size);
  if (slot->bytes == NULL) Fail("calloc returned NULL");
  uint64_t sum = 0;
  for (size_t at = 0; at < size; at += stride) {
    size_t count = size - at < touched ? size - at : touched;
    sum += SumBytes(slot->bytes + at, count);
    memset(slot->bytes + at, tag, count);
  }
  WriteEnds(slot->bytes, size, tag);
  return sum;
}

static uint64_t Clear(Slot* slot) {
  if (slot->bytes == NULL) return 0;
  uint64_t sum = ReadEnds(slot->bytes, slot->size);
  free(slot->bytes);
  return sum;
}

int main(int argc, char** argv) {
  const char* kind = TextArgument(argc, argv, 1, "full");
  uint64_t replacements = NumberArgument(argc, argv, 2, 300);
  uint64_t slot_count = NumberArgument(argc, argv, 3, 4);
  uint64_t smallest = NumberArgument(argc, argv, 4, 64) << 10;
  uint64_t largest = NumberArgument(argc, argv, 5, 65536) << 10;
  bool small = strcmp(kind, "small") == 0;
  bool sparse = strcmp(kind, "sparse") == 0;
  if (!small && !sparse && strcmp(kind, "full") != 0)
    Fail("KIND is full, sparse or small");
  if (largest < smallest) Fail("MAX_KIB must be at least MIN_KIB");
  if (small) InitSizeMix(&mix, "mixed");
  size_t stride = sparse ? kSparseStride : kTouched;
  Slot* slots = (Slot*)MapArray(slot_count, sizeof(Slot));
  Random random = {41};
  uint64_t checksum = 0;

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < replacements; i++) {
    Slot* slot = &slots[RandomBelow(&random, slot_count)];
    checksum += Clear(slot);
    size_t size =
        small ? SizeAt(&mix, i) : LogUniformSize(&random, smallest, largest);
    checksum += Fill(slot, size, stride, kTouched, (unsigned char)i);
  }
  for (uint64_t i = 0; i < slot_count; i++) checksum += Clear(&slots[i]);
  Report(2 * replacements, NowNs() - start, checksum);
  return 0;
}
