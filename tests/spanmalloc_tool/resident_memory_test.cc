// How resident memory is divided, on mappings that are made up.

#include "tools/spanmalloc/resident_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace spanmalloc_tool {
namespace {

using spanmalloc::StatRoot;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2 << 20;
constexpr uint64_t kHeap = uint64_t{1} << 30;

// A heap with one huge page, of pages of 8 KiB: page 0 is used, page 1 idle,
// page 2 released, and all others are used; and one part for records.
struct SmallHeap {
  SmallHeap() {
    tracker[0] = 0b110;
    tracker[4] = 0b100;
    leaf[0] = reinterpret_cast<uintptr_t>(tracker);
    table[1] = reinterpret_cast<uintptr_t>(leaf);
    part[1] = 4 * kPage;
    part[2] = reinterpret_cast<uintptr_t>(part);
    table_address = reinterpret_cast<uintptr_t>(table);
    first_part = reinterpret_cast<uintptr_t>(part);
    root.page_bytes = 8192;
    root.huge_page_bytes = kHugePage;
    root.page_map = &table_address;
    root.page_map_entries = 4;
    root.page_map_shift = 30;
    root.tracker_fresh = 32;
    root.class_map = &nothing;
    root.class_map_bytes = &nothing;
    root.records = &first_part;
    const Memory memory = {
        [](void*, uint64_t address, void* out, size_t n) {
          std::memcpy(out, reinterpret_cast<const void*>(address), n);
          return true;
        },
        nullptr, false};
    EXPECT_TRUE(map.Read(memory, root, {{kHeap, kHeap + 1}}));
  }

  uint64_t tracker[8] = {};
  uint64_t leaf[512] = {};
  uint64_t table[4] = {};
  alignas(kPage) uint64_t part[4 * kPage / 8] = {};
  uint64_t table_address, first_part, nothing = 0;
  StatRoot root = {};
  HeapMap map;
};

class FakeResidency : public Residency {
 public:
  uint64_t page_bytes() const override { return size; }
  bool Read(uint64_t address, size_t count,
            std::vector<bool>* is_resident) override {
    EXPECT_EQ(address % size, 0u);
    is_resident->clear();
    for (size_t i = 0; i < count; ++i) {
      is_resident->push_back(pages.count(address + i * size) != 0);
    }
    return !fails;
  }

  std::set<uint64_t> pages;
  uint64_t size = kPage;
  bool fails = false;
};

class ResidentMemoryTest : public testing::Test {
 protected:
  MappedMemory Anonymous(uint64_t start, uint64_t bytes, uint64_t resident) {
    MappedMemory mapping = {};
    mapping.start = start;
    mapping.end = start + bytes;
    mapping.resident = resident;
    return mapping;
  }
  MappedMemory Named(uint64_t start, const std::string& path) {
    MappedMemory mapping = Anonymous(start, kPage, kPage);
    mapping.path = path;
    if (path[0] == '/') mapping.file = path;
    return mapping;
  }
  ResidentMemory Divide(const std::vector<MappedMemory>& mappings) {
    ResidentMemory memory;
    EXPECT_TRUE(DivideResidentMemory(mappings, heap_.map, stats_, &residency_,
                                     &memory));
    const int64_t sum = memory.in_use + memory.held_free +
                        memory.never_touched + memory.idle + memory.released +
                        memory.records + memory.programs + memory.stack +
                        memory.anonymous + memory.files + memory.shared +
                        memory.kernel + memory.difference;
    EXPECT_EQ(sum, memory.total);
    return memory;
  }

