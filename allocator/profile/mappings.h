// The executable files in a process's memory, where its return addresses point.
//
// Place:    profile/, above os/.
// Purpose:  What readers of profiles need to turn addresses into names, also on
//           another machine: where each file is mapped, and its build ID.
// Not here: the names of functions.
//
// The lines of /proc/<pid>/maps come in, of the process itself (ReadOwn) or of
// another one (AddLine, with a function that reads its memory). The build ID is
// taken from the notes of the file as it is mapped: the file on disk may have
// been replaced.
//
// Concurrency: one thread. Nothing is allocated: the caller brings the memory,
//              which must outlive the table.
// Failure:     mappings that do not fit, or are of no known form, are left out.
//              A build ID that cannot be read is empty.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_MAPPINGS_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_MAPPINGS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/profile/label_set.h"

namespace spanmalloc {

struct Mapping {
  static constexpr size_t kMaxBuildId = 32;

  uint64_t start;
  uint64_t limit;
  uint64_t offset;  // In the file.
  Text name;        // Empty: no file.
  size_t build_id_bytes;
  unsigned char build_id[kMaxBuildId];
};

// Reads memory of the process that is looked at.
struct MemoryReader {
  bool (*read)(void* context, uint64_t address, void* out, size_t n);
  void* context;

  bool Read(uint64_t address, void* out, size_t n) const {
    return read(context, address, out, n);
  }
};

// The build ID of the ELF file whose first bytes are at `start`. Returns its
// length, 0 if there is none.
size_t ReadBuildId(const MemoryReader& memory, uint64_t start,
                   unsigned char (*build_id)[Mapping::kMaxBuildId]);

class MappingTable {
 public:
  // `memory` is aligned as a Mapping is.
  MappingTable(void* memory, size_t bytes);

  // The mappings of this process.
  void ReadOwn();
  // One line of /proc/<pid>/maps, without its end. They come by address.
  void AddLine(const char* line, const MemoryReader& memory);

  // By address; executable ones only.
  const Mapping* begin() const { return first_; }
  const Mapping* end() const { return first_ + count_; }
  size_t size() const { return count_; }
  // How many were left out for want of room.
  size_t lost() const { return lost_; }

 private:
  bool Copy(Text name, Text* copy);
  void ForgetHeader();

  Mapping* const first_;
  size_t count_ = 0;
  size_t lost_ = 0;
  char* names_;  // From here to the end of the memory; grows downwards.
  // Of the file mapped last: where its first bytes are.
  Text header_name_ = {nullptr, 0};
  uint64_t header_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_MAPPINGS_H_
