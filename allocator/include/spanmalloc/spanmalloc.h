/* spanmalloc: a thread-caching memory allocator.
 *
 * Programs that are linked with spanmalloc, or started with it in LD_PRELOAD,
 * use malloc, free and operator new as ever; this header adds what is
 * particular to spanmalloc. Every function of the malloc family also exists
 * under a name with the prefix spanmalloc_, with the same meaning: memory from
 * malloc may be given to spanmalloc_free, and the other way round.
 *
 * Thread safety: every function may be called from any thread.
 */
#ifndef SPANMALLOC_SPANMALLOC_H_
#define SPANMALLOC_SPANMALLOC_H_

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SPANMALLOC_VERSION_MAJOR 0
#define SPANMALLOC_VERSION_MINOR 1
#define SPANMALLOC_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is running, as "major.minor.patch". */
const char* spanmalloc_version(void);

/* 1 if p lies in a block that spanmalloc has given out or may give out, 0 if it
 * lies anywhere else. Takes any pointer value. */
int spanmalloc_owns(const void* p);

/* C23, POSIX and GNU. Failure: NULL with errno ENOMEM (no memory, or a size
 * above PTRDIFF_MAX) or EINVAL (an alignment that is not a power of two). */
void* spanmalloc_malloc(size_t size);
void* spanmalloc_calloc(size_t count, size_t size);
void* spanmalloc_realloc(void* pointer, size_t size);
void* spanmalloc_reallocarray(void* pointer, size_t count, size_t size);
void* spanmalloc_aligned_alloc(size_t alignment, size_t size);
void* spanmalloc_memalign(size_t alignment, size_t size);
void* spanmalloc_valloc(size_t size);
void* spanmalloc_pvalloc(size_t size);
/* Returns the error and leaves errno alone. */
int spanmalloc_posix_memalign(void** result, size_t alignment, size_t size);

/* errno is kept. Misuse (a block freed twice, a pointer that is no block's
 * start, a size or alignment that is not the block's) prints one line and
 * aborts. */
void spanmalloc_free(void* pointer);
void spanmalloc_cfree(void* pointer);
void spanmalloc_free_sized(void* pointer, size_t size);
void spanmalloc_free_aligned_sized(void* pointer, size_t alignment,
                                   size_t size);

/* Bytes that may be used in the block, at least those asked for; 0 for NULL. */
size_t spanmalloc_malloc_usable_size(void* pointer);

/* jemalloc's. flags: the binary logarithm of the alignment, or 0. */
size_t spanmalloc_nallocx(size_t size, int flags);
void spanmalloc_sdallocx(void* pointer, size_t size, int flags);

/* spanmalloc_release_memory(SIZE_MAX), but for `pad` bytes of free pages. 1 if
 * any memory was given back. */
int spanmalloc_malloc_trim(size_t pad);
/* 1 for the parameters that glibc knows, all of which have no effect here; 0
 * for any other. Settings are made through SPANMALLOC_OPTIONS. */
int spanmalloc_mallopt(int parameter, int value);

/* ---- Memory that goes back to the system
 *
 * It does so by itself (SPANMALLOC_OPTIONS: scavenger, scavenge_delay). These
 * calls act on the whole process, whichever thread makes them; errno is kept.
 */

/* Gives at least so many bytes back, if there are so many that no block needs:
 * free pages first, oldest first, then what caches of all threads hold, then
 * free pages between blocks. SIZE_MAX: all there is. Returns how many bytes
 * were given back. Costs about 0.1 us for each 4 KiB, and again about 1 us when
 * they are used again. */
size_t spanmalloc_release_memory(size_t bytes);

/* Sets the memory that the heap should not exceed, in bytes, counted as sys -
 * heap_released - heap_lazy - span_released; 0 = no limit. Near it the
 * scavenger works harder; above it memory goes back at once; blocks that the
 * program holds stay, so it may be exceeded. Returns the limit that was in
 * force (0 = none). Go: debug.SetMemoryLimit. */
size_t spanmalloc_set_memory_limit(size_t bytes);

/* Tells that the calling thread will not allocate or free for a while: what its
 * cache holds is free for others at once, not only after scavenge_delay. */
void spanmalloc_thread_idle(void);

/* What the heap holds, as text on stderr, as numbers, and as XML. */
void spanmalloc_malloc_stats(void);
struct mallinfo spanmalloc_mallinfo(void);
struct mallinfo2 spanmalloc_mallinfo2(void);
int spanmalloc_malloc_info(int options, FILE* stream);

