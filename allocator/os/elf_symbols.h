// The names of the functions in an ELF file.
//
// Place:    os/.
// Purpose:  Tell a person which functions the addresses of a stack are in,
//           without a library and without memory.
// Not here: where the file is mapped; lines of source; names that are decoded.
//
// .symtab is read, or .dynsym where that is missing. There is no index: the
// table is walked once for all addresses that are asked for, which are sorted.
//
// A file is input from outside: whatever it says, nothing beyond its bytes is
// read. What makes no sense is as if it were not there.
//
// Concurrency: none; the bytes must not change.
// Cost:        for each symbol a binary search among the addresses.
// Failure:     false, or no name. A function of unknown size (as those written
//              in assembly may be) is not found.
#ifndef SPANMALLOC_ALLOCATOR_OS_ELF_SYMBOLS_H_
#define SPANMALLOC_ALLOCATOR_OS_ELF_SYMBOLS_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// An address as the file tells it: of a program that is mapped elsewhere, less
// what it is moved by.
struct CodeAddress {
  uint64_t address = 0;
  // The function that it lies in; in the file, and it ends with a zero. Null:
  // not known.
  const char* name = nullptr;
  size_t name_bytes = 0;
  uint64_t start = 0;  // Of the function.
  unsigned rank = 0;   // Of the symbol among those of this start.
};

class ElfSymbols {
 public:
  constexpr ElfSymbols() = default;

  // The bytes of a file, which stay the caller's. False if it is no ELF file of
  // this machine's kind.
  bool Open(const void* file, size_t size);

  // The address of what stands at that place in the file. False if the program
  // does not load it.
  bool AddressOf(uint64_t offset, uint64_t* address) const;

  // Names the functions. REQUIRES: sorted by address.
  void Find(CodeAddress* sorted, size_t count) const;

 private:
  struct Table {
    uint64_t offset = 0;
    uint64_t count = 0;
    uint64_t names = 0;
    uint64_t name_bytes = 0;
  };

  template <typename T>
  bool Read(uint64_t offset, T* value) const;
  bool IsInFile(uint64_t offset, uint64_t bytes) const {
    return offset <= size_ && bytes <= size_ - offset;
  }
  bool FindTable(uint64_t sections, uint64_t count, uint32_t type);

  const char* file_ = nullptr;
  size_t size_ = 0;
  uint64_t segments_ = 0;
  size_t segment_count_ = 0;
  Table table_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_ELF_SYMBOLS_H_
