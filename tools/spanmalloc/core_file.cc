#include "tools/spanmalloc/core_file.h"

#include <errno.h>
#include <inttypes.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace spanmalloc_tool {
namespace {

// Notes are small, but for those of processes with very many mappings.
constexpr uint64_t kMaxNote = 256 << 20;

uint64_t NoteAligned(uint64_t n) { return (n + 3) & ~uint64_t{3}; }

}  // namespace

bool CoreFile::Open(const std::string& core, const std::string& program,
                    std::string* error) {
  name_ = core;
  program_ = program;
  if (!core_.Open(core)) {
    *error = errno == ENOEXEC ? core + " is no core file"
                              : core + ": " + std::strerror(errno);
    return false;
  }
  if (core_.header().e_type != ET_CORE) {
    *error = core + " is no core file";
    return false;
  }
  // Not even the table of segments.
  if (core_.segments().empty()) {
    needed_ = UINT64_MAX;
    *error = core + ": " + WhyUnreadable();
    return false;
  }
  if (!program.empty()) {
    ElfFile file;
    if (!file.Open(program)) {
      *error = errno == ENOEXEC ? program + " is no program"
                                : program + ": " + std::strerror(errno);
      return false;
    }
  }
  for (const Elf64_Phdr& segment : core_.segments()) {
    needed_ = std::max(needed_, segment.p_offset + segment.p_filesz);
    if (segment.p_type == PT_NOTE) ReadNotes(segment);
  }
  for (const Mapping& mapping : mappings_) {
    if (entry_ >= mapping.start && entry_ < mapping.end) {
      program_file_ = mapping.file;
    }
  }
  return true;
}

void CoreFile::ReadNotes(const Elf64_Phdr& segment) {
  uint64_t at = segment.p_offset;
  const uint64_t end = at + segment.p_filesz;
  Elf64_Nhdr header;
  while (at < end && core_.file().Read(at, &header, sizeof(header))) {
    at += sizeof(header) + NoteAligned(header.n_namesz);
    if (header.n_descsz > kMaxNote) return;
    if (header.n_type == NT_FILE || header.n_type == NT_AUXV) {
      std::vector<char> note(header.n_descsz);
      if (!core_.file().Read(at, note.data(), note.size())) return;
      if (header.n_type == NT_FILE) {
        ReadFileNote(note);
      } else {
        ReadAuxiliaryNote(note);
      }
    }
    at += NoteAligned(header.n_descsz);
  }
}

// The number of files, the size of a page, start, end and page in the file of
// each, then the names.
void CoreFile::ReadFileNote(const std::vector<char>& note) {
  const size_t words = note.size() / sizeof(uint64_t);
  const auto word = [&](size_t i) {
    uint64_t value;
    std::memcpy(&value, note.data() + i * sizeof(value), sizeof(value));
    return value;
  };
  if (words < 2 || word(0) > (words - 2) / 3) return;
  const size_t count = static_cast<size_t>(word(0));
  const uint64_t page = word(1);
  size_t name = (2 + 3 * count) * sizeof(uint64_t);
  for (size_t i = 0; i < count && name < note.size(); ++i) {
    const std::string path(note.data() + name,
                           strnlen(note.data() + name, note.size() - name));
    name += path.size() + 1;
    mappings_.push_back(
        {word(2 + 3 * i), word(3 + 3 * i), word(4 + 3 * i) * page, path, path});
  }
}

void CoreFile::ReadAuxiliaryNote(const std::vector<char>& note) {
  Elf64_auxv_t entry;
  for (size_t at = 0; at + sizeof(entry) <= note.size(); at += sizeof(entry)) {
    std::memcpy(&entry, note.data() + at, sizeof(entry));
    if (entry.a_type == AT_ENTRY) entry_ = entry.a_un.a_val;
  }
}

const Elf64_Phdr* CoreFile::SegmentOf(uint64_t address) const {
  for (const Elf64_Phdr& segment : core_.segments()) {
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
        address - segment.p_vaddr < segment.p_filesz) {
      return &segment;
    }
  }
  return nullptr;
}

bool CoreFile::Read(uint64_t address, void* out, size_t n) {
  char* at = static_cast<char*>(out);
  while (n > 0) {
    const Elf64_Phdr* const segment = SegmentOf(address);
    if (segment == nullptr) return ReadFromFile(address, at, n);
    const uint64_t offset = address - segment->p_vaddr;
    const size_t part =
        static_cast<size_t>(std::min<uint64_t>(n, segment->p_filesz - offset));
    if (!core_.file().Read(segment->p_offset + offset, at, part)) return false;
    at += part;
    address += part;
    n -= part;
  }
  return true;
}

// Memory that the process had mapped and not changed.
bool CoreFile::ReadFromFile(uint64_t address, void* out, size_t n) {
  for (const Mapping& mapping : mappings_) {
    if (address < mapping.start || address >= mapping.end ||
        n > mapping.end - address) {
      continue;
    }
    std::unique_ptr<File>& file = files_[mapping.file];
    if (file == nullptr) {
      file = std::make_unique<File>();
      file->Open(PathOf(mapping));
    }
    return file->is_open() &&
           file->Read(mapping.offset + (address - mapping.start), out, n);
  }
  return false;
}

// A core says what may be done with memory; but gcore leaves out what has not
// changed. Of that its file has to tell, or it may be code for all we know.
bool CoreFile::IsExecutable(const Mapping& mapping) {
  for (const Elf64_Phdr& segment : core_.segments()) {
    if (segment.p_type == PT_LOAD && mapping.start >= segment.p_vaddr &&
        mapping.start - segment.p_vaddr < segment.p_memsz) {
      return (segment.p_flags & PF_X) != 0;
    }
  }
  ElfFile file;
  errno = 0;
  if (!OpenFile(mapping, &file)) return errno != ENOEXEC && errno != EINVAL;
  for (const Elf64_Phdr& segment : file.segments()) {
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0 &&
        mapping.offset <= segment.p_offset &&
        segment.p_offset - mapping.offset < mapping.end - mapping.start) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> CoreFile::MapLines() {
  std::vector<Mapping> sorted = mappings_;
  std::sort(
      sorted.begin(), sorted.end(),
      [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
  std::vector<std::string> lines;
  uint64_t end = 0;
  for (const Mapping& mapping : sorted) {
    if (mapping.start < end || mapping.end <= mapping.start) continue;
    end = mapping.end;
    char head[100];
    std::snprintf(head, sizeof(head),
                  "%" PRIx64 "-%" PRIx64 " r-%cp %08" PRIx64 " 00:00 0 ",
                  mapping.start, mapping.end, IsExecutable(mapping) ? 'x' : '-',
                  mapping.offset);
    lines.push_back(head + mapping.path);
  }
  return lines;
}

std::string CoreFile::PathOf(const Mapping& mapping) const {
  return mapping.file == program_file_ && !program_.empty() ? program_
                                                            : mapping.path;
}

bool CoreFile::OpenFile(const Mapping& mapping, ElfFile* file) {
  return file->Open(PathOf(mapping));
}

std::string CoreFile::WhyUnreadable() {
  if (!IsIncomplete()) {
    return "it lacks memory that is needed, and so do the program's files";
  }
  const std::string size = std::to_string(core_.file().size());
  return needed_ == UINT64_MAX
             ? "the core is truncated: it has only " + size + " bytes"
             : "the core is truncated: it has " + size + " bytes of " +
                   std::to_string(needed_);
}

std::string CoreFile::Name() const { return name_; }

}  // namespace spanmalloc_tool