/* ---- Statistics
 *
 * What Go's runtime.ReadMemStats tells, under the same names in snake_case and
 * with the same meaning wherever the thing exists here. All counters are exact
 * and always on. What Go has and spanmalloc has not is absent: there is no
 * garbage collection (NextGC, LastGC, Pause..., NumGC, GCCPUFraction, EnableGC)
 * and no stacks (StackInuse, StackSys); Lookups is always 0 in Go too.
 *
 * Bytes are those of the block that was given out, that is of its size class or
 * its pages, not those asked for. "Since start" counts never fall.
 *
 * Identities, which hold in every snapshot, also while other threads run
 * (spanmalloc_memstats_check):
 *   sys        == heap_sys + mspan_sys + mcache_sys + buck_hash_sys +
 *                 metadata_sys + other_sys
 *   heap_sys   == heap_inuse + heap_idle
 *   heap_released + heap_lazy <= heap_idle,   span_released <= heap_inuse
 *   alloc      == heap_alloc == total_alloc - total_freed
 *   mallocs - frees == heap_objects;  in each size class mallocs >= frees
 *   mallocs    == the sum of by_size[].mallocs + large_mallocs +
 *                 guarded_mallocs; frees likewise
 *   guarded_objects == guarded_mallocs - guarded_frees
 *   mspan_inuse <= mspan_sys,  mcache_inuse <= mcache_sys
 *   peak_heap_inuse >= heap_inuse
 *   tiny_objects == tiny_allocs - tiny_frees
 *   heap_inuse == heap_alloc + thread_cache_bytes + transfer_cache_bytes +
 *                 central_free_bytes + span_tail_bytes
 * The last one holds by construction: while threads run, thread_cache_bytes is
 * what is left, and heap_inuse may be a moment old.
 */
#define SPANMALLOC_SIZE_CLASSES 64

typedef struct spanmalloc_size_stats {
  uint64_t size;    /* Bytes of a block of the class; 0 behind the last one. */
  uint64_t mallocs; /* Since start. */
  uint64_t frees;
} spanmalloc_size_stats;

typedef struct spanmalloc_memstats {
  uint64_t alloc;       /* The same as heap_alloc. */
  uint64_t total_alloc; /* Bytes allocated since start. */
  uint64_t total_freed; /* Bytes freed since start. Not in Go. */
  uint64_t sys;         /* Address space taken from the system. */
  uint64_t mallocs; /* Blocks since start. A realloc that moves a block is a */
  uint64_t frees;   /* malloc and a free; one in place is neither. */

  uint64_t heap_alloc; /* Bytes of blocks that the program holds. */
  uint64_t heap_sys;   /* Address space of the heap. */
  uint64_t heap_idle;  /* Of it: in no span. */
  uint64_t heap_inuse; /* Of it: in spans that have a block or keep for one. */
  uint64_t heap_released; /* Of heap_idle: no memory of the system behind it. */
  uint64_t heap_objects;  /* Blocks that the program holds. */

  uint64_t mspan_inuse;   /* Records about spans: of those in use; */
  uint64_t mspan_sys;     /* of all. */
  uint64_t mcache_inuse;  /* Thread and transfer caches themselves: in use; */
  uint64_t mcache_sys;    /* all. */
  uint64_t buck_hash_sys; /* Tables of the heap profiler. */
  uint64_t metadata_sys;  /* Maps from address to class and span. Go: GCSys. */
  uint64_t other_sys;     /* Address space for records not made yet. */

  /* Blocks of the classes below 16 bytes, several of which share 16 bytes: */
  uint64_t tiny_allocs; /* since start, */
  uint64_t tiny_frees;
  uint64_t tiny_objects; /* now. */
  uint64_t tiny_bytes;   /* Bytes of those. */
  uint64_t tiny_blocks;  /* Places of 16 bytes in the spans of these classes. */
  uint64_t tiny_saved;   /* Bytes by which tiny_objects would take more space if
                            there were classes of 8 and 16 bytes only. */

  /* Not in Go. Where the bytes of heap_inuse are that no block has: */
  uint64_t thread_cache_bytes;   /* in the caches of threads, */
  uint64_t transfer_cache_bytes; /* on their way between threads, */
  uint64_t central_free_bytes;   /* free in spans of a size class, */
  uint64_t span_tail_bytes;      /* behind the last object of each span. */

  uint64_t large_objects; /* Blocks above the largest size class: now, */
  uint64_t large_bytes;
  uint64_t large_mallocs; /* since start. */
  uint64_t large_frees;

  uint64_t peak_heap_alloc; /* Highest so far; within 1/32, from below. */
  uint64_t peak_heap_inuse; /* Highest so far. */
  uint64_t peak_resident;   /* Highest heap_sys - heap_released - heap_lazy -
                               span_released so far. */

  uint64_t heap_lazy;     /* Of heap_idle: the system may take it when it needs
                             memory; till then it counts as resident. */
  uint64_t span_released; /* Of heap_inuse: free pages inside of spans, no
                             memory of the system behind them. */

  uint64_t released_total; /* Bytes given back to the system since start. */
  uint64_t
      lazily_released_total;  /* Of those that it may take later (MADV_FREE),
                                 which are not in released_total. */
  uint64_t release_calls;     /* Calls of malloc_trim and
                                 spanmalloc_release_memory. */
  uint64_t scavenge_cycles;   /* Times that something was given back. */
  uint64_t scavenge_ns;       /* Nanoseconds of CPU time it took. */
  uint64_t memory_limit;      /* In force now, 0 = none: soft, */
  uint64_t memory_limit_hard; /* and hard. */
  uint64_t lock_waits; /* Times that a thread waited for a lock of ours. */
  uint64_t heap_huge;  /* Of heap_sys: asked for as huge pages. */
  uint64_t threads;    /* Threads that have a cache. */

  spanmalloc_size_stats by_size[SPANMALLOC_SIZE_CLASSES];

  /* Blocks between guard pages, which are in no size class. Their pages count
     in heap_sys, and as released where nothing is behind them. */
  uint64_t guarded_objects; /* Now, */
  uint64_t guarded_bytes;   /* as they were asked for; */
  uint64_t guarded_mallocs; /* since start. */
  uint64_t guarded_frees;

  /* Of the heap profiler: blocks that it sampled */
  uint64_t profile_samples;      /* since start, */
  uint64_t profile_live_samples; /* and that the program holds now; */
  uint64_t profile_lost_samples; /* those for which it had no memory. */
} spanmalloc_memstats;

