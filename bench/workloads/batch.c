// Batches: allocate N objects, then free them all.
//
// Usage:    batch [N=1000] [ORDER=lifo|fifo|random] [OBJECTS=20000000] [MIX=64]
// Measures: Refill and flush of the thread's cache. N = 1,000 fits in most
//           caches, N = 100,000 in none; the order of freeing decides how well
//           the flush finds neighbours.
// Counted:  2 operations an object; OBJECTS / N batches are run. One batch
//           before the clock starts, so that the memory is there.

#include "size_mix.h"

static SizeMix mix;

// order[i] is the index of the i-th object to be freed.
static void InitOrder(uint32_t* order, uint64_t count, const char* name) {
  for (uint64_t i = 0; i < count; i++) order[i] = (uint32_t)i;
  if (strcmp(name, "fifo") == 0) return;
  if (strcmp(name, "lifo") == 0) {
    for (uint64_t i = 0; i < count; i++) order[i] = (uint32_t)(count - 1 - i);
    return;
  }
  if (strcmp(name, "random") != 0) Fail("ORDER is lifo, fifo or random");
  Random random = {11};
  for (uint64_t i = count - 1; i > 0; i--) {
    uint64_t other = RandomBelow(&random, i + 1);
    uint32_t moved = order[i];
    order[i] = order[other];
    order[other] = moved;
  }
}

static uint64_t RunBatch(void** blocks, const uint32_t* order, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    size_t size = SizeAt(&mix, i);
    blocks[i] = Allocate(size);
    WriteEnds(blocks[i], size, (unsigned char)i);
  }
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint32_t index = order[i];
    checksum += ReadEnds(blocks[index], SizeAt(&mix, index));
    free(blocks[index]);
  }
  return checksum;
}

int main(int argc, char** argv) {
  uint64_t count = NumberArgument(argc, argv, 1, 1000);
  const char* order_name = TextArgument(argc, argv, 2, "lifo");
  uint64_t objects = NumberArgument(argc, argv, 3, 20000000);
  InitSizeMix(&mix, TextArgument(argc, argv, 4, "64"));
  void** blocks = (void**)MapArray(count, sizeof(void*));
  uint32_t* order = (uint32_t*)MapArray(count, sizeof(uint32_t));
  InitOrder(order, count, order_name);
  uint64_t batches = objects / count;
  if (batches == 0) Fail("OBJECTS must be at least N");
  uint64_t checksum = RunBatch(blocks, order, count);

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < batches; i++)
    checksum += RunBatch(blocks, order, count);
  Report(2 * batches * count, NowNs() - start, checksum);
  return 0;
}
