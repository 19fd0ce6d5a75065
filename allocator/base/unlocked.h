// Accesses of memory that its owner works on while another thread may look
// into it or change it, by a protocol that needs no instruction of the owner's.
//
// Place:    base/.
// Purpose:  The instructions of ordinary accesses, and ThreadSanitizer content.
// Not here: the protocol (thread/cache_drainer.h).
//
// Compilers do not fold atomic loads into comparisons, so where a value is only
// compared an ordinary load is worth an instruction: whether it is loaded once
// or twice makes no difference there. ThreadSanitizer, which does not know of
// barriers that one thread runs for another, sees atomic accesses and an edge
// from the store to who finds the value.
#ifndef SPANMALLOC_ALLOCATOR_BASE_UNLOCKED_H_
#define SPANMALLOC_ALLOCATOR_BASE_UNLOCKED_H_

#include "allocator/base/annotations.h"

namespace spanmalloc {

#if defined(SPANMALLOC_TSAN)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// A value that the caller uses for one comparison and nothing else.
template <typename T>
SPANMALLOC_ALWAYS_INLINE T LoadToCompare(const T* p) {
  return kThreadSanitizer ? __atomic_load_n(p, __ATOMIC_RELAXED) : *p;
}

template <typename T>
SPANMALLOC_ALWAYS_INLINE T LoadUnlocked(const T* p) {
  return __atomic_load_n(p, __ATOMIC_RELAXED);
}

// Whoever finds the value there has seen what the caller did before.
template <typename T>
SPANMALLOC_ALWAYS_INLINE void StoreUnlocked(T* p, T value) {
  __atomic_store_n(p, value,
                   kThreadSanitizer ? __ATOMIC_RELEASE : __ATOMIC_RELAXED);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_UNLOCKED_H_
