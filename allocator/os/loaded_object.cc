#include "allocator/os/loaded_object.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include <atomic>
#include <cstddef>

#include "allocator/base/annotations.h"
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

#ifdef DLFO_EH_SEGMENT_TYPE
// The C library of a static program allocates what _dl_find_object needs: it
// must not be asked that for the stack of this allocation. The list of objects
// is there before. Constructors come later.
std::atomic<bool> constructors_run{false};
__attribute__((constructor(101))) void NoteConstructors() {
  constructors_run.store(true, std::memory_order_relaxed);
}

bool IsTooEarly() {
  // A program without a dynamic linker, which would be ready by now.
  return SPANMALLOC_UNLIKELY(
             !constructors_run.load(std::memory_order_relaxed)) &&
         getauxval(AT_BASE) == 0;
}
#endif

// True and an answer, or false: there is nobody to ask.
bool AskLinker(uintptr_t address, LoadedObject* object, bool* found) {
#ifdef DLFO_EH_SEGMENT_TYPE
  static_assert(DLFO_EH_SEGMENT_TYPE == PT_GNU_EH_FRAME, "other tables");
  if (_dl_find_object != nullptr && !IsTooEarly()) {
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

// The program headers of the object whose file begins at some place in memory.
class Headers {
 public:
  // False if there are none, or they are not those of the object that holds
  // `member`.
  bool Open(uintptr_t start, uintptr_t member);
  bool Open(const LoadedObject& object) {
    return Open(object.range.start, object.range.start) ||
           // Of a static program, glibc knows the code alone.
           Open(AlignDown(getauxval(AT_PHDR), kMinSystemPageSize),
                object.range.start);
  }

  size_t count() const { return file_.e_phnum; }
  // Empty if the header can't be read. What comes from the file.
  ByteRange Read(size_t i, ProgramHeader* header);

 private:
  ReadableMemory memory_;
  FileHeader file_;
  uintptr_t start_ = 0;
  uintptr_t load_address_ = 0;
};

ByteRange Headers::Read(size_t i, ProgramHeader* header) {
  if (!memory_.Read(start_ + file_.e_phoff + i * sizeof(*header), header,
                    sizeof(*header))) {
    *header = ProgramHeader();
    return {};
  }
  const uintptr_t start = load_address_ + header->p_vaddr;
  const uintptr_t end = start + header->p_filesz;
  return end < start ? ByteRange{} : ByteRange{start, end};
}

bool Headers::Open(uintptr_t start, uintptr_t member) {
  if (!memory_.Read(start, &file_, sizeof(file_)) ||
      memcmp(file_.e_ident, ELFMAG, SELFMAG) != 0 ||
      file_.e_phentsize != sizeof(ProgramHeader)) {
    return false;
  }
  start_ = start;
  load_address_ = 0;
  bool is_first = true;
  for (size_t i = 0; i < count(); ++i) {
    ProgramHeader header;
    Read(i, &header);
    if (header.p_type != PT_LOAD) continue;
    if (is_first) {
      load_address_ = start - AlignDown(header.p_vaddr, kMinSystemPageSize);
      is_first = false;
    }
    ByteRange segment = Read(i, &header);
    // All of its first page belongs to it.
    segment.start = AlignDown(segment.start, kMinSystemPageSize);
    if (segment.Contains(member)) return true;
  }
  return false;
}

}  // namespace

bool FindLoadedObject(uintptr_t address, LoadedObject* object) {
  bool found;
  if (!AskLinker(address, object, &found)) {
    // A signal handler that interrupts the question does not ask: it might wait
    // for the lock that its own thread is taking.
    static SPANMALLOC_THREAD_LOCAL bool asking = false;
    if (asking) return false;
    asking = true;
    Search search = {address, object};
    found = dl_iterate_phdr(&Visit, &search) != 0;
    asking = false;
  }
  return found;
}

ByteRange ReadableSegment(const LoadedObject& object, uintptr_t address) {
  Headers headers;
  if (!headers.Open(object)) {
    return object.range.Contains(address) ? object.range : ByteRange{};
  }
  for (size_t i = 0; i < headers.count(); ++i) {
    ProgramHeader header;
    const ByteRange segment = headers.Read(i, &header);
    if (header.p_type == PT_LOAD && (header.p_flags & PF_R) != 0 &&
        segment.Contains(address)) {
      return segment;
    }
  }
  return {};
}

uintptr_t FindBuildId(const LoadedObject& object) {
  Headers headers;
  if (!headers.Open(object)) return 0;
  ReadableMemory memory;
  for (size_t i = 0; i < headers.count(); ++i) {
    ProgramHeader header;
    ByteRange notes = headers.Read(i, &header);
    if (header.p_type != PT_NOTE) continue;
    while (notes.start < notes.end) {
      struct {
        uint32_t name_size, size, type;
        char name[4];
        char id[kBuildIdSize];
      } note;
      if (!notes.Contains(notes.start, sizeof(note)) ||
          !memory.Read(notes.start, &note, sizeof(note))) {
        break;
      }
      if (note.type == NT_GNU_BUILD_ID && note.size >= kBuildIdSize &&
          note.name_size == 4 && memcmp(note.name, "GNU", 4) == 0) {
        return notes.start + offsetof(decltype(note), id);
      }
      notes.start += 3 * sizeof(uint32_t) + AlignUp(note.name_size, 4) +
                     AlignUp(note.size, header.p_align == 8 ? 8 : 4);
    }
  }
  return 0;
}

}  // namespace spanmalloc
