// The statistics of <spanmalloc/spanmalloc.h> for C++.
//
//   const spanmalloc::MemStats stats = spanmalloc::ReadMemStats();
//   std::cout << stats.heap_alloc << " bytes in " << stats.heap_objects <<
//   "\n";
//
// Thread safety: as there; nothing here allocates or throws.
#ifndef SPANMALLOC_MEM_STATS_H_
#define SPANMALLOC_MEM_STATS_H_

#include <spanmalloc/spanmalloc.h>

namespace spanmalloc {

using MemStats = spanmalloc_memstats;

// A snapshot, taken now.
inline MemStats ReadMemStats() noexcept {
  MemStats stats;
  spanmalloc_read_memstats(&stats, sizeof(stats));
  return stats;
}

// The first identity that does not hold, as text; null if all do.
inline const char* CheckMemStats(const MemStats& stats) noexcept {
  return spanmalloc_memstats_check(&stats);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_MEM_STATS_H_
