// Objects that are made by the test, loaded, and unloaded. Their code is that
// of one architecture.
#include <dlfcn.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "allocator/os/stack_trace.h"

namespace spanmalloc {
namespace {

#if defined(__x86_64__)
constexpr size_t kMost = 64;

struct Trace {
  void* frames[kMost];
  size_t count = 0;
};

Trace the_trace;

void Capture() {
  the_trace.count = CaptureStackTrace(the_trace.frames, kMost, 0);
}

constexpr size_t kNote = 0x120, kSymbols = 0x148, kStrings = 0x178,
                 kHash = 0x180, kDynamic = 0x198, kCode = 0x200,
                 kFrameIndex = 0x240, kFrames = 0x258, kSize = 0x2a0;

// A library with one function, run(f), that calls f. Its frame has so many
// bytes, and that is the start of its build ID.
std::vector<uint8_t> MakeLibrary(uint8_t frame_size, uint8_t build_id) {
  std::vector<uint8_t> file(kSize);
  const auto put = [&file](size_t at, const auto& value) {
    memcpy(file.data() + at, &value, sizeof(value));
  };
  const auto put_bytes = [&file](size_t at, std::vector<uint8_t> bytes) {
    memcpy(file.data() + at, bytes.data(), bytes.size());
  };
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_DYN;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof(header);
  header.e_ehsize = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 4;
  put(0, header);
  size_t at = sizeof(header);
  const auto segment = [&](uint32_t type, uint32_t flags, size_t start,
                           size_t size, size_t alignment) {
    const Elf64_Phdr program = {type,  flags, start, start,
                                start, size,  size,  alignment};
    put(at, program);
    at += sizeof(program);
  };
  segment(PT_LOAD, PF_R | PF_W | PF_X, 0, kSize, 0x1000);
  segment(PT_DYNAMIC, PF_R | PF_W, kDynamic, 6 * sizeof(Elf64_Dyn), 8);
  segment(PT_NOTE, PF_R, kNote, 36, 4);
  segment(PT_GNU_EH_FRAME, PF_R, kFrameIndex, 20, 4);

  put_bytes(kNote, {4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0});
  file[kNote + 16] = build_id;

  Elf64_Sym symbol = {};
  symbol.st_name = 1;
  symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
  symbol.st_shndx = 1;
  symbol.st_value = kCode;
  symbol.st_size = 11;
  put(kSymbols + sizeof(symbol), symbol);
  put_bytes(kStrings, {0, 'r', 'u', 'n', 0});
  put_bytes(kHash, {1, 0, 0, 0, 2, 0, 0, 0, 1});
  const Elf64_Dyn dynamic[6] = {{DT_HASH, {kHash}},
                                {DT_SYMTAB, {kSymbols}},
                                {DT_STRTAB, {kStrings}},
                                {DT_STRSZ, {5}},
                                {DT_SYMENT, {sizeof(Elf64_Sym)}},
                                {DT_NULL, {0}}};
  put(kDynamic, dynamic);

  // sub $n, %rsp; call *%rdi; add $n, %rsp; ret
  put_bytes(kCode, {0x48, 0x83, 0xec, frame_size, 0xff, 0xd7, 0x48, 0x83, 0xc4,
                    frame_size, 0xc3});
  put_bytes(kFrameIndex, {1, 0x1b, 0x03, 0x3b});
  put(kFrameIndex + 4, static_cast<int32_t>(kFrames - kFrameIndex - 4));
  put(kFrameIndex + 8, uint32_t{1});
  put(kFrameIndex + 12, static_cast<int32_t>(kCode - kFrameIndex));
  put(kFrameIndex + 16, static_cast<int32_t>(kFrames + 24 - kFrameIndex));
  put_bytes(kFrames, {20, 0, 0,    0,  0, 0,    0,    0, 1, 'z',  'R',
                      0,  1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1});
  put_bytes(kFrames + 24, {20, 0, 0, 0, 28, 0, 0, 0});
  put(kFrames + 32, static_cast<int32_t>(kCode - kFrames - 32));
  put(kFrames + 36, uint32_t{11});
  put_bytes(kFrames + 40, {0, 0x44, 0x0e, static_cast<uint8_t>(frame_size + 8),
                           0x46, 0x0e, 8});
  return file;
}

// A library that is loaded as long as this lives.
class Library {
 public:
  explicit Library(const std::vector<uint8_t>& file) {
    const int fd = memfd_create("library", 0);
    if (fd < 0) return;
    if (write(fd, file.data(), file.size()) ==
        static_cast<ssize_t>(file.size())) {
      handle_ = dlopen(("/proc/self/fd/" + std::to_string(fd)).c_str(),
                       RTLD_NOW | RTLD_LOCAL);
    }
    close(fd);
  }
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  bool loaded() const { return handle_ != nullptr; }
  uintptr_t run() const {
    return reinterpret_cast<uintptr_t>(dlsym(handle_, "run"));
  }

 private:
  void* handle_ = nullptr;
};

void CaptureThrough(const Library& library) {
  reinterpret_cast<void (*)(void (*)())>(library.run())(&Capture);
}

TEST(UnwindObjectsTest, AnObjectInThePlaceOfAnother) {
  Capture();
  const Trace here = the_trace;
  Trace first;
  uintptr_t before = 0;
  int replaced = 0;
  for (int i = 0; i < 20; ++i) {
    // They differ in the size of a frame: the same address, another rule.
    const Library library(MakeLibrary(static_cast<uint8_t>(8 + i % 3 * 16),
                                      static_cast<uint8_t>(1 + i % 3)));
    if (!library.loaded()) GTEST_SKIP() << dlerror();
    CaptureThrough(library);
    // The library, CaptureThrough, and from this function on as it was.
    ASSERT_EQ(the_trace.count, here.count + 2);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(the_trace.frames[0]),
              library.run() + 6);
    if (i == 0) {
      first = the_trace;
      EXPECT_EQ(memcmp(first.frames + 3, here.frames + 1,
                       (here.count - 1) * sizeof(void*)),
                0);
    }
    EXPECT_EQ(memcmp(the_trace.frames + 1, first.frames + 1,
                     (first.count - 1) * sizeof(void*)),
              0);
    replaced += library.run() == before;
    before = library.run();
  }
  EXPECT_GT(replaced, 0);
}

TEST(UnwindObjectsTest, CorruptTablesOfALoadedObject) {
  std::mt19937 random(1);
  Capture();
  const size_t count = the_trace.count;
  size_t whole = 0;
  for (int i = 0; i < 2000; ++i) {
    std::vector<uint8_t> file = MakeLibrary(8, static_cast<uint8_t>(i));
    for (size_t flips = random() % 4 + 1; flips > 0; --flips) {
      file[kFrameIndex + random() % (kSize - kFrameIndex)] =
          static_cast<uint8_t>(random());
    }
    const Library library(file);
    if (!library.loaded()) GTEST_SKIP() << dlerror();
    CaptureThrough(library);
    ASSERT_GE(the_trace.count, 1u);
    whole += the_trace.count == count + 2;
  }
  // Some changes do not matter, most do.
  EXPECT_GT(whole, 100u);
  EXPECT_LT(whole, 1900u);
}
#endif  // __x86_64__

}  // namespace
}  // namespace spanmalloc
