// Phases: grow to a peak, drop to a tenth, grow again with other sizes.
//
// Usage:    phases [MEBIBYTES=256] [CYCLES=3]
// Measures: Fragmentation. What is left after each drop is scattered at random
//           over the whole heap; an allocator whose pages stay pinned by it
//           shows a peak RSS far above MEBIBYTES. The size ranges take turns:
//           16..160, 400..2,000 and 40..600 bytes.
// Counted:  2 operations an object. Objects are written as a whole.

#include "workload.h"

typedef struct {
  unsigned char* block;
  size_t size;
} Object;

typedef struct {
  size_t smallest;
  size_t largest;
} SizeRange;

static const SizeRange kRanges[] = {{16, 160}, {400, 2000}, {40, 600}};
enum { kRangeCount = 3, kKeepEvery = 10 };

typedef struct {
  Object* objects;
  uint64_t count;
  uint64_t bytes;
  uint64_t operations;
  uint64_t checksum;
  Random random;
} Heap;

static void GrowTo(Heap* heap, uint64_t bytes, SizeRange range) {
  while (heap->bytes < bytes) {
    size_t size =
        range.smallest +
        RandomBelow(&heap->random, range.largest - range.smallest + 1);
    unsigned char* block = (unsigned char*)Allocate(size);
    memset(block, (int)(heap->count & 255), size);
    Escape(block);
    heap->objects[heap->count++] = (Object){block, size};
    heap->bytes += size;
    heap->operations++;
  }
}

static void FreeObject(Heap* heap, const Object* object) {
  heap->checksum += ReadEnds(object->block, object->size);
  heap->bytes -= object->size;
  heap->operations++;
  free(object->block);
}

// Keeps one object of `kKeepEvery`, chosen at random.
static void Drop(Heap* heap) {
  uint64_t kept = 0;
  for (uint64_t i = 0; i < heap->count; i++) {
    if (RandomBelow(&heap->random, kKeepEvery) == 0) {
      heap->objects[kept++] = heap->objects[i];
    } else {
      FreeObject(heap, &heap->objects[i]);
    }
  }
  heap->count = kept;
}

int main(int argc, char** argv) {
  uint64_t peak = NumberArgument(argc, argv, 1, 256) << 20;
  uint64_t cycles = NumberArgument(argc, argv, 2, 3);
  Heap heap = {0};
  heap.random.state = 17;
  // Every object has 16 bytes at least, so this bound cannot be exceeded.
  heap.objects =
      (Object*)MapArray(peak / kRanges[0].smallest + 1, sizeof(Object));

  uint64_t start = NowNs();
  for (uint64_t cycle = 0; cycle < cycles; cycle++) {
    for (int i = 0; i < kRangeCount; i++) {
      GrowTo(&heap, peak, kRanges[i]);
      Drop(&heap);
    }
  }
  for (uint64_t i = 0; i < heap.count; i++) FreeObject(&heap, &heap.objects[i]);
  Report(heap.operations, NowNs() - start, heap.checksum);
  return 0;
}
