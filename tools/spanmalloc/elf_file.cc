#include "tools/spanmalloc/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace spanmalloc_tool {
namespace {

constexpr unsigned char kByteOrder =
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

// Reads a table; leaves it empty if it is not wholly in the file.
template <typename T>
void ReadTable(const File& file, uint64_t offset, uint64_t bytes,
               std::vector<T>* table) {
  table->clear();
  if (offset > file.size() || bytes > file.size() - offset) return;
  table->resize(bytes / sizeof(T));
  if (!file.Read(offset, table->data(), table->size() * sizeof(T))) {
    table->clear();
  }
}

}  // namespace

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool File::Open(const std::string& path) {
  // A fifo or a device must not stop us.
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status;
  if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) return false;
  if (!S_ISREG(status.st_mode)) {
    close(descriptor_);
    descriptor_ = -1;
    errno = EINVAL;
    return false;
  }
  size_ = static_cast<uint64_t>(status.st_size);
  return true;
}

bool File::Read(uint64_t offset, void* out, size_t n) const {
  char* at = static_cast<char*>(out);
  while (n > 0) {
    const ssize_t got = pread(descriptor_, at, n, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    offset += static_cast<uint64_t>(got);
    n -= static_cast<size_t>(got);
  }
  return true;
}

bool ElfFile::Open(const std::string& path) {
  if (!file_.Open(path)) return false;
  if (ReadHeaders()) return true;
  errno = ENOEXEC;
  return false;
}

bool ElfFile::ReadHeaders() {
  if (!file_.Read(0, &header_, sizeof(header_)) ||
      std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0 ||
      header_.e_ident[EI_CLASS] != ELFCLASS64 ||
      header_.e_ident[EI_DATA] != kByteOrder) {
    return false;
  }
  uint64_t segments = header_.e_phnum;
  if (header_.e_shoff != 0 && header_.e_shentsize == sizeof(Elf64_Shdr)) {
    // Numbers that do not fit into the header are in the first section.
    Elf64_Shdr first = {};
    file_.Read(header_.e_shoff, &first, sizeof(first));
    const uint64_t sections =
        header_.e_shnum != 0 ? header_.e_shnum : first.sh_size;
    if (segments == PN_XNUM) segments = first.sh_info;
    if (sections <= file_.size() / sizeof(Elf64_Shdr)) {
      ReadTable(file_, header_.e_shoff, sections * sizeof(Elf64_Shdr),
                &sections_);
    }
  }
  if (header_.e_phentsize == sizeof(Elf64_Phdr)) {
    ReadTable(file_, header_.e_phoff, segments * sizeof(Elf64_Phdr),
              &segments_);
  }
  return true;
}

bool ElfFile::FindSymbol(const std::string& name, uint64_t* value) const {
  for (const Elf64_Word type : {SHT_DYNSYM, SHT_SYMTAB}) {
    for (const Elf64_Shdr& section : sections_) {
      if (section.sh_type == type && section.sh_link < sections_.size() &&
          FindSymbolIn(section, sections_[section.sh_link], name, value)) {
        return true;
      }
    }
  }
  return false;
}

bool ElfFile::HasSymbolTable() const {
  return std::any_of(
      sections_.begin(), sections_.end(),
      [](const Elf64_Shdr& section) { return section.sh_type == SHT_SYMTAB; });
}

bool ElfFile::IsProgram() const {
  if (header_.e_type == ET_EXEC) return true;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type == PT_INTERP) return true;
    if (segment.p_type != PT_DYNAMIC) continue;
    std::vector<Elf64_Dyn> entries;
    ReadTable(file_, segment.p_offset, segment.p_filesz, &entries);
    for (const Elf64_Dyn& entry : entries) {
      if (entry.d_tag == DT_FLAGS_1) return (entry.d_un.d_val & DF_1_PIE) != 0;
    }
  }
  return false;
}

bool ElfFile::FindSymbolIn(const Elf64_Shdr& symbols, const Elf64_Shdr& strings,
                           const std::string& name, uint64_t* value) const {
  std::vector<char> text;
  ReadTable(file_, strings.sh_offset, strings.sh_size, &text);
  // With the zero that ends it.
  const auto found = std::search(text.begin(), text.end(), name.c_str(),
                                 name.c_str() + name.size() + 1);
  if (found == text.end()) return false;
  std::vector<Elf64_Sym> table;
  ReadTable(file_, symbols.sh_offset, symbols.sh_size, &table);
  for (const Elf64_Sym& symbol : table) {
    if (symbol.st_shndx != SHN_UNDEF && symbol.st_name < text.size() &&
        text.size() - symbol.st_name > name.size() &&
        std::memcmp(&text[symbol.st_name], name.c_str(), name.size() + 1) ==
            0) {
      *value = symbol.st_value;
      return true;
    }
  }
  return false;
}

}  // namespace spanmalloc_tool
