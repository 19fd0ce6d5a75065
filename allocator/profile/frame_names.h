// What the frames of stacks are called, in this process.
//
// Place:    profile/, above os/elf_symbols.h.
// Purpose:  For each frame the file that it is in, the place there, and the
//           function: all that a person is told about it.
// Not here: how that is printed; names that are decoded.
//
// A file that is not any more the one that was mapped, by its build ID, is not
// read: its names would be of other functions.
//
// Concurrency: one thread. Not for signal handlers: files are opened.
// Failure:     what is not known is left empty.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_FRAME_NAMES_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_FRAME_NAMES_H_

#include <cstddef>
#include <cstdint>

#include "allocator/os/elf_symbols.h"
#include "allocator/os/mapped_file.h"
#include "allocator/os/reserved_array.h"
#include "allocator/profile/mappings.h"

namespace spanmalloc {

struct FrameName {
  uintptr_t address = 0;             // Within the call.
  const Mapping* mapping = nullptr;  // Null: in no file.
  // As tools ask for it: as the file tells it, or, if that cannot be read, the
  // place in the file.
  CodeAddress code;

  Text module() const {
    return mapping != nullptr ? mapping->name : Text{"", 0};
  }
  Text function() const {
    return code.name != nullptr ? Text{code.name, code.name_bytes}
                                : Text{"", 0};
  }
};

class FrameNames {
 public:
  // For as many frames, in all stacks together. `mappings` must outlive it.
  FrameNames(const MappingTable* mappings, size_t frames);
  ~FrameNames();

  // First all stacks, by their return addresses. False if there is no room.
  bool Add(const void* const* frames, size_t depth);
  // Then their names.
  void Resolve();
  // Null if it has not been added. After Resolve.
  const FrameName* Find(const void* frame) const;

  const FrameName* begin() const { return names_.begin(); }
  size_t size() const { return names_.size(); }

 private:
  void ResolveIn(const Mapping& mapping, FrameName* begin, FrameName* end);

  const MappingTable* const mappings_;
  ReservedArray<FrameName> names_;    // After Resolve by address, each once.
  ReservedArray<CodeAddress> codes_;  // Of one file.
  ReservedArray<MappedFile> files_;   // Open until the end: names are in them.
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_FRAME_NAMES_H_
