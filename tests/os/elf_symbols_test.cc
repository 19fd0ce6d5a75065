#include "allocator/os/elf_symbols.h"

#include <elf.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <link.h>
#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "allocator/os/mapped_file.h"
#include "tests/support/guarded_pages.h"

extern "C" __attribute__((noinline)) int FunctionOfThisTest(int i) noexcept {
  asm volatile("");
  return i + 1;
}
extern "C" __attribute__((alias("FunctionOfThisTest"), weak)) int
WeakNameOfThisTest(int i) noexcept;

namespace spanmalloc {
namespace {

uint64_t LoadAddress() {
  uint64_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uint64_t*>(out) = info->dlpi_addr;
        return 1;
      },
      &address);
  return address;
}

uint64_t AddressInFile(const void* p) {
  return reinterpret_cast<uintptr_t>(p) - LoadAddress();
}

std::string Name(const CodeAddress& code) {
  return code.name == nullptr ? "" : std::string(code.name, code.name_bytes);
}

class Image {
 public:
  Image() {
    MappedFile file;
    EXPECT_EQ(file.Open("/proc/self/exe"), 0);
    bytes_.assign(file.data(), file.data() + file.size());
  }
  std::vector<char>& bytes() { return bytes_; }
  template <typename T>
  T* At(uint64_t offset) {
    return reinterpret_cast<T*>(bytes_.data() + offset);
  }
  Elf64_Ehdr* header() { return At<Elf64_Ehdr>(0); }
  Elf64_Shdr* section(size_t i) {
    return At<Elf64_Shdr>(header()->e_shoff) + i;
  }
  Elf64_Shdr* OfType(uint32_t type) {
    for (size_t i = 0; i < header()->e_shnum; ++i) {
      if (section(i)->sh_type == type) return section(i);
    }
    abort();
  }

 private:
  std::vector<char> bytes_;
};

std::string Find(const std::vector<char>& file, uint64_t address) {
  ElfSymbols symbols;
  CodeAddress code;
  code.address = address;
  if (symbols.Open(file.data(), file.size())) symbols.Find(&code, 1);
  return Name(code);
}

uint64_t OfFunction() {
  return AddressInFile(reinterpret_cast<void*>(&FunctionOfThisTest));
}

// A file with one table of symbols, made by hand.
struct SmallFile {
  Elf64_Ehdr header = {};
  Elf64_Phdr segments[2] = {};
  Elf64_Shdr sections[3] = {};
  Elf64_Sym symbols[6] = {};
  char names[32] = "\0outer\0inner\0local\0weak\0global";

  SmallFile() {
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_phoff = offsetof(SmallFile, segments);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    header.e_shoff = offsetof(SmallFile, sections);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    segments[1] = {PT_LOAD, PF_R, 0x100, 0x5100, 0x5100, 0x40, 0x80, 0};
    sections[1].sh_type = SHT_SYMTAB;
    sections[1].sh_entsize = sizeof(Elf64_Sym);
    sections[1].sh_link = 2;
    sections[1].sh_offset = offsetof(SmallFile, symbols);
    sections[1].sh_size = sizeof(symbols);
    sections[2].sh_type = SHT_STRTAB;
    sections[2].sh_offset = offsetof(SmallFile, names);
    sections[2].sh_size = sizeof(names);
    Set(1, 1, 0x1000, 0x100, STB_GLOBAL);
    Set(2, 7, 0x1040, 0x10, STB_LOCAL);
    Set(3, 13, 0x2000, 0x10, STB_LOCAL);
    Set(4, 24, 0x2000, 0x10, STB_GLOBAL);
    Set(5, 19, 0x2000, 0x10, STB_WEAK);
  }
  void Set(size_t i, uint32_t name, uint64_t value, uint64_t size,
           unsigned char binding) {
    symbols[i] = {
        name,  static_cast<unsigned char>(ELF64_ST_INFO(binding, STT_FUNC)),
        0,     1,
        value, size};
  }
  std::string Find(uint64_t address) const {
    const char* const start = reinterpret_cast<const char*>(this);
    return spanmalloc::Find({start, start + sizeof(*this)}, address);
  }
};

TEST(ElfSymbolsTest, ThisProgram) {
  MappedFile file;
  ASSERT_EQ(file.Open("/proc/self/exe"), 0);
  ElfSymbols symbols;
  ASSERT_TRUE(symbols.Open(file.data(), file.size()));
  CodeAddress code;
  code.address = OfFunction() + 1;
  symbols.Find(&code, 1);
  EXPECT_EQ(Name(code), "FunctionOfThisTest");  // Not the weak name.
  EXPECT_EQ(code.start, OfFunction());
  EXPECT_EQ(code.name[code.name_bytes], '\0');
}