/* Takes a snapshot. Takes no lock and stops nobody; may be called in a signal
 * handler. `size` is sizeof(spanmalloc_memstats): a program that was built with
 * an older or newer header gets the fields that it knows, zeros for those that
 * this library does not. 0, or EINVAL if out is NULL or size is less than that
 * of the first version. */
int spanmalloc_read_memstats(spanmalloc_memstats* out, size_t size);

/* NULL if every identity above holds, else the first one that does not, as
 * text. */
const char* spanmalloc_memstats_check(const spanmalloc_memstats* stats);

/* The numbers above, each under a name of its own: "heap.inuse_bytes". Those of
 * counters end in "_total". 0, ENOENT if there is no such name, EINVAL if an
 * argument is NULL. */
int spanmalloc_property(const char* name, uint64_t* value);

#define SPANMALLOC_UNIT_BYTES 0
#define SPANMALLOC_UNIT_COUNT 1
#define SPANMALLOC_UNIT_NANOSECONDS 2
#define SPANMALLOC_KIND_GAUGE 0
#define SPANMALLOC_KIND_COUNTER 1 /* Since start, never falls. */

typedef struct spanmalloc_metric {
  const char* name; /* For spanmalloc_property. */
  const char* help; /* A sentence. */
  int unit;
  int kind;
} spanmalloc_metric;

/* Tells about the metric of that index, from 0 on. 0, ENOENT if there are not
 * that many, EINVAL if out is NULL. */
int spanmalloc_metric_at(size_t index, spanmalloc_metric* out);

/* Writes all statistics to an open file: "text" for people, "json" (one object,
 * by the names of properties, with an array by_size), or "prometheus" (its text
 * format, with the names of Go's client, spanmalloc_memstats_* for
 * go_memstats_*, and process_*). Allocates nothing. 0, EINVAL for any other
 * format, or the error of write(2); errno is kept. */
int spanmalloc_write_stats(int fd, const char* format);

/* ---- The heap profiler: docs/profiling.md */

/* Mean bytes that a thread allocates between two samples; 0 turns sampling off,
 * 1 samples every block. Threads notice within 128 KiB of allocations. Returns
 * what it was before. */
size_t spanmalloc_set_profile_interval(size_t bytes);

/* Writes a profile to an open file, compressed, as pprof reads it: "heap" (in
 * use, and allocated since the start), "peak" (in use when most was), "growth"
 * (memory that the heap took from the system) or "lifetimes" (of freed blocks).
 * Allocates nothing. 0, EINVAL for any other type, ENOMEM, or the error of
 * write(2); errno is kept. */
int spanmalloc_write_profile(int fd, const char* type);

/* From here on the peak is what is in use now. */
void spanmalloc_reset_profile_peak(void);

/* Labels for what the calling thread allocates from now on, in the place of one
 * with the same key; an empty value removes it. At most 16, keys of up to 64
 * bytes and values of up to 128. Returns what restores those of before. C++ has
 * <spanmalloc/profile_labels.h>. */
const void* spanmalloc_add_profile_label(const char* key, const char* value);
void spanmalloc_restore_profile_labels(const void* labels);

#ifdef __cplusplus
}
#endif

#endif /* SPANMALLOC_SPANMALLOC_H_ */
