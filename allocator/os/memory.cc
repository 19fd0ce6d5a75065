#include "allocator/os/memory.h"

#include <sys/mman.h>

#include "allocator/os/errno_saver.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_FREE
#define MADV_FREE 8
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace spanmalloc {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

void* Map(uintptr_t address, size_t size) {
  ErrnoSaver errno_saver;
  void* const wanted = reinterpret_cast<void*>(address);
  const int fixed = address != 0 ? MAP_FIXED_NOREPLACE : 0;
  void* const got = mmap(wanted, size, kReadWrite, kAnonymous | fixed, -1, 0);
  if (got == MAP_FAILED) return nullptr;
  if (address != 0 && got != wanted) {
    // Kernels before 4.17 take the address for a hint.
    munmap(got, size);
    return nullptr;
  }
  return got;
}

void* Reserve(size_t size) {
  ErrnoSaver errno_saver;
  void* const got =
      mmap(nullptr, size, kReadWrite, kAnonymous | MAP_NORESERVE, -1, 0);
  return got == MAP_FAILED ? nullptr : got;
}

bool Unmap(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return munmap(start, size) == 0;
}

bool Release(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return madvise(start, size, MADV_DONTNEED) == 0;
}

bool ReleaseLazily(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return madvise(start, size, MADV_FREE) == 0;
}

bool AdviseHuge(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return madvise(start, size, MADV_HUGEPAGE) == 0;
}

bool ForbidHuge(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return madvise(start, size, MADV_NOHUGEPAGE) == 0;
}

bool Move(void* from, void* to, size_t size) {
  ErrnoSaver errno_saver;
  // DONTUNMAP leaves `from` mapped and empty. Without it another thread's mmap
  // could take the hole before we map it again, so there is no other way.
  return mremap(from, size, size,
                MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                to) != MAP_FAILED;
}

bool ForbidAccess(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return mprotect(start, size, PROT_NONE) == 0;
}

bool AllowAccess(void* start, size_t size) {
  ErrnoSaver errno_saver;
  return mprotect(start, size, kReadWrite) == 0;
}

}  // namespace

const SystemMemory kLinuxMemory = {
    Map,        Reserve,    Unmap, Release,      ReleaseLazily,
    AdviseHuge, ForbidHuge, Move,  ForbidAccess, AllowAccess};

}  // namespace spanmalloc
