// The mappings of a process: lines of every kind, build IDs, damaged files.

#include "allocator/profile/mappings.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace spanmalloc {
namespace {

std::string StringOf(Text text) { return std::string(text.start, text.bytes); }

// Memory of a process that is not there.
class FakeMemory {
 public:
  void Put(uint64_t address, const std::string& bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes_[address + i] = bytes[i];
  }
  MemoryReader reader() {
    return {[](void* context, uint64_t address, void* out, size_t n) {
              FakeMemory* const self = static_cast<FakeMemory*>(context);
              ++self->reads;
              for (size_t i = 0; i < n; ++i) {
                const auto it = self->bytes_.find(address + i);
                if (it == self->bytes_.end()) return false;
                static_cast<char*>(out)[i] = it->second;
              }
              return true;
            },
            this};
  }
  size_t reads = 0;

 private:
  std::map<uint64_t, char> bytes_;
};

template <typename T>
std::string BytesOf(const T& object) {
  return std::string(reinterpret_cast<const char*>(&object), sizeof(object));
}

std::string Note(const std::string& owner, uint32_t type,
                 const std::string& contents) {
  Elf64_Nhdr note = {};
  note.n_namesz = static_cast<uint32_t>(owner.size());
  note.n_descsz = static_cast<uint32_t>(contents.size());
  note.n_type = type;
  const auto padded = [](std::string text) {
    text.resize((text.size() + 3) / 4 * 4);
    return text;
  };
  return BytesOf(note) + padded(owner) + padded(contents);
}

const std::string kGnu("GNU\0", 4);

// An ELF file with a segment to load, and one with these notes; linked for the
// address `linked_at`.
std::string File(const std::string& notes, uint64_t linked_at = 0) {
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  Elf64_Phdr load = {};
  load.p_type = PT_LOAD;
  load.p_vaddr = linked_at;
  Elf64_Phdr note = {};
  note.p_type = PT_NOTE;
  note.p_vaddr = linked_at + sizeof(header) + 2 * sizeof(note);
  note.p_filesz = notes.size();
  note.p_align = 4;
  // The notes come before what tells where the file is.
  return BytesOf(header) + BytesOf(note) + BytesOf(load) + notes;
}

class MappingsTest : public testing::Test {
 protected:
  void Add(const std::string& line) {
    table_.AddLine(line.c_str(), process_.reader());
  }
  const Mapping& Get(size_t i) const { return table_.begin()[i]; }

