// Stacks for the tests of guarded heaps, and how reports show them.
#ifndef SPANMALLOC_TESTS_SUPPORT_GUARDED_STACKS_H_
#define SPANMALLOC_TESTS_SUPPORT_GUARDED_STACKS_H_

#include <gtest/gtest.h>
#include <stdio.h>

#include <cstddef>
#include <cstdint>
#include <regex>
#include <string>
#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/crash.h"

namespace spanmalloc {

inline const size_t kPage = SystemPageSize();
// Enough that the last ones are never used.
inline constexpr size_t kSlots = 256;

// Two frames, which tell when the stack was captured.
inline uintptr_t phase = 0;
inline size_t FakeStack(void** frames, size_t, size_t) {
  frames[0] = reinterpret_cast<void*>(phase + 1);
  frames[1] = reinterpret_cast<void*>(phase + 2);
  return 2;
}

inline std::string Hex(const void* p) {
  char text[30];
  snprintf(text, sizeof(text), "0x%zx", reinterpret_cast<size_t>(p));
  return text;
}

using Lines = std::vector<std::string>;

// Two lines of frames of that phase.
inline void ExpectStack(const Crash& crash, size_t at, uintptr_t of_phase) {
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(crash.line(at + i),
              "    #" + std::to_string(i) + " " +
                  Hex(reinterpret_cast<void*>(of_phase + 1 + i)));
  }
}

inline void ExpectTitle(const std::string& line, const std::string& pattern) {
  EXPECT_TRUE(std::regex_match(line, std::regex(pattern)))
      << line << "\nis not\n"
      << pattern;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_GUARDED_STACKS_H_
