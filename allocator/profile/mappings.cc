#include "allocator/profile/mappings.h"

#include <elf.h>
#include <string.h>

#include "allocator/base/bits.h"
#include "allocator/os/own_memory.h"
#include "allocator/os/small_file.h"

namespace spanmalloc {
namespace {

// Numbers that no file of ours comes near; a damaged one may say anything.
constexpr size_t kMaxSegments = 64;
constexpr size_t kMaxNoteBytes = 64 << 10;

bool ParseHex(const char** text, uint64_t* value) {
  const char* at = *text;
  uint64_t n = 0;
  for (;; ++at) {
    if (*at >= '0' && *at <= '9') {
      n = n << 4 | static_cast<uint64_t>(*at - '0');
    } else if (*at >= 'a' && *at <= 'f') {
      n = n << 4 | static_cast<uint64_t>(*at - 'a' + 10);
    } else {
      break;
    }
  }
  const bool ok = at != *text && at - *text <= 16;
  *text = at;
  *value = n;
  return ok;
}

bool Skip(const char** text, char c) {
  if (**text != c) return false;
  ++*text;
  return true;
}

// "5581d2a000-5581d2c000 r-xp 00002000 fe:01 3146 <spaces> /usr/bin/cat"
struct Line {
  uint64_t start, limit, offset;
  bool executable;
  Text name;
};

bool Parse(const char* at, Line* line) {
  if (!ParseHex(&at, &line->start) || !Skip(&at, '-') ||
      !ParseHex(&at, &line->limit) || !Skip(&at, ' ')) {
    return false;
  }
  if (strnlen(at, 4) < 4) return false;
  line->executable = at[2] == 'x';
  at += 4;
  uint64_t number;
  if (!Skip(&at, ' ') || !ParseHex(&at, &line->offset) || !Skip(&at, ' ') ||
      !ParseHex(&at, &number) || !Skip(&at, ':') || !ParseHex(&at, &number) ||
      !Skip(&at, ' ') || !ParseDecimal(&at, &number)) {
    return false;
  }
  while (Skip(&at, ' ')) {
  }
  line->name = {at, strlen(at)};
  // What the kernel says of a file that is not there any more.
  constexpr char kDeleted[] = " (deleted)";
  constexpr size_t kBytes = sizeof(kDeleted) - 1;
  if (line->name.bytes > kBytes &&
      memcmp(at + line->name.bytes - kBytes, kDeleted, kBytes) == 0) {
    line->name.bytes -= kBytes;
  }
  return line->start < line->limit;
}

// The build ID among the notes at `address`.
size_t FindBuildId(const MemoryReader& memory, uint64_t address, uint64_t bytes,
                   uint64_t alignment,
                   unsigned char (*build_id)[Mapping::kMaxBuildId]) {
  if (bytes > kMaxNoteBytes) bytes = kMaxNoteBytes;
  if (alignment != 8) alignment = 4;
  Elf64_Nhdr note;
  uint64_t at = 0;
  while (at + sizeof(note) <= bytes) {
    if (!memory.Read(address + at, &note, sizeof(note))) return 0;
    const uint64_t name = at + sizeof(note);
    const uint64_t contents = AlignUp(name + note.n_namesz, alignment);
    char owner[4];
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(owner) &&
        note.n_descsz != 0 && note.n_descsz <= Mapping::kMaxBuildId &&
        contents + note.n_descsz <= bytes &&
        memory.Read(address + name, owner, sizeof(owner)) &&
        memcmp(owner, ELF_NOTE_GNU, sizeof(owner)) == 0) {
      return memory.Read(address + contents, *build_id, note.n_descsz)
                 ? note.n_descsz
                 : 0;
    }
    at = AlignUp(contents + note.n_descsz, alignment);
  }
  return 0;
}

bool IsSame(Text a, Text b) {
  return a.bytes == b.bytes && memcmp(a.start, b.start, a.bytes) == 0;
}

}  // namespace

size_t ReadBuildId(const MemoryReader& memory, uint64_t start,
                   unsigned char (*build_id)[Mapping::kMaxBuildId]) {
  Elf64_Ehdr header;
  if (!memory.Read(start, &header, sizeof(header)) ||
      memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return 0;
  }
  const size_t segments =
      header.e_phnum < kMaxSegments ? header.e_phnum : kMaxSegments;
  // What is added to the addresses that the file tells; known after the first
  // segment that is loaded, which has the file's first bytes.
  bool is_known = false;
  uint64_t bias = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0; i < segments; ++i) {
      Elf64_Phdr segment;
      if (!memory.Read(start + header.e_phoff + i * sizeof(segment), &segment,
                       sizeof(segment))) {
        return 0;
      }
      if (pass == 0 && segment.p_type == PT_LOAD && !is_known) {
        bias = start - (segment.p_vaddr - segment.p_offset);
        is_known = true;
      }
      if (pass == 0 || segment.p_type != PT_NOTE) continue;
      const size_t found =
          FindBuildId(memory, bias + segment.p_vaddr, segment.p_filesz,
                      segment.p_align, build_id);
      if (found != 0) return found;
    }
    if (!is_known) return 0;
  }
  return 0;
}

MappingTable::MappingTable(void* memory, size_t bytes)
    : first_(static_cast<Mapping*>(memory)),
      names_(static_cast<char*>(memory) + bytes) {}

void MappingTable::ReadOwn() {
  OwnMemory own_memory;
  const MemoryReader memory = {
      [](void* context, uint64_t address, void* out, size_t n) {
        return static_cast<const OwnMemory*>(context)->Read(address, out, n);
      },
      &own_memory};
  LineReader lines("/proc/self/maps");
  while (const char* const line = lines.Next()) AddLine(line, memory);
}

// Below the names that are there.
bool MappingTable::Copy(Text name, Text* copy) {
  const size_t room =
      static_cast<size_t>(names_ - reinterpret_cast<char*>(first_ + count_));
  if (room < name.bytes) return false;
  names_ -= name.bytes;
  memcpy(names_, name.start, name.bytes);
  *copy = {names_, name.bytes};
  return true;
}

// Most files that are mapped are no programs: their names need no room.
void MappingTable::ForgetHeader() {
  const bool is_used = count_ != 0 && header_name_.start != nullptr &&
                       first_[count_ - 1].name.start == header_name_.start;
  if (!is_used && header_name_.start == names_) names_ += header_name_.bytes;
  header_name_ = {nullptr, 0};
}

void MappingTable::AddLine(const char* text, const MemoryReader& memory) {
  Line line;
  if (!Parse(text, &line)) return;
  const bool has_header =
      header_name_.bytes != 0 && IsSame(line.name, header_name_);
  const bool is_header = line.offset == 0 && line.name.bytes != 0;
  if (!line.executable && !is_header) return;
  Text name = header_name_;
  if (!has_header) {
    if (is_header) ForgetHeader();
    if (!Copy(line.name, &name)) {
      lost_ += line.executable;
      return;
    }
  }
  if (is_header) {
    header_name_ = name;
    header_ = line.start;
  }
  if (!line.executable) return;
  if (reinterpret_cast<char*>(first_ + count_ + 1) > names_) {
    ++lost_;
    return;
  }
  Mapping* const mapping = &first_[count_++];
  *mapping = {line.start, line.limit, line.offset, name, 0, {}};
  if (is_header || has_header) {
    mapping->build_id_bytes = ReadBuildId(memory, header_, &mapping->build_id);
  }
}

}  // namespace spanmalloc
