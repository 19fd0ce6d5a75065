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

/* Gives free memory back to the system, but for `pad` bytes. 1 if any was. */
int spanmalloc_malloc_trim(size_t pad);
/* 1 for the parameters that glibc knows, all of which have no effect here; 0
 * for any other. Settings are made through SPANMALLOC_OPTIONS. */
int spanmalloc_mallopt(int parameter, int value);

/* What the heap holds, as text on stderr, as numbers, and as XML. */
void spanmalloc_malloc_stats(void);
struct mallinfo spanmalloc_mallinfo(void);
struct mallinfo2 spanmalloc_mallinfo2(void);
int spanmalloc_malloc_info(int options, FILE* stream);

#ifdef __cplusplus
}
#endif

#endif /* SPANMALLOC_SPANMALLOC_H_ */
