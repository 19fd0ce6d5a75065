#include "allocator/os/elf_symbols.h"

#include <elf.h>
#include <string.h>

#include <algorithm>

namespace spanmalloc {
namespace {

// Of several names for one function, the best known.
unsigned RankOf(const Elf64_Sym& symbol) {
  switch (ELF64_ST_BIND(symbol.st_info)) {
    case STB_GLOBAL:
      return 3;
    case STB_WEAK:
      return 2;
    default:
      return 1;
  }
}

bool IsFunction(const Elf64_Sym& symbol) {
  const unsigned type = ELF64_ST_TYPE(symbol.st_info);
  return (type == STT_FUNC || type == STT_GNU_IFUNC) &&
         symbol.st_shndx != SHN_UNDEF && symbol.st_size != 0;
}

}  // namespace

template <typename T>
bool ElfSymbols::Read(uint64_t offset, T* value) const {
  if (!IsInFile(offset, sizeof(T))) return false;
  memcpy(value, file_ + offset, sizeof(T));
  return true;
}

bool ElfSymbols::Open(const void* file, size_t size) {
  *this = ElfSymbols();
  file_ = static_cast<const char*>(file);
  size_ = size;
  Elf64_Ehdr header;
  if (!Read(0, &header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB) {
    size_ = 0;
    return false;
  }
  if (header.e_phentsize == sizeof(Elf64_Phdr) &&
      IsInFile(header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr))) {
    segments_ = header.e_phoff;
    segment_count_ = header.e_phnum;
  }
  Elf64_Shdr first;
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr) ||
      !Read(header.e_shoff, &first)) {
    return true;
  }
  // A number too large for its place stands in the first section's header.
  const uint64_t sections =
      header.e_shnum != 0 ? header.e_shnum : first.sh_size;
  if (!FindTable(header.e_shoff, sections, SHT_SYMTAB)) {
    FindTable(header.e_shoff, sections, SHT_DYNSYM);
  }
  return true;
}

bool ElfSymbols::FindTable(uint64_t sections, uint64_t count, uint32_t type) {
  for (uint64_t i = 0; i < count; ++i) {
    Elf64_Shdr symbols, names;
    if (!Read(sections + i * sizeof(symbols), &symbols)) return false;
    if (symbols.sh_type != type || symbols.sh_entsize != sizeof(Elf64_Sym) ||
        symbols.sh_link >= count ||
        !Read(sections + symbols.sh_link * sizeof(names), &names) ||
        names.sh_type != SHT_STRTAB ||
        !IsInFile(symbols.sh_offset, symbols.sh_size) ||
        !IsInFile(names.sh_offset, names.sh_size)) {
      continue;
    }
    table_ = {symbols.sh_offset, symbols.sh_size / sizeof(Elf64_Sym),
              names.sh_offset, names.sh_size};
    return true;
  }
  return false;
}

bool ElfSymbols::AddressOf(uint64_t offset, uint64_t* address) const {
  for (size_t i = 0; i < segment_count_; ++i) {
    Elf64_Phdr segment;
    if (!Read(segments_ + i * sizeof(segment), &segment)) return false;
    if (segment.p_type == PT_LOAD && offset >= segment.p_offset &&
        offset - segment.p_offset < segment.p_filesz) {
      *address = segment.p_vaddr + (offset - segment.p_offset);
      return true;
    }
  }
  return false;
}

void ElfSymbols::Find(CodeAddress* sorted, size_t count) const {
  CodeAddress* const end = sorted + count;
  for (uint64_t i = 0; i < table_.count; ++i) {
    Elf64_Sym symbol;
    if (!Read(table_.offset + i * sizeof(symbol), &symbol)) return;
    if (!IsFunction(symbol) || symbol.st_name >= table_.name_bytes) continue;
    const uint64_t start = symbol.st_value;
    CodeAddress* at = std::lower_bound(
        sorted, end, start,
        [](const CodeAddress& a, uint64_t b) { return a.address < b; });
    if (at == end || at->address - start >= symbol.st_size) continue;
    const char* const name = file_ + table_.names + symbol.st_name;
    const size_t room = table_.name_bytes - symbol.st_name;
    const size_t bytes = strnlen(name, room);
    if (bytes == 0 || bytes == room) continue;
    const unsigned rank = RankOf(symbol);
    for (; at != end && at->address - start < symbol.st_size; ++at) {
      // The innermost function that claims the address.
      if (at->name != nullptr &&
          (start < at->start || (start == at->start && rank <= at->rank))) {
        continue;
      }
      at->name = name;
      at->name_bytes = bytes;
      at->start = start;
      at->rank = rank;
    }
  }
}

}  // namespace spanmalloc
