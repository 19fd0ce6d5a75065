// The malloc family: spanmalloc_malloc and the rest, and with
// SPANMALLOC_OVERRIDE the same functions under their plain names too.
//
// Place:    what programs call.
// Purpose:  The manners of each interface: errno, overflow, zero sizes. What is
//           the same for all is done by Allocator.
// Not here: operator new and delete (new_delete.cc).
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "allocator/api/allocator.h"
#include "allocator/base/bits.h"
#include "allocator/base/config.h"
#include "allocator/observe/heap_report.h"
#include "allocator/observe/render.h"
#include "allocator/os/system_info.h"
#include "spanmalloc/spanmalloc.h"

namespace spanmalloc {
namespace {

SPANMALLOC_ALWAYS_INLINE void* OrNoMemory(void* p) {
  if (SPANMALLOC_UNLIKELY(p == nullptr)) errno = ENOMEM;
  return p;
}

SPANMALLOC_NOINLINE void* MallocSlow(size_t size) {
  return OrNoMemory(the_allocator.AllocateSlow(size));
}

SPANMALLOC_NOINLINE void* CallocSlow(size_t size) {
  return OrNoMemory(the_allocator.AllocateZeroedSlow(size));
}

SPANMALLOC_NOINLINE void FreeSlow(void* p) { the_allocator.FreeSlow(p); }

void* Memalign(size_t alignment, size_t size) {
  if (!IsPowerOfTwo(alignment)) {
    errno = EINVAL;
    return nullptr;
  }
  return OrNoMemory(the_allocator.AllocateAligned(alignment, size));
}

// jemalloc's flags hold the logarithm of the alignment in their low six bits.
size_t AlignmentOf(int flags) { return size_t{1} << (flags & 63); }

}  // namespace
}  // namespace spanmalloc

#pragma GCC visibility push(default)

using spanmalloc::Allocator;
using spanmalloc::the_allocator;

const char* spanmalloc_version() { return spanmalloc::kVersion; }

int spanmalloc_owns(const void* p) { return the_allocator.Owns(p); }

SPANMALLOC_HOT_ENTRY void* spanmalloc_malloc(size_t size) {
  void* const p = Allocator::Allocate(size);
  if (SPANMALLOC_LIKELY(p != nullptr)) return p;
  return spanmalloc::MallocSlow(size);
}

SPANMALLOC_HOT_ENTRY void spanmalloc_free(void* pointer) {
  if (SPANMALLOC_LIKELY(Allocator::Free(pointer))) return;
  spanmalloc::FreeSlow(pointer);
}

void spanmalloc_cfree(void* pointer) { spanmalloc_free(pointer); }

SPANMALLOC_HOT_ENTRY void spanmalloc_free_sized(void* pointer, size_t size) {
  if (SPANMALLOC_LIKELY(Allocator::FreeSized(pointer, size))) return;
  the_allocator.FreeSizedSlow(pointer, size, 1);
}

void spanmalloc_free_aligned_sized(void* pointer, size_t alignment,
                                   size_t size) {
  the_allocator.FreeSizedSlow(pointer, size, alignment);
}

SPANMALLOC_HOT_ENTRY void* spanmalloc_calloc(size_t count, size_t size) {
  size_t bytes;
  if (SPANMALLOC_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
    errno = ENOMEM;
    return nullptr;
  }
  void* const p = Allocator::Allocate(bytes);
  if (SPANMALLOC_LIKELY(p != nullptr)) return memset(p, 0, bytes);
  return spanmalloc::CallocSlow(bytes);
}

void* spanmalloc_realloc(void* pointer, size_t size) {
  if (pointer == nullptr) return spanmalloc_malloc(size);
  if (size == 0) {
    spanmalloc_free(pointer);
    return nullptr;
  }
  return spanmalloc::OrNoMemory(the_allocator.Reallocate(pointer, size));
}

void* spanmalloc_reallocarray(void* pointer, size_t count, size_t size) {
  size_t bytes;
  if (SPANMALLOC_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
    errno = ENOMEM;
    return nullptr;
  }
  return spanmalloc_realloc(pointer, bytes);
}

void* spanmalloc_memalign(size_t alignment, size_t size) {
  return spanmalloc::Memalign(alignment, size);
}

void* spanmalloc_aligned_alloc(size_t alignment, size_t size) {
  return spanmalloc::Memalign(alignment, size);
}

int spanmalloc_posix_memalign(void** result, size_t alignment, size_t size) {
  if (!spanmalloc::IsPowerOfTwo(alignment) || alignment % sizeof(void*) != 0) {
    return EINVAL;
  }
  void* const p = the_allocator.AllocateAligned(alignment, size);
  if (p == nullptr) return ENOMEM;
  *result = p;
  return 0;
}

void* spanmalloc_valloc(size_t size) {
  return spanmalloc::Memalign(spanmalloc::SystemPageSize(), size);
}

void* spanmalloc_pvalloc(size_t size) {
  const size_t page = spanmalloc::SystemPageSize();
  if (size > PTRDIFF_MAX) {
    errno = ENOMEM;
    return nullptr;
  }
  return spanmalloc::Memalign(
      page, size == 0 ? page : spanmalloc::AlignUp(size, page));
}

size_t spanmalloc_malloc_usable_size(void* pointer) {
  return pointer == nullptr ? 0 : the_allocator.UsableSize(pointer);
}

size_t spanmalloc_nallocx(size_t size, int flags) {
  return the_allocator.GoodSize(spanmalloc::AlignmentOf(flags), size);
}

void spanmalloc_sdallocx(void* pointer, size_t size, int flags) {
  the_allocator.FreeSizedSlow(pointer, size, spanmalloc::AlignmentOf(flags));
}

int spanmalloc_malloc_trim(size_t pad) {
  const int saved_errno = errno;
  const bool released = the_allocator.scavenger().Trim(pad) != 0;
  errno = saved_errno;
  return released;
}

int spanmalloc_mallopt(int parameter, int) {
  switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
      return 1;
    default:
      return 0;
  }
}

void spanmalloc_malloc_stats() {
  spanmalloc::PrintHeapStats(the_allocator.ReadStats());
}

struct mallinfo spanmalloc_mallinfo() {
  return spanmalloc::ToMallinfo(the_allocator.ReadStats());
}

struct mallinfo2 spanmalloc_mallinfo2() {
  return spanmalloc::ToMallinfo2(the_allocator.ReadStats());
}

int spanmalloc_malloc_info(int options, FILE* stream) {
  if (options != 0) return EINVAL;  // As glibc does.
  return spanmalloc::WriteHeapXml(the_allocator.ReadStats(), stream) ? 0 : -1;
}

int spanmalloc_read_memstats(spanmalloc_memstats* out, size_t size) {
  return spanmalloc::CopyMemStats(the_allocator.ReadStats(), out, size);
}

const char* spanmalloc_memstats_check(const spanmalloc_memstats* stats) {
  return spanmalloc::CheckMemStats(*stats);
}

#ifdef SPANMALLOC_OVERRIDE
// The plain names are second names of the same functions.
extern "C" {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  result name parameters __attribute__((alias("spanmalloc_" #name)));
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"
}
#endif

#pragma GCC visibility pop
