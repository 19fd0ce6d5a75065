// The few things in an ELF file that a reader of processes and cores needs:
// segments and symbols.
//
// Nothing that is read is trusted; a broken file has no segments and no
// symbols. 64-bit files of this machine's byte order only.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_ELF_FILE_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_ELF_FILE_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace spanmalloc_tool {

// A file that is read at any place.
class File {
 public:
  File() = default;
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // False, with errno, if it is no regular file that can be read.
  bool Open(const std::string& path);
  bool is_open() const { return descriptor_ >= 0; }
  uint64_t size() const { return size_; }
  // False if not all n bytes are there.
  bool Read(uint64_t offset, void* out, size_t n) const;

 private:
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

class ElfFile {
 public:
  // False, with errno, if it can't be read; ENOEXEC if it is no ELF file.
  bool Open(const std::string& path);

  const File& file() const { return file_; }
  const Elf64_Ehdr& header() const { return header_; }
  const std::vector<Elf64_Phdr>& segments() const { return segments_; }

  // The value of the symbol that is defined in the file: of .dynsym, or else of
  // .symtab. False if there is none.
  bool FindSymbol(const std::string& name, uint64_t* value) const;
  // Whether it has a .symtab, and so all its symbols.
  bool HasSymbolTable() const;
  // Whether it can be started; else it is a library, or neither.
  bool IsProgram() const;

 private:
  bool ReadHeaders();
  bool FindSymbolIn(const Elf64_Shdr& symbols, const Elf64_Shdr& strings,
                    const std::string& name, uint64_t* value) const;

  File file_;
  Elf64_Ehdr header_ = {};
  std::vector<Elf64_Phdr> segments_;
  std::vector<Elf64_Shdr> sections_;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_ELF_FILE_H_
