// What the system says about itself.
//
// Place:    os/.
// Purpose:  Read at run time what other allocators fix at compile time: page
//           size, limits, the mode of transparent huge pages.
// Concurrency: pure reads of the system; call from any thread.
// Cost:     one system call at most, but TransparentHugePages, which opens a
//           file.
// Failure:  the value that makes the allocator most careful.
#ifndef SPANMALLOC_ALLOCATOR_OS_SYSTEM_INFO_H_
#define SPANMALLOC_ALLOCATOR_OS_SYSTEM_INFO_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// Bytes in a page of the system: 4, 16 or 64 KiB.
size_t SystemPageSize();

// Bytes of address space the process may have (RLIMIT_AS), or SIZE_MAX.
size_t AddressSpaceLimit();

enum class HugePageMode { kNever, kMadvise, kAlways };
// /sys/kernel/mm/transparent_hugepage/enabled; kNever if it can't be read.
HugePageMode TransparentHugePages();

// Bits that differ from one start of a program to the next. Not secret.
uint64_t RandomBits();

// Where the heap's addresses should start, a multiple of 2 MiB, or 0 if the
// system had better choose. It lies far from where Linux puts programs,
// libraries, stacks and the shadow memory of sanitizers, so that the heap can
// grow upwards without meeting anything.
uintptr_t PreferredHeapAddress();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_SYSTEM_INFO_H_
