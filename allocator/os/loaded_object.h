// Which executable or library an address belongs to.
//
// Place:    os/, below unwind_rule.h.
// Purpose:  Find the unwind tables for a piece of code.
// Not here: what is in the tables (eh_frame.h).
//
// glibc answers without a lock since version 2.35 (_dl_find_object), and the
// program may be inside the dynamic linker, in any state. Elsewhere the list of
// objects is walked (dl_iterate_phdr), under a lock of the C library's which is
// its own but for one case: a program that waits in a callback of
// dl_iterate_phdr for a thread that is here waits for ever. Every unwinder for
// exceptions takes the same lock there.
//
// Concurrency: any thread and signal handler.
// Failure:     false: no object that the dynamic linker knows of.
#ifndef SPANMALLOC_ALLOCATOR_OS_LOADED_OBJECT_H_
#define SPANMALLOC_ALLOCATOR_OS_LOADED_OBJECT_H_

#include <cstddef>
#include <cstdint>

#include "allocator/os/byte_reader.h"

namespace spanmalloc {

struct LoadedObject {
  // From its first segment to the last one, or less but the code: where there
  // are gaps between segments, or the program is static, glibc says no more.
  ByteRange range;
  uintptr_t frame_index = 0;  // Its .eh_frame_hdr, or 0.
};

bool FindLoadedObject(uintptr_t address, LoadedObject* object);

// The readable bytes around an address in the object: the part of its segment
// that comes from the file. Empty if there are none. Where the object's own
// headers are not found, its range counts as one segment.
ByteRange ReadableSegment(const LoadedObject& object, uintptr_t address);

// Where the first bytes of the object's build ID are, or 0: the linker's hash
// of its contents, which few objects are without.
inline constexpr size_t kBuildIdSize = 8;
uintptr_t FindBuildId(const LoadedObject& object);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_LOADED_OBJECT_H_
