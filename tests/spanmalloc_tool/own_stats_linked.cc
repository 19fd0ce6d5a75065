#include "tests/spanmalloc_tool/own_stats.h"

namespace spanmalloc_tool {

bool ReadOwnStats(spanmalloc_memstats* stats) {
  return spanmalloc_read_memstats(stats, sizeof(*stats)) == 0;
}

const void* OwnRoot() { return nullptr; }

}  // namespace spanmalloc_tool
