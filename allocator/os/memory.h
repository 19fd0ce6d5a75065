// Memory from the system, as transitions between five states.
//
// Place:    os/, below page/.
// Purpose:  The one door to mmap and its relatives. A range of addresses is
//             none -> Map -> ready -> Release -> released -> (touch) -> ready
//                           ready, released -> Unmap -> none
//                           ready -> ReleaseLazily -> either -> (write) ->
//                           ready
//             none -> Reserve -> ready, but expected to stay mostly untouched
//                           ready, released -> ForbidAccess -> forbidden ->
//                           AllowAccess -> ready
//           Ready memory may be read and written; it reads as zero until it is
//           written, and again once it has been released.
// Not here: who owns which address (page/), when to release (callers).
//
// SystemMemory is a table of functions so that tests can put a scripted system
// in its place that fails the n-th call.
//
// Concurrency: every function may be called from any thread.
// Failure:     a null pointer or false, errno unchanged; the range is then as
//              it was before.
#ifndef SPANMALLOC_ALLOCATOR_OS_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_OS_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

struct SystemMemory {
  // none -> ready. With an address: exactly there or fail. Without: anywhere,
  // on a boundary of the system's pages. `size` is a multiple of them.
  void* (*map)(uintptr_t address, size_t size);

  // none -> ready, anywhere, not counted against the system's commit limit
  // where that can be avoided.
  void* (*reserve)(size_t size);

  // ready or released -> none.
  bool (*unmap)(void* start, size_t size);

  // ready -> released: gives the memory back, keeps the addresses.
  bool (*release)(void* start, size_t size);

  // ready -> released, but not before the system runs short of memory: until
  // then, or until it is written, it may read as before. False also where the
  // system has no such thing.
  bool (*release_lazily)(void* start, size_t size);

  // Asks for huge pages in a range of whole huge pages, and takes back what
  // forbid_huge said. A wish, not a transition.
  bool (*advise_huge)(void* start, size_t size);

  // Asks that a range of whole huge pages be backed by small pages from now
  // on, and never be joined. What is backed already stays as it is.
  bool (*forbid_huge)(void* start, size_t size);

  // Moves the contents of [from, from + size) to the ready range [to, to +
  // size) without copying; `from` is released, `to` holds the contents. Both
  // lie on boundaries of the system's pages and do not overlap.
  bool (*move)(void* from, void* to, size_t size);

  // ready or released -> forbidden: every access is a fault. The contents are
  // kept, unless the range is released.
  bool (*forbid_access)(void* start, size_t size);

  // forbidden -> ready.
  bool (*allow_access)(void* start, size_t size);
};

// The real one.
extern const SystemMemory kLinuxMemory;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_MEMORY_H_
