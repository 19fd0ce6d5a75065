// Vectors that grow through realloc.
//
// Usage:    realloc_grow [PERCENT=200] [MEBIBYTES=256] [VECTORS=1] [ROUNDS=2]
// Measures: Whether a block can grow where it is (or be moved by the system)
//           instead of being copied. Each vector starts at 16 bytes and grows
//           to PERCENT of its size at a time; only the new part is written.
//           With several vectors they grow in turns and stand in each other's
//           way; MEBIBYTES is the final size of all of them together.
// Counted:  One operation a realloc or free.

#include "workload.h"

enum { kFirstSize = 16 };

typedef struct {
  unsigned char* bytes;
  size_t size;
} Vector;

static void Grow(Vector* vector, size_t size) {
  unsigned char* bytes = (unsigned char*)Reallocate(vector->bytes, size);
  memset(bytes + vector->size, (int)(size >> 4 & 255), size - vector->size);
  Escape(bytes);
  vector->bytes = bytes;
  vector->size = size;
}

// A sum over one byte of each page: what was written must have moved along.
static uint64_t SumPages(const Vector* vector) {
  uint64_t sum = 0;
  for (size_t at = 0; at < vector->size; at += 4096) sum += vector->bytes[at];
  return sum;
}

int main(int argc, char** argv) {
  uint64_t percent = NumberArgument(argc, argv, 1, 200);
  uint64_t total = NumberArgument(argc, argv, 2, 256) << 20;
  uint64_t vector_count = NumberArgument(argc, argv, 3, 1);
  uint64_t rounds = NumberArgument(argc, argv, 4, 2);
  if (percent < 107) Fail("PERCENT must be at least 107");
  uint64_t final_size = total / vector_count;
  Vector* vectors = (Vector*)MapArray(vector_count, sizeof(Vector));
  uint64_t operations = 0;
  uint64_t checksum = 0;

  uint64_t start = NowNs();
  for (uint64_t round = 0; round < rounds; round++) {
    for (uint64_t size = kFirstSize; size <= final_size;
         size = size * percent / 100) {
      for (uint64_t i = 0; i < vector_count; i++) Grow(&vectors[i], size);
      operations += vector_count;
    }
    for (uint64_t i = 0; i < vector_count; i++) {
      checksum += SumPages(&vectors[i]);
      free(vectors[i].bytes);
      vectors[i] = (Vector){NULL, 0};
    }
    operations += vector_count;
  }
  Report(operations, NowNs() - start, checksum);
  return 0;
}