  SmallHeap heap_;
  FakeResidency residency_;
  spanmalloc_memstats stats_ = {};
};

TEST_F(ResidentMemoryTest, StatesOfTheHeap) {
  stats_.heap_inuse = kHugePage - 2 * 8192;
  stats_.heap_alloc = 100000;
  // Half of page 0, all of page 1, half of page 2, all of page 3.
  residency_.pages = {kHeap,         kHeap + 8192,  kHeap + 12288,
                      kHeap + 16384, kHeap + 24576, kHeap + 28672};
  const ResidentMemory memory =
      Divide({Anonymous(kHeap, kHugePage, 6 * kPage)});
  EXPECT_EQ(memory.in_use, 100000);
  EXPECT_EQ(memory.held_free, static_cast<int64_t>(kHugePage) - 16384 - 100000);
  EXPECT_EQ(memory.in_use + memory.held_free + memory.never_touched, 3 * 4096);
  EXPECT_EQ(memory.idle, 8192);
  EXPECT_EQ(memory.released, 4096);
  EXPECT_EQ(memory.difference, 0);
  EXPECT_EQ(memory.total, 6 * 4096);
}

TEST_F(ResidentMemoryTest, SystemPagesLargerThanTheAllocators) {
  residency_.size = 65536;
  residency_.pages = {kHeap};
  const ResidentMemory memory = Divide({Anonymous(kHeap, kHugePage, 65536)});
  EXPECT_EQ(memory.idle, 8192);
  EXPECT_EQ(memory.released, 8192);
  EXPECT_EQ(memory.never_touched, 65536 - 2 * 8192);
}

TEST_F(ResidentMemoryTest, NeighboursInOneMapping) {
  // The kernel has joined the heap with what lies before and behind it.
  residency_.pages = {kHeap - kPage, kHeap, kHeap + kHugePage};
  const ResidentMemory memory =
      Divide({Anonymous(kHeap - kHugePage, 3 * kHugePage, 3 * kPage)});
  EXPECT_EQ(memory.never_touched, 4096);
  EXPECT_EQ(memory.anonymous, 2 * 4096);
}

TEST_F(ResidentMemoryTest, PagesOfZeros) {
  // The kernel does not count them.
  residency_.pages = {kHeap, kHeap + kPage};
  const ResidentMemory memory = Divide({Anonymous(kHeap, kHugePage, kPage)});
  EXPECT_EQ(memory.never_touched, 2 * 4096);
  EXPECT_EQ(memory.difference, -4096);
}

TEST_F(ResidentMemoryTest, Records) {
  const uint64_t part = reinterpret_cast<uintptr_t>(heap_.part);
  residency_.pages = {part, part + 3 * kPage, part + 4 * kPage};
  const ResidentMemory memory = Divide({Anonymous(part, 8 * kPage, 3 * kPage)});
  EXPECT_EQ(memory.records, 2 * 4096);
  EXPECT_EQ(memory.anonymous, 4096);
}

TEST_F(ResidentMemoryTest, OutsideTheHeap) {
  MappedMemory code = Named(0x1000, "/bin/program");
  code.executable = true;
  const MappedMemory data = Named(0x3000, "/bin/program");
  const MappedMemory bss = Anonymous(0x4000, kPage, kPage);
  MappedMemory shared = Named(0x8000, "/dev/shm/segment");
  MappedMemory unnamed = Named(0xa000, "/dev/zero (deleted)");
  shared.shared = unnamed.shared = true;
  MappedMemory shared_file = Named(0xc000, "/var/data");
  shared_file.shared = true;
  const ResidentMemory memory = Divide(
      {code, data, bss, Anonymous(0x6000, kPage, kPage), shared, unnamed,
       shared_file, Named(0xe000, "/usr/share/locale"),
       Named(0x10000, "[heap]"), Named(0x12000, "[stack]"),
       Named(0x14000, "[vdso]"),
       // Not right behind it, and so not its data.
       Named(0x16000, "/bin/program"), Anonymous(0x18000, kPage, kPage)});
  EXPECT_EQ(memory.programs, 4 * 4096);
  EXPECT_EQ(memory.anonymous, 3 * 4096);
  EXPECT_EQ(memory.shared, 2 * 4096);
  EXPECT_EQ(memory.files, 2 * 4096);
  EXPECT_EQ(memory.stack, 4096);
  EXPECT_EQ(memory.kernel, 4096);
  EXPECT_EQ(memory.total, 13 * 4096);
}

TEST_F(ResidentMemoryTest, SwappedAndHugeAreToldBesides) {
  MappedMemory heap = Anonymous(kHeap, kHugePage, kHugePage);
  for (uint64_t at = kHeap; at < kHeap + kHugePage; at += kPage) {
    residency_.pages.insert(at);
  }
  heap.huge = kHugePage;
  MappedMemory other = Anonymous(kHeap * 2, kHugePage, kPage);
  other.huge = kHugePage;
  other.swapped = 5 * kPage;
  const ResidentMemory memory = Divide({heap, other});
  EXPECT_EQ(memory.huge, static_cast<int64_t>(kHugePage));
  EXPECT_EQ(memory.swapped, 5 * 4096);
  EXPECT_EQ(memory.total, static_cast<int64_t>(kHugePage + kPage));
}

TEST_F(ResidentMemoryTest, SaysWhatCannotBeRead) {
  residency_.fails = true;
  ResidentMemory memory;
  EXPECT_FALSE(DivideResidentMemory({Anonymous(kHeap, kHugePage, kPage)},
                                    heap_.map, stats_, &residency_, &memory));
}

TEST(MappedMemoryTest, IsParsed) {
  std::istringstream smaps(
      "55d0c8a00000-55d0c8a02000 r-xp 00001000 fe:00 1234   /bin/a b\n"
      "Size:                  8 kB\n"
      "Rss:                   4 kB\n"
      "AnonHugePages:      2048 kB\n"
      "Swap:                 12 kB\n"
      "SwapPss:              99 kB\n"
      "VmFlags: rd ex mr mw me sd\n"
      "7f0000000000-7f0000001000 -w-s 00000000 00:00 0\n"
      "Rss:                   0 kB\n"
      "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0          [stack]\n"
      "nonsense\n");
  const std::vector<MappedMemory> mappings = ParseMappedMemory(smaps);
  ASSERT_EQ(mappings.size(), 3u);
  EXPECT_EQ(mappings[0].start, 0x55d0c8a00000u);
  EXPECT_EQ(mappings[0].end, 0x55d0c8a02000u);
  EXPECT_EQ(mappings[0].offset, 0x1000u);
  EXPECT_TRUE(mappings[0].readable);
  EXPECT_TRUE(mappings[0].executable);
  EXPECT_FALSE(mappings[0].shared);
  EXPECT_EQ(mappings[0].path, "/bin/a b");
  EXPECT_EQ(mappings[0].file, "fe:00 1234");
  EXPECT_EQ(mappings[0].resident, 4096u);
  EXPECT_EQ(mappings[0].huge, 2u << 20);
  EXPECT_EQ(mappings[0].swapped, 12u << 10);
  EXPECT_TRUE(mappings[1].shared);
  EXPECT_FALSE(mappings[1].readable);
  EXPECT_EQ(mappings[1].file, "");
  EXPECT_EQ(mappings[2].path, "[stack]");
  std::istringstream nothing("");
  EXPECT_TRUE(ParseMappedMemory(nothing).empty());
}

}  // namespace
}  // namespace spanmalloc_tool
