// Functions that call each other, with frames of many kinds, and know who
// called them.
#ifndef SPANMALLOC_TESTS_OS_CALL_CHAIN_H_
#define SPANMALLOC_TESTS_OS_CALL_CHAIN_H_

#include <cstddef>

namespace spanmalloc {

struct CallChain {
  // Return addresses, outermost first: what a walk has to find, from its end.
  void* callers[64];
  size_t count = 0;
  // Called by the innermost function of a chain.
  void (*innermost)(CallChain*) = nullptr;
};

// To be said first by each function of a chain.
#define SPANMALLOC_TEST_NOTE_CALLER(chain) \
  ((chain)->callers[(chain)->count++] = __builtin_return_address(0))

// Compiled with and without frame pointers.
void CallWithFramePointers(CallChain* chain);
void CallWithoutFramePointers(CallChain* chain);

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_OS_CALL_CHAIN_H_
