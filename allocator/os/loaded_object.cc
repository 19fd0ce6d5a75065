#include "allocator/os/loaded_object.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

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
  ReadableMemory memory;
  FileHeader file;
  if (!memory.Read(object.range.start, &file, sizeof(file)) ||
      memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
      file.e_phentsize != sizeof(ProgramHeader)) {
    return object.range.Contains(address) ? object.range : ByteRange{};
  }
  uintptr_t load_address = 0;
  bool first = true;
  for (size_t i = 0; i < file.e_phnum; ++i) {
    ProgramHeader header;
    const uintptr_t at =
        object.range.start + file.e_phoff + i * sizeof(ProgramHeader);
    if (!memory.Read(at, &header, sizeof(header))) return {};
    if (header.p_type != PT_LOAD) continue;
    if (first) {
      load_address =
          object.range.start - AlignDown(header.p_vaddr, kMinSystemPageSize);
      first = false;
    }
    const uintptr_t start = load_address + header.p_vaddr;
    if (address - start >= header.p_filesz || start + header.p_filesz < start) {
      continue;
    }
    const ByteRange segment = {start, start + header.p_filesz};
    return (header.p_flags & PF_R) != 0 ? segment : ByteRange{};
  }
  return {};
}

}  // namespace spanmalloc
