#include <dlfcn.h>

#include "tests/spanmalloc_tool/own_stats.h"

namespace spanmalloc_tool {

bool ReadOwnStats(spanmalloc_memstats* stats) {
  static const auto read =
      reinterpret_cast<decltype(&spanmalloc_read_memstats)>(
          dlsym(RTLD_DEFAULT, "spanmalloc_read_memstats"));
  return read != nullptr && read(stats, sizeof(*stats)) == 0;
}

const void* OwnRoot() { return dlsym(RTLD_DEFAULT, "spanmalloc_stat_root"); }

}  // namespace spanmalloc_tool
