// A heap that only grows, then goes: the supply of memory from the system.
//
// Usage:    growth [MEBIBYTES=1024] [SIZE=100]
// Measures: Page faults and how they are served. Every object is written as a
//           whole and linked to the one before; then all are freed in the order
//           of the list, the youngest first.
// Counted:  2 operations an object. `allocate_ns` and `free_ns` are reported
//           beside wall_ns, which is their sum.

#include "workload.h"

typedef struct Object {
  struct Object* next;
  unsigned char bytes[];
} Object;

int main(int argc, char** argv) {
  uint64_t count = NumberArgument(argc, argv, 1, 1024) << 20;
  size_t size = NumberArgument(argc, argv, 2, 100);
  if (size <= sizeof(Object)) Fail("SIZE must exceed the size of a pointer");
  count /= size;

  uint64_t start = NowNs();
  Object* newest = NULL;
  for (uint64_t i = 0; i < count; i++) {
    Object* object = (Object*)Allocate(size);
    memset(object->bytes, (int)(i & 255), size - sizeof(Object));
    object->next = newest;
    newest = object;
  }
  uint64_t grown = NowNs();
  uint64_t checksum = 0;
  while (newest != NULL) {
    Object* object = newest;
    newest = object->next;
    checksum += object->bytes[size - sizeof(Object) - 1];
    free(object);
  }
  uint64_t end = NowNs();
  Report(2 * count, end - start, checksum);
  printf("allocate_ns %" PRIu64 "\nfree_ns %" PRIu64 "\n", grown - start,
         end - grown);
  return 0;
}
