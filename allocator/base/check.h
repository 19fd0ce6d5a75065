// Assertions in three tiers.
//
// Place:    base/.
//   SPANMALLOC_CHECK      always on: what must never go wrong silently.
//   SPANMALLOC_ASSERT     from level 1: cheap, at every function's door.
//   SPANMALLOC_EXPENSIVE  from level 2: walks a whole structure.
// The level is SPANMALLOC_ASSERT_LEVEL, 0 where nothing else is said. Every
// condition is compiled at every level.
//
// Failure: one line with the condition and its place, then abort().
#ifndef SPANMALLOC_ALLOCATOR_BASE_CHECK_H_
#define SPANMALLOC_ALLOCATOR_BASE_CHECK_H_

#include "allocator/base/annotations.h"

#ifndef SPANMALLOC_ASSERT_LEVEL
#define SPANMALLOC_ASSERT_LEVEL 0
#endif

namespace spanmalloc {

inline constexpr int kAssertLevel = SPANMALLOC_ASSERT_LEVEL;

[[noreturn]] SPANMALLOC_COLD void CheckFailed(const char* condition,
                                              const char* file, int line);

}  // namespace spanmalloc

#define SPANMALLOC_CHECK(condition) \
  (SPANMALLOC_LIKELY(condition)     \
       ? static_cast<void>(0)       \
       : ::spanmalloc::CheckFailed(#condition, __FILE__, __LINE__))

#define SPANMALLOC_CHECK_FROM_LEVEL(level, condition)          \
  (::spanmalloc::kAssertLevel < (level) ? static_cast<void>(0) \
                                        : SPANMALLOC_CHECK(condition))

#define SPANMALLOC_ASSERT(condition) SPANMALLOC_CHECK_FROM_LEVEL(1, condition)
#define SPANMALLOC_EXPENSIVE(condition) \
  SPANMALLOC_CHECK_FROM_LEVEL(2, condition)

#endif  // SPANMALLOC_ALLOCATOR_BASE_CHECK_H_
