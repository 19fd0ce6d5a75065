// What the tests of renderings share: a snapshot with made-up numbers, and its
// rendering as a string.
#ifndef SPANMALLOC_TESTS_OBSERVE_RENDERING_H_
#define SPANMALLOC_TESTS_OBSERVE_RENDERING_H_

#include <gtest/gtest.h>

#include <string>

#include "allocator/observe/mem_stats.h"
#include "allocator/observe/metrics.h"
#include "allocator/observe/text_writer.h"

namespace spanmalloc {

// Every number is different, so that none can be taken for another.
inline MemStats ExampleStats() {
  MemStats stats = {};
  uint64_t value = 1001;
  for (const Metric& metric : kMetrics) stats.*metric.value = value += 10;
  // The differences that are shown must not be negative.
  stats.heap_inuse = 82525;
  stats.heap_alloc = 70003;
  stats.heap_idle = 90007;
  stats.heap_released = 30008;
  stats.heap_sys = 171725;
  stats.sys = 182734;
  stats.by_size[0] = {16, 2003, 1001};
  stats.by_size[1] = {48, 0, 0};
  stats.by_size[2] = {32768, 305, 205};
  return stats;
}

template <typename F>
std::string Rendered(F&& render) {
  std::string text;
  TextWriter out(
      [](void* context, const char* data, size_t size) {
        static_cast<std::string*>(context)->append(data, size);
        return 0;
      },
      &text);
  render(&out);
  EXPECT_EQ(out.Finish(), 0);
  return text;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_OBSERVE_RENDERING_H_
