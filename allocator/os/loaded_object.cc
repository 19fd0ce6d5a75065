#include "allocator/os/loaded_object.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "allocator/base/bits.h"
#include "allocator/base/config.h"
#include "allocator/os/readable_memory.h"

#ifdef DLFO_EH_SEGMENT_TYPE
// Not there on older systems than the one that we are compiled on, and in
// static programs that have no use for it.
extern "C" decltype(_dl_find_object) _dl_find_object __attribute__((weak));
#endif

namespace spanmalloc {
namespace {

using ProgramHeader = ElfW(Phdr);
using FileHeader = ElfW(Ehdr);

// True and an answer, or false: there is nobody to ask.
bool AskLinker(uintptr_t address, LoadedObject* object, bool* found) {
#ifdef DLFO_EH_SEGMENT_TYPE
  static_assert(DLFO_EH_SEGMENT_TYPE == PT_GNU_EH_FRAME, "other tables");
  if (_dl_find_object != nullptr) {
    dl_find_object result;
    *found = _dl_find_object(reinterpret_cast<void*>(address), &result) == 0;
    if (*found) {
      object->range = {reinterpret_cast<uintptr_t>(result.dlfo_map_start),
                       reinterpret_cast<uintptr_t>(result.dlfo_map_end)};
      object->frame_index = reinterpret_cast<uintptr_t>(result.dlfo_eh_frame);
    }
    return true;
  }
#endif
  (void)address, (void)object, (void)found;
  return false;
}

struct Search {
  uintptr_t address;
  LoadedObject* object;
};

int Visit(dl_phdr_info* info, size_t, void* data) {
  const Search& search = *static_cast<const Search*>(data);
  LoadedObject object = {{UINTPTR_MAX, 0}, 0};
  bool found = false;
  for (size_t i = 0; i < info->dlpi_phnum; ++i) {
    const ProgramHeader& header = info->dlpi_phdr[i];
    const uintptr_t start = info->dlpi_addr + header.p_vaddr;
    const ByteRange range = {start, start + header.p_memsz};
    if (header.p_type == PT_GNU_EH_FRAME) object.frame_index = start;
    if (header.p_type != PT_LOAD) continue;
    if (range.Contains(search.address)) found = true;
    const uintptr_t page = AlignDown(start, kMinSystemPageSize);
    if (page < object.range.start) object.range.start = page;
    if (range.end > object.range.end) object.range.end = range.end;
  }
  if (found) *search.object = object;
  return found ? 1 : 0;
}

// The segments of the object whose file begins at some place in memory.
class Segments {
 public:
  // False if there are no headers, or they are not those of the object that
  // holds `member`. Else found() is what is readable around `address`.
  bool Find(uintptr_t start, uintptr_t member, uintptr_t address);
  ByteRange found() const { return found_; }

 private:
  ByteRange found_;
};

bool Segments::Find(uintptr_t start, uintptr_t member, uintptr_t address) {
  ReadableMemory memory;
  FileHeader file;
  if (!memory.Read(start, &file, sizeof(file)) ||
      memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
      file.e_phentsize != sizeof(ProgramHeader)) {
    return false;
  }
  uintptr_t load_address = 0;
  bool first = true;
  bool has_member = false;
  for (size_t i = 0; i < file.e_phnum; ++i) {
    ProgramHeader header;
    if (!memory.Read(start + file.e_phoff + i * sizeof(header), &header,
                     sizeof(header))) {
      return false;
    }
    if (header.p_type != PT_LOAD) continue;
    if (first) {
      load_address = start - AlignDown(header.p_vaddr, kMinSystemPageSize);
      first = false;
    }
    const uintptr_t begin = load_address + header.p_vaddr;
    const uintptr_t end = begin + header.p_filesz;
    if (end < begin) continue;
    // Its page belongs to it.
    const ByteRange pages = {AlignDown(begin, kMinSystemPageSize), end};
    if (pages.Contains(member)) has_member = true;
    const ByteRange segment = {begin, end};
    if (segment.Contains(address) && (header.p_flags & PF_R) != 0) {
      found_ = segment;
    }
  }
  return has_member;
}

}  // namespace

bool FindLoadedObject(uintptr_t address, LoadedObject* object) {
  bool found;
  if (!AskLinker(address, object, &found)) {
    Search search = {address, object};
    found = dl_iterate_phdr(&Visit, &search) != 0;
  }
  return found;
}

ByteRange ReadableSegment(const LoadedObject& object, uintptr_t address) {
  Segments segments;
  if (segments.Find(object.range.start, object.range.start, address) ||
      // Of a static program, glibc knows the code alone.
      segments.Find(AlignDown(getauxval(AT_PHDR), kMinSystemPageSize),
                    object.range.start, address)) {
    return segments.found();
  }
  return object.range.Contains(address) ? object.range : ByteRange{};
}

}  // namespace spanmalloc
