// A program that does nothing but allocate once.
//
// Usage:    trivial
// Measures: Start-up: loading, constructors, the first malloc and exit. Too
//           short to time itself, so measure.c times many spawns of it from the
//           outside; its address space (VIRT) is that of an empty heap.
// Prints:   Nothing.

#include <stdlib.h>

int main(void) {
  void* block = malloc(100);
  __asm__ volatile("" : : "r"(block) : "memory");
  free(block);
  return block == NULL;
}
