// What we tell the compiler, and clang's thread-safety analysis.
//
// Place:    base/. Macros only; each expands to nothing where unsupported.
// Purpose:  Keep compiler differences out of every other file.
#ifndef SPANMALLOC_ALLOCATOR_BASE_ANNOTATIONS_H_
#define SPANMALLOC_ALLOCATOR_BASE_ANNOTATIONS_H_

#define SPANMALLOC_LIKELY(x) __builtin_expect(!!(x), 1)
#define SPANMALLOC_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SPANMALLOC_ALWAYS_INLINE inline __attribute__((always_inline))
#define SPANMALLOC_NOINLINE __attribute__((noinline))
#define SPANMALLOC_COLD __attribute__((cold, noinline))
// A function that starts on a cache line of its own: one that lies across a
// line more than it has to runs a twentieth slower.
#define SPANMALLOC_HOT_ENTRY __attribute__((aligned(64)))
#define SPANMALLOC_EXPORT __attribute__((visibility("default")))

// A variable that is ready before any code of the program runs.
#if defined(__clang__)
#define SPANMALLOC_CONSTINIT [[clang::require_constant_initialization]]
#else
#define SPANMALLOC_CONSTINIT __constinit
#endif

// Thread-local storage that never allocates, also in a preloaded library.
#define SPANMALLOC_THREAD_LOCAL \
  __attribute__((tls_model("initial-exec"))) __thread

#if defined(__SANITIZE_THREAD__)
#define SPANMALLOC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SPANMALLOC_TSAN 1
#endif
#endif

#if defined(__clang__)
#define SPANMALLOC_TS(x) __attribute__((x))
#else
#define SPANMALLOC_TS(x)
#endif
#define CAPABILITY(x) SPANMALLOC_TS(capability(x))
#define SCOPED_CAPABILITY SPANMALLOC_TS(scoped_lockable)
#define GUARDED_BY(x) SPANMALLOC_TS(guarded_by(x))
#define ACQUIRE(...) SPANMALLOC_TS(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) SPANMALLOC_TS(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) SPANMALLOC_TS(release_capability(__VA_ARGS__))
#define REQUIRES(...) SPANMALLOC_TS(requires_capability(__VA_ARGS__))
#define LOCKS_EXCLUDED(...) SPANMALLOC_TS(locks_excluded(__VA_ARGS__))
#define RETURN_CAPABILITY(x) SPANMALLOC_TS(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS SPANMALLOC_TS(no_thread_safety_analysis)

#endif  // SPANMALLOC_ALLOCATOR_BASE_ANNOTATIONS_H_
