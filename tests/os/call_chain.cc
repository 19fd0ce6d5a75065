// Compiled twice; SPANMALLOC_TEST_CHAIN is the name of the function that starts
// a chain.
#include "tests/os/call_chain.h"

#include <alloca.h>

#include <cstring>

namespace spanmalloc {
namespace {

// What is done after a call keeps it from being the last thing done.
#define SPANMALLOC_TEST_KEEP(pointer) \
  asm volatile("" : : "r"(pointer) : "memory")

__attribute__((noinline)) void Small(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  chain->innermost(chain);
  SPANMALLOC_TEST_KEEP(chain);
}

// The stack pointer moves while it runs.
__attribute__((noinline)) void Variable(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  char* const block = static_cast<char*>(alloca(chain->count * 100));
  memset(block, 1, chain->count * 100);
  SPANMALLOC_TEST_KEEP(block);
  Small(chain);
  SPANMALLOC_TEST_KEEP(block);
}

// The stack pointer is rounded down.
__attribute__((noinline)) void Aligned(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  alignas(128) char block[256];
  memset(block, 2, sizeof(block));
  SPANMALLOC_TEST_KEEP(block);
  Variable(chain);
  SPANMALLOC_TEST_KEEP(block);
}

// Both.
__attribute__((noinline)) void AlignedAndVariable(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  alignas(64) char block[64];
  memset(block, 3, sizeof(block));
  SPANMALLOC_TEST_KEEP(block);
  char* const more = static_cast<char*>(alloca(chain->count * 64));
  memset(more, 4, chain->count * 64);
  SPANMALLOC_TEST_KEEP(more);
  Aligned(chain);
  SPANMALLOC_TEST_KEEP(more);
  SPANMALLOC_TEST_KEEP(block);
}

// Needs all registers that a call preserves.
__attribute__((noinline)) size_t Registers(CallChain* chain, size_t a, size_t b,
                                           size_t c, size_t d, size_t e,
                                           size_t f, size_t g, size_t h) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  const size_t before = a * b + c * d + e * f + g * h;
  AlignedAndVariable(chain);
  SPANMALLOC_TEST_KEEP(chain);
  return before + a + b + c + d + e + f + g + h;
}

// Larger than a page.
__attribute__((noinline)) void Large(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  char block[50000];
  memset(block, 5, sizeof(block));
  SPANMALLOC_TEST_KEEP(block);
  const size_t n = chain->count;
  block[n] = static_cast<char>(
      Registers(chain, n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7));
  SPANMALLOC_TEST_KEEP(block);
}

}  // namespace

__attribute__((noinline)) void SPANMALLOC_TEST_CHAIN(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  Large(chain);
  SPANMALLOC_TEST_KEEP(chain);
}

}  // namespace spanmalloc
