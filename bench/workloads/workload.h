// What every workload shares: clock, random numbers, arguments, the report.
//
// Purpose:  Keep each program to its allocation pattern. A workload uses plain
//           malloc and free, so it runs under any allocator that is preloaded
//           or linked, and needs nothing else of this project.
// Report:   Three lines on stdout, `operations N`, `wall_ns N`, `checksum N`.
//           An operation is one call of malloc, realloc, free or another
//           function of the family. The check sum is made of what was written
//           into blocks and read back, never of addresses, so it is the same
//           for every correct allocator.
// Cost:     Arrays of the driver itself come from mmap (MapArray), so that only
//           the blocks under test are asked of the allocator.
// Failure:  Bad arguments and NULL from malloc end the program with status 2
//           and one line on stderr.

#ifndef SPANMALLOC_BENCH_WORKLOADS_WORKLOAD_H_
#define SPANMALLOC_BENCH_WORKLOADS_WORKLOAD_H_

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

// Ends the program: nothing that follows would be a measurement.
_Noreturn static inline void Fail(const char* what) {
  fprintf(stderr, "workload: %s\n", what);
  exit(2);
}

static inline uint64_t NowNs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Makes the compiler believe that the block is seen and changed elsewhere, so
// that neither the calls nor the writes can be removed.
static inline void Escape(void* block) {
  __asm__ volatile("" : : "r"(block) : "memory");
}

// splitmix64: any seed is good, one multiplication chain per number.
typedef struct {
  uint64_t state;
} Random;

static inline uint64_t NextRandom(Random* random) {
  uint64_t z = random->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// A number in [0, limit), by multiplication; the bias is below limit / 2^32.
// REQUIRES: 1 <= limit < 2^32.
static inline uint64_t RandomBelow(Random* random, uint64_t limit) {
  return ((NextRandom(random) >> 32) * limit) >> 32;
}

// The positional argument as a positive number, or the default.
static inline uint64_t NumberArgument(int argc, char** argv, int index,
                                      uint64_t otherwise) {
  if (index >= argc) return otherwise;
  char* end;
  errno = 0;
  uint64_t value = strtoull(argv[index], &end, 10);
  if (errno != 0 || end == argv[index] || *end != '\0' || value == 0) {
    Fail("an argument is not a positive number");
  }
  return value;
}

static inline const char* TextArgument(int argc, char** argv, int index,
                                       const char* otherwise) {
  return index < argc ? argv[index] : otherwise;
}

// A zeroed array that does not come from malloc; never given back.
static inline void* MapArray(uint64_t count, size_t element_size) {
  void* array = mmap(NULL, count * element_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (array == MAP_FAILED) Fail("mmap of the driver's own array failed");
  return array;
}

static inline void* Allocate(size_t size) {
  void* block = malloc(size);
  if (block == NULL) Fail("malloc returned NULL");
  return block;
}

// Grows or shrinks a block; NULL is an empty one. REQUIRES: size > 0.
static inline void* Reallocate(void* block, size_t size) {
  void* resized = realloc(block, size);
  if (resized == NULL) Fail("realloc returned NULL");
  return resized;
}

// Marks both ends of a block, as a program that fills it would touch them.
static inline void WriteEnds(void* block, size_t size, unsigned char tag) {
  unsigned char* bytes = (unsigned char*)block;
  bytes[0] = tag;
  bytes[size - 1] = tag;
  Escape(block);
}

// What WriteEnds left, to be added to the check sum before the block is freed.
static inline uint64_t ReadEnds(const void* block, size_t size) {
  const unsigned char* bytes = (const unsigned char*)block;
  return (uint64_t)bytes[0] + 256u * (uint64_t)bytes[size - 1];
}

static inline void Report(uint64_t operations, uint64_t wall_ns,
                          uint64_t checksum) {
  printf("operations %" PRIu64 "\nwall_ns %" PRIu64 "\nchecksum %" PRIu64 "\n",
         operations, wall_ns, checksum);
}

#endif  // SPANMALLOC_BENCH_WORKLOADS_WORKLOAD_H_