  FakeMemory process_;
  std::vector<Mapping> memory_ = std::vector<Mapping>(64);
  MappingTable table_{memory_.data(), memory_.size() * sizeof(Mapping)};
};

TEST_F(MappingsTest, ExecutableLines) {
  Add("00400000-00401000 r--p 00000000 fe:01 17       /bin/a program");
  Add("00401000-00405000 r-xp 00001000 fe:01 17       /bin/a program");
  Add("00405000-00406000 rw-p 00005000 fe:01 17       /bin/a program");
  Add("00500000-00600000 rw-p 00000000 00:00 0        [heap]");
  Add("7f0000000000-7f0000001000 rwxp 00000000 00:00 0 ");
  Add("7f0000002000-7f0000003000 r-xp 00002000 fe:01 9  /lib/old.so (deleted)");
  Add("7fff00000000-7fff00002000 r-xp 00000000 00:00 0  [vdso]");
  Add("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]");
  ASSERT_EQ(table_.size(), 5u);
  EXPECT_EQ(Get(0).start, 0x401000u);
  EXPECT_EQ(Get(0).limit, 0x405000u);
  EXPECT_EQ(Get(0).offset, 0x1000u);
  EXPECT_EQ(StringOf(Get(0).name), "/bin/a program");
  EXPECT_EQ(Get(1).start, 0x7f0000000000u);
  EXPECT_EQ(StringOf(Get(1).name), "");
  EXPECT_EQ(StringOf(Get(2).name), "/lib/old.so");
  EXPECT_EQ(StringOf(Get(3).name), "[vdso]");
  EXPECT_EQ(Get(4).start, 0xffffffffff600000u);
  EXPECT_EQ(table_.lost(), 0u);
  for (const Mapping& mapping : table_) EXPECT_EQ(mapping.build_id_bytes, 0u);
}

TEST_F(MappingsTest, LinesThatAreNone) {
  const std::string good =
      "00401000-00405000 r-xp 00001000 fe:01 17 /bin/program";
  for (size_t n = 0; n < good.find(" /bin"); ++n) {
    const std::string line = good.substr(0, n);
    // What ends within the last number is a number all the same.
    if (line.size() > good.find(" 17") + 1) break;
    Add(line);
  }
  Add("00405000-00401000 r-xp 00001000 fe:01 17 /bin/backwards");
  Add("x0401000-00405000 r-xp 00001000 fe:01 17 /bin/program");
  Add("123456789abcdef01-00405000 r-xp 00001000 fe:01 17 /bin/program");
  EXPECT_EQ(table_.size(), 0u);
  Add(good);
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(MappingsTest, BuildIds) {
  const std::string id = "0123456789abcdefghij";
  process_.Put(0x10000, File(Note(kGnu, NT_GNU_ABI_TAG, "ABCDEFGHIJKLMNOP") +
                             Note("Xyz\0\0\0", NT_GNU_BUILD_ID, "wrong") +
                             Note(kGnu, NT_GNU_BUILD_ID, id)));
  Add("10000-11000 r--p 0 fe:01 17 /lib/a.so");
  Add("11000-12000 r-xp 1000 fe:01 17 /lib/a.so");
  Add("12000-13000 r-xp 2000 fe:01 17 /lib/a.so");
  // Another file without its first bytes.
  Add("13000-14000 r-xp 1000 fe:01 18 /lib/b.so");
  // All in one, and not linked for the address 0.
  process_.Put(0x20000, File(Note(kGnu, NT_GNU_BUILD_ID, "abc"), 0x400000));
  Add("20000-21000 r-xp 0 fe:01 19 /lib/c.so");
  ASSERT_EQ(table_.size(), 4u);
  const auto id_of = [&](size_t i) {
    return std::string(reinterpret_cast<const char*>(Get(i).build_id),
                       Get(i).build_id_bytes);
  };
  EXPECT_EQ(id_of(0), id);
  EXPECT_EQ(id_of(1), id);
  EXPECT_EQ(id_of(2), "");
  EXPECT_EQ(id_of(3), "abc");
}

TEST_F(MappingsTest, FilesWithoutBuildId) {
  unsigned char id[Mapping::kMaxBuildId];
  const auto read = [&](const std::string& file) {
    FakeMemory process;
    process.Put(0x1000, file);
    return ReadBuildId(process.reader(), 0x1000, &id);
  };
  EXPECT_EQ(read(File(Note(kGnu, NT_GNU_BUILD_ID, std::string(32, 'x')))), 32u);
  EXPECT_EQ(read(File(Note(kGnu, NT_GNU_BUILD_ID, std::string(33, 'x')))), 0u);
  EXPECT_EQ(read(File(Note(kGnu, NT_GNU_BUILD_ID, ""))), 0u);
  EXPECT_EQ(read(File("")), 0u);
  EXPECT_EQ(read(""), 0u);
  std::string file = File(Note(kGnu, NT_GNU_BUILD_ID, "abcd"));
  EXPECT_EQ(read(file), 4u);
  file[EI_CLASS] = ELFCLASS32;
  EXPECT_EQ(read(file), 0u);
  file = File(Note(kGnu, NT_GNU_BUILD_ID, "abcd"));
  file[0] = 'x';
  EXPECT_EQ(read(file), 0u);
}

// Whatever a damaged file says, reading it ends soon.
TEST_F(MappingsTest, DamagedFiles) {
  const std::string good = File(Note(kGnu, NT_GNU_ABI_TAG, "ABCDEFGHIJKLMNOP") +
                                Note(kGnu, NT_GNU_BUILD_ID, "abcdefgh"));
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string file = good;
    for (uint64_t n = random() % 4; n-- > 0;) {
      file[random() % file.size()] = static_cast<char>(random());
    }
    if (i % 3 == 0) file.resize(random() % file.size());
    FakeMemory process;
    process.Put(0x1000, file);
    unsigned char id[Mapping::kMaxBuildId];
    EXPECT_LE(ReadBuildId(process.reader(), 0x1000, &id), sizeof(id));
    EXPECT_LT(process.reads, 10000u);
  }
}

// Notes without an end, in memory that is all there and all zero.
TEST_F(MappingsTest, EndlessNotes) {
  std::string file = File("");
  const uint64_t endless = uint64_t{1} << 60;
  // The first of the two segments has the notes.
  memcpy(&file[sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz)], &endless,
         sizeof(endless));
  struct State {
    const std::string file;
    size_t reads;
  } state = {file, 0};
  const MemoryReader memory = {
      [](void* context, uint64_t address, void* out, size_t n) {
        State* const state = static_cast<State*>(context);
        memset(out, 0, n);
        if (address < state->file.size()) {
          memcpy(out, state->file.data() + address,
                 std::min<size_t>(n, state->file.size() - address));
        }
        return ++state->reads < 100000;
      },
      &state};
  unsigned char id[Mapping::kMaxBuildId];
  EXPECT_EQ(ReadBuildId(memory, 0, &id), 0u);
  EXPECT_GT(state.reads, 1000u);
  EXPECT_LT(state.reads, 10000u);
}