TEST(ElfSymbolsTest, ManyAtOnce) {
  SmallFile file;
  std::vector<CodeAddress> codes(8);
  const uint64_t addresses[] = {0,      0x0fff, 0x1000, 0x1045,
                                0x10ff, 0x1100, 0x2008, UINT64_MAX};
  const char* const names[] = {"",      "", "outer",  "inner",
                               "outer", "", "global", ""};
  for (size_t i = 0; i < codes.size(); ++i) codes[i].address = addresses[i];
  ElfSymbols symbols;
  ASSERT_TRUE(symbols.Open(&file, sizeof(file)));
  symbols.Find(codes.data(), codes.size());
  for (size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(Name(codes[i]), names[i]);
}

TEST(ElfSymbolsTest, TheOrderOfSymbolsDoesNotMatter) {
  SmallFile file;
  std::swap(file.symbols[1], file.symbols[2]);
  std::swap(file.symbols[3], file.symbols[4]);
  EXPECT_EQ(file.Find(0x1045), "inner");
  EXPECT_EQ(file.Find(0x1050), "outer");
  EXPECT_EQ(file.Find(0x2000), "global");
}

TEST(ElfSymbolsTest, Addresses) {
  const SmallFile file;
  ElfSymbols symbols;
  ASSERT_TRUE(symbols.Open(&file, sizeof(file)));
  uint64_t address = 0;
  EXPECT_FALSE(symbols.AddressOf(0xff, &address));
  ASSERT_TRUE(symbols.AddressOf(0x100, &address));
  EXPECT_EQ(address, 0x5100u);
  ASSERT_TRUE(symbols.AddressOf(0x13f, &address));
  EXPECT_EQ(address, 0x513fu);
  EXPECT_FALSE(symbols.AddressOf(0x140, &address));
}

TEST(ElfSymbolsTest, DataAndUnknownSizesAndUndefinedAreNoFunctions) {
  SmallFile file;
  file.symbols[1].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
  EXPECT_EQ(file.Find(0x1000), "");
  file = SmallFile();
  file.symbols[1].st_size = 0;
  EXPECT_EQ(file.Find(0x1000), "");
  file = SmallFile();
  file.symbols[1].st_shndx = SHN_UNDEF;
  EXPECT_EQ(file.Find(0x1000), "");
}

TEST(ElfSymbolsTest, AStrippedProgram) {
  Image image;
  image.OfType(SHT_SYMTAB)->sh_type = SHT_NULL;
  // .dynsym of a program has what libraries want of it, or nothing.
  EXPECT_NE(Find(image.bytes(), OfFunction()), "WeakNameOfThisTest");
  image.header()->e_shoff = 0;
  EXPECT_EQ(Find(image.bytes(), OfFunction()), "");
}

TEST(ElfSymbolsTest, TheDynamicTableIfThereIsNoOther) {
  SmallFile file;
  file.sections[1].sh_type = SHT_DYNSYM;
  EXPECT_EQ(file.Find(0x1000), "outer");
}

TEST(ElfSymbolsTest, NumbersOutOfBounds) {
  const auto broken = [](void (*change)(SmallFile*)) {
    SmallFile file;
    change(&file);
    return file.Find(0x1000);
  };
  EXPECT_EQ(broken([](SmallFile*) {}), "outer");
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[1].sh_size += 1 << 20; }),
            "");
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[1].sh_size = UINT64_MAX; }),
            "");
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[1].sh_offset = ~0ull - 7; }),
            "");
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[1].sh_link = 3; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[1].sh_entsize = 0; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[2].sh_size += 1; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->symbols[1].st_name = 32; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->symbols[1].st_name = ~0u; }), "");
  // A name without an end.
  EXPECT_EQ(broken([](SmallFile* f) { f->sections[2].sh_size = 6; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->header.e_shoff = UINT64_MAX; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->header.e_shnum = 0xfeff; }), "outer");
  EXPECT_EQ(broken([](SmallFile* f) { f->header.e_shentsize = 1; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->header.e_phoff = ~0ull; }), "outer");
  // The end of the function is beyond all addresses.
  EXPECT_EQ(broken([](SmallFile* f) { f->symbols[1].st_size = ~0ull; }),
            "outer");
  EXPECT_EQ(broken([](SmallFile* f) { f->header.e_ident[0] = 0; }), "");
  EXPECT_EQ(broken([](SmallFile* f) { f->header.e_ident[EI_CLASS] = 1; }), "");
}

// Before a page that nobody may touch: whatever is read beyond the end faults.
void Survive(const char* bytes, size_t size) {
  const GuardedPages pages(size + 1);
  char* const copy = pages.end() - size;
  memcpy(copy, bytes, size);
  ElfSymbols symbols;
  if (!symbols.Open(copy, size)) return;
  CodeAddress codes[4];
  for (size_t i = 0; i < 4; ++i) codes[i].address = 0x1000 * i + 8;
  symbols.Find(codes, 4);
  for (const CodeAddress& code : codes) {
    if (code.name == nullptr) continue;
    EXPECT_GE(code.name, copy);
    EXPECT_LT(code.name + code.name_bytes, copy + size);
  }
  uint64_t address;
  symbols.AddressOf(0x120, &address);
}

TEST(ElfSymbolsTest, CutAnywhere) {
  const SmallFile file;
  for (size_t size = 0; size <= sizeof(file); ++size) {
    Survive(reinterpret_cast<const char*>(&file), size);
  }
}

TEST(ElfSymbolsTest, DamagedAnywhere) {
  std::minstd_rand random(1);
  for (int round = 0; round < 20000; ++round) {
    SmallFile file;
    char* const bytes = reinterpret_cast<char*>(&file);
    for (unsigned i = 0; i < 1 + round % 8u; ++i) {
      bytes[SELFMAG + random() % (sizeof(file) - SELFMAG)] =
          static_cast<char>(random() % 3 == 0 ? 0xff : random());
    }
    Survive(bytes, sizeof(file));
  }
}

TEST(MappedFileTest, Errors) {
  MappedFile file;
  EXPECT_EQ(file.Open("/no/such/file"), ENOENT);
  EXPECT_EQ(file.Open("/"), EINVAL);
  EXPECT_EQ(file.Open("/dev/null"), EINVAL);
  EXPECT_EQ(file.data(), nullptr);
  ASSERT_EQ(file.Open("/proc/self/exe"), 0);
  EXPECT_EQ(memcmp(file.data(), ELFMAG, SELFMAG), 0);
  file.Close();
  EXPECT_EQ(file.size(), 0u);
}

}  // namespace
}  // namespace spanmalloc
