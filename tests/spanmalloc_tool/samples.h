// Looks at processes that are not there.
#ifndef SPANMALLOC_TESTS_SPANMALLOC_TOOL_SAMPLES_H_
#define SPANMALLOC_TESTS_SPANMALLOC_TOOL_SAMPLES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tools/spanmalloc/process_scan.h"

namespace spanmalloc_tool {

inline constexpr uint64_t kMiB = 1 << 20;

// A process with that much in use, a quarter of it held besides, and as much
// idle.
inline ProcessSample MakeSample(pid_t pid, const std::string& command,
                                uint64_t in_use, double seconds = 100) {
  ProcessSample sample;
  sample.process.pid = pid;
  sample.process.command = command;
  sample.process.image = {1000, 1, 2};
  sample.process.rss_bytes = 2 * in_use;
  sample.process.has_memory = true;
  sample.version = "0.1.0";
  sample.path = "/usr/lib/libspanmalloc.so";
  sample.seconds = seconds;
  spanmalloc_memstats& stats = sample.snapshot.stats;
  stats = {};
  sample.snapshot.between_steps = false;
  stats.mallocs = 100;
  stats.frees = 40;
  stats.heap_objects = 60;
  stats.heap_alloc = stats.alloc = in_use;
  stats.total_alloc = in_use + 4000;
  stats.total_freed = 4000;
  stats.heap_inuse = in_use + in_use / 4;
  stats.thread_cache_bytes = in_use / 4;
  stats.heap_idle = stats.heap_inuse;
  stats.heap_released = stats.heap_idle - in_use / 4;
  stats.heap_sys = stats.heap_inuse + stats.heap_idle;
  stats.sys = stats.heap_sys + kMiB;
  stats.threads = 3;
  stats.by_size[0] = {16, 60, 30};
  stats.by_size[1] = {32, 0, 0};
  stats.by_size[2] = {4096, 38, 10};
  stats.large_mallocs = 2;
  stats.large_objects = 2;
  stats.large_bytes = 2 * kMiB;
  return sample;
}

inline ScanResult MakeScan(std::vector<ProcessSample> samples) {
  ScanResult scan;
  for (const ProcessSample& sample : samples) {
    scan.pids.push_back(sample.process.pid);
  }
  scan.samples = std::move(samples);
  return scan;
}

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TESTS_SPANMALLOC_TOOL_SAMPLES_H_