TEST_F(MappingsTest, KeepsToItsMemory) {
  for (size_t bytes = 0; bytes < 600; ++bytes) {
    std::vector<uint64_t> memory(600 / sizeof(uint64_t) + 8,
                                 0x5555555555555555);
    char* const end = reinterpret_cast<char*>(memory.data()) + bytes;
    MappingTable table(memory.data(), bytes);
    for (int i = 0; i < 10; ++i) {
      const std::string line =
          std::to_string(i + 10) + "000-" + std::to_string(i + 10) +
          "800 r-xp 1000 0:0 1 /" + std::string(i * 5, 'x') + std::to_string(i);
      table.AddLine(line.c_str(), process_.reader());
    }
    EXPECT_EQ(table.size() + table.lost(), 10u);
    for (const Mapping& mapping : table) {
      EXPECT_LE(
          static_cast<const void*>(mapping.name.start + mapping.name.bytes),
          end);
      EXPECT_GE(static_cast<const void*>(mapping.name.start), table.end());
      EXPECT_EQ(mapping.name.start[0], '/');
    }
    EXPECT_EQ(*reinterpret_cast<uint64_t*>(memory.data() + 600 / 8 + 1),
              0x5555555555555555u);
  }
}

// Files that are mapped and not executed leave no names behind.
TEST_F(MappingsTest, OtherFilesTakeNoRoom) {
  for (int i = 0; i < 10000; ++i) {
    Add("10000-11000 r--p 0 fe:01 17 /fonts/" + std::to_string(i));
  }
  Add("11000-12000 r-xp 0 fe:01 17 /lib/a.so");
  Add("12000-13000 r--p 0 fe:01 17 /fonts/1");
  Add("13000-14000 r-xp 1000 fe:01 17 /lib/b.so");
  ASSERT_EQ(table_.size(), 2u);
  EXPECT_EQ(table_.lost(), 0u);
  EXPECT_EQ(StringOf(Get(0).name), "/lib/a.so");
  EXPECT_EQ(StringOf(Get(1).name), "/lib/b.so");
}

// As the dynamic linker tells it.
struct Object {
  uint64_t address;  // Of something that is executed.
  std::string build_id;
};

int AddObject(dl_phdr_info* info, size_t, void* objects) {
  Object object = {};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const char* const start =
        reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0) {
      object.address = reinterpret_cast<uintptr_t>(start);
    }
    if (segment.p_type != PT_NOTE) continue;
    const std::string notes(start, segment.p_filesz);
    const size_t at = notes.find(std::string("\x14\0\0\0\3\0\0\0GNU\0", 12));
    if (at != std::string::npos) object.build_id = notes.substr(at + 12, 20);
  }
  static_cast<std::vector<Object>*>(objects)->push_back(object);
  return 0;
}

TEST_F(MappingsTest, ThisProcess) {
  errno = EXDEV;
  table_.ReadOwn();
  EXPECT_EQ(errno, EXDEV);
  std::vector<Object> objects;
  dl_iterate_phdr(AddObject, &objects);
  size_t with_build_id = 0;
  for (const Object& object : objects) {
    const Mapping* found = nullptr;
    for (const Mapping& mapping : table_) {
      if (object.address >= mapping.start && object.address < mapping.limit) {
        found = &mapping;
      }
    }
    ASSERT_NE(found, nullptr);
    EXPECT_NE(found->name.bytes, 0u);
    if (object.build_id.empty()) continue;
    ++with_build_id;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(found->build_id),
                          found->build_id_bytes),
              object.build_id)
        << StringOf(found->name);
  }
  EXPECT_GE(with_build_id, 1u);
  for (size_t i = 1; i < table_.size(); ++i) {
    EXPECT_LE(Get(i - 1).limit, Get(i).start);
  }
}

}  // namespace
}  // namespace spanmalloc
