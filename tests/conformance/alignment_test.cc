// Conformance: the address of every result is a multiple of what was asked for,
// of the page size, or of what an object of that size can need; and the block
// is as large as was asked for.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>

#include "tests/conformance/entries.h"

namespace conformance {
namespace {

// The largest alignment that an object of `size` bytes can need: sizeof is a
// multiple of alignof, and no fundamental type needs more than max_align_t.
size_t NaturalAlignment(size_t size) {
  size_t alignment = alignof(std::max_align_t);
  while (alignment > 1 && alignment > size) alignment /= 2;
  return alignment;
}

void ExpectBlock(const Outcome& outcome, size_t alignment, size_t size) {
  ASSERT_NE(outcome.pointer, nullptr)
      << "size " << size << " alignment " << alignment;
  ASSERT_EQ(reinterpret_cast<uintptr_t>(outcome.pointer) % alignment, 0u)
      << "size " << size << " alignment " << alignment << " at "
      << outcome.pointer;
  ASSERT_GE(StandardFace().malloc_usable_size_(outcome.pointer), size)
      << "alignment " << alignment;
  if (size == 0) return;
  static_cast<volatile char*>(outcome.pointer)[0] = 1;
  static_cast<volatile char*>(outcome.pointer)[size - 1] = 1;
}

class AllocatingAlignment : public testing::TestWithParam<AllocatingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AllocatingAlignment);
INSTANTIATE_TEST_SUITE_P(Every, AllocatingAlignment,
                         testing::ValuesIn(AllocatingEntries()), EntryName());

// C17 7.22.3p1: "The pointer returned if the allocation succeeds is suitably
// aligned so that it may be assigned to a pointer to any type of object with a
// fundamental alignment requirement"; C23 adds "and size less than or equal to
// the size requested". C++ [basic.stc.dynamic.allocation]p3 likewise for "any
// object that does not have new-extended alignment and is of that size".
// malloc(3): valloc and pvalloc give "a multiple of the page size".
TEST_P(AllocatingAlignment, SuitsEverySize) {
  const AllocatingEntry& entry = GetParam();
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  constexpr size_t kCallerAlignment = 8;
  constexpr size_t kAlive =
      16;  // Blocks alive together, so that addresses differ.
  void* alive[kAlive] = {};
  for (size_t size = 0; size <= 70000; size += size < 3000 ? 1 : 13) {
    size_t alignment = NaturalAlignment(size);
    if (entry.alignment == Alignment::kPage) alignment = page;
    if (entry.alignment == Alignment::kCaller) alignment = kCallerAlignment;
    const Outcome outcome = entry.allocate(kCallerAlignment, size);
    ASSERT_NO_FATAL_FAILURE(ExpectBlock(outcome, alignment, size));
    Release(alive[size % kAlive]);
    alive[size % kAlive] = outcome.pointer;
  }
  for (void* pointer : alive) Release(pointer);
}

class AlignedAlignment : public testing::TestWithParam<AllocatingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AlignedAlignment);
INSTANTIATE_TEST_SUITE_P(Every, AlignedAlignment,
                         testing::ValuesIn(AlignedEntries()), EntryName());

// POSIX posix_memalign: "shall allocate size bytes aligned on a boundary
// specified by alignment". C17 7.22.3.1 as corrected by DR 460: the size need
// not be a multiple of the alignment.
TEST_P(AlignedAlignment, HonoursEveryPowerOfTwo) {
  const AllocatingEntry& entry = GetParam();
  const bool pointers_at_least =
      entry.name.find("posix_memalign") != std::string::npos;
  for (size_t alignment = pointers_at_least ? sizeof(void*) : 1;
       alignment <= size_t{1} << 24; alignment *= 2) {
    void* alive[64] = {};
    size_t count = 0;
    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{8}, size_t{24},
          size_t{100}, size_t{1000}, size_t{4096}, size_t{5000}, size_t{32768},
          size_t{70000}, size_t{1} << 20, alignment - 1, alignment,
          alignment + 1, alignment * 2}) {
      for (int i = 0; i < 3; i++) {
        const Outcome outcome = entry.allocate(alignment, size);
        ASSERT_NO_FATAL_FAILURE(ExpectBlock(outcome, alignment, size));
        alive[count++] = outcome.pointer;
      }
    }
    while (count > 0) Release(alive[--count]);
  }
}

// malloc(3) of pvalloc: the size is rounded up to whole pages, so all of the
// last page is ours.
TEST(PvallocAlignment, RoundsTheSizeUpToPages) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const size_t size :
       {size_t{1}, page - 1, page, page + 1, 10 * page + 1}) {
    void* const pointer = StandardFace().pvalloc_(size);
    ASSERT_NE(pointer, nullptr);
    EXPECT_GE(StandardFace().malloc_usable_size_(pointer),
              (size + page - 1) / page * page);
    Release(pointer);
  }
}

// Over-aligned types through new expressions, as the compiler writes them.
TEST(NewExpressionAlignment, HonoursAlignas) {
  struct alignas(64) Line {
    char bytes[64];
  };
  struct alignas(8192) Pages {
    char bytes[8192];
  };
  for (int i = 0; i < 100; i++) {
    Line* const line = new Line;
    Line* const lines = new Line[i + 1];
    Pages* const pages = new Pages;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(line) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(lines) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pages) % 8192, 0u);
    delete line;
    delete[] lines;
    delete pages;
  }
}

}  // namespace
}  // namespace conformance
