// What the process's own spanmalloc says about it.
#ifndef SPANMALLOC_TESTS_SPANMALLOC_TOOL_OWN_STATS_H_
#define SPANMALLOC_TESTS_SPANMALLOC_TOOL_OWN_STATS_H_

#include <spanmalloc/spanmalloc.h>

namespace spanmalloc_tool {

// False if the process does not use spanmalloc.
bool ReadOwnStats(spanmalloc_memstats* stats);

// Where its spanmalloc_stat_root is; null in a program that is linked with
// spanmalloc, for the symbol is not there to be linked with.
const void* OwnRoot();

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TESTS_SPANMALLOC_TOOL_OWN_STATS_H_
