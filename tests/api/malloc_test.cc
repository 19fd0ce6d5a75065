// The manners of the malloc family, through the prefixed names. (The clauses of
// the standards, for every product: the conformance suite.)
#include <gtest/gtest.h>
#include <malloc.h>
#include <spanmalloc/spanmalloc.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "allocator/api/allocator.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {
namespace {

constexpr size_t kMi = size_t{1} << 20;
// One of each way in which a block can be served: small, large within one huge
// page, across several, and large enough to be moved by the system.
const size_t kSizes[] = {
    1,     8,     16,     17,      100,     1024,        5000,    32768,
    32769, 40960, 100000, 1000000, 2 * kMi, 2 * kMi + 1, 5 * kMi, 20 * kMi};

class MallocTest : public testing::Test {
 protected:
  MallocTest() : before_(the_allocator.ReadStats()) {}
  ~MallocTest() override {
    the_allocator.CheckInvariants();
    const MemStats after = the_allocator.ReadStats();
    EXPECT_EQ(after.heap_alloc, before_.heap_alloc) << "the test leaks";
    EXPECT_EQ(after.mallocs - before_.mallocs, after.frees - before_.frees);
  }

 private:
  const MemStats before_;
};

// A pattern that differs from place to place: in every byte at first, then in
// some of each page.
size_t Next(size_t i) { return i + (i < 4096 ? 1 : 509); }
unsigned char Pattern(size_t i, unsigned seed) {
  return static_cast<unsigned char>((i * 31 + (i >> 11)) ^ seed);
}
void Fill(void* p, size_t size, unsigned seed = 1) {
  unsigned char* const bytes = static_cast<unsigned char*>(p);
  for (size_t i = 0; i < size; i = Next(i)) bytes[i] = Pattern(i, seed);
}
bool Holds(const void* p, size_t size, unsigned seed = 1) {
  const unsigned char* const bytes = static_cast<const unsigned char*>(p);
  for (size_t i = 0; i < size; i = Next(i)) {
    if (bytes[i] != Pattern(i, seed)) return false;
  }
  return true;
}
bool IsZero(const void* p, size_t size) {
  const char* const bytes = static_cast<const char*>(p);
  return size == 0 ||
         (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

TEST_F(MallocTest, BlocksHoldWhatTheyShould) {
  for (const size_t size : kSizes) {
    void* const p = spanmalloc_malloc(size);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % (size >= 16 ? 16 : 8), 0u);
    const size_t usable = spanmalloc_malloc_usable_size(p);
    EXPECT_GE(usable, size);
    EXPECT_EQ(usable, spanmalloc_nallocx(size, 0));
    EXPECT_TRUE(spanmalloc_owns(p));
    Fill(p, usable);
    EXPECT_TRUE(Holds(p, usable));
    spanmalloc_free_sized(p, size);
  }
}

TEST_F(MallocTest, EmptyBlocksAreDistinct) {
  void* const p = spanmalloc_malloc(0);
  void* const q = spanmalloc_calloc(0, 5);
  void* const r = spanmalloc_aligned_alloc(64, 0);
  EXPECT_NE(p, nullptr);
  EXPECT_NE(q, nullptr);
  EXPECT_NE(r, nullptr);
  EXPECT_NE(p, q);
  EXPECT_NE(q, r);
  spanmalloc_free(p);
  spanmalloc_cfree(q);
  spanmalloc_free_aligned_sized(r, 64, 0);
  spanmalloc_free(nullptr);
  spanmalloc_free_sized(nullptr, 10);
  EXPECT_EQ(spanmalloc_malloc_usable_size(nullptr), 0u);
}

TEST_F(MallocTest, CallocIsZeroWhateverWasThere) {
  for (const size_t size : kSizes) {
    std::vector<void*> dirty;
    for (int i = 0; i < 4; ++i) {
      dirty.push_back(spanmalloc_malloc(size));
      memset(dirty.back(), 0xff, size);
    }
    for (void* p : dirty) spanmalloc_free(p);
    for (void*& p : dirty) {
      p = spanmalloc_calloc(size, 1);
      EXPECT_TRUE(IsZero(p, size)) << size;
    }
    for (void* p : dirty) spanmalloc_free(p);
  }
}

TEST_F(MallocTest, CallocOfGigabytesTouchesNothing) {
  const auto resident = [] {
    long pages = 0;
    FILE* const file = fopen("/proc/self/statm", "r");
    EXPECT_EQ(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return static_cast<size_t>(pages) * SystemPageSize();
  };
  const size_t before = resident();
  void* const p = spanmalloc_calloc(4, size_t{1} << 30);
  if (p == nullptr) GTEST_SKIP() << "not so much address space";
  EXPECT_LT(resident(), before + 100 * kMi);
  spanmalloc_free(p);
}

TEST_F(MallocTest, ReallocFromEverySizeToEveryOther) {
  for (const size_t from : kSizes) {
    for (const size_t to : kSizes) {
      void* const p = spanmalloc_malloc(from);
      Fill(p, from);
      void* const q = spanmalloc_realloc(p, to);
      ASSERT_NE(q, nullptr);
      EXPECT_TRUE(Holds(q, std::min(from, to))) << from << " to " << to;
      EXPECT_EQ(spanmalloc_malloc_usable_size(q), spanmalloc_nallocx(to, 0));
      Fill(q, to, 2);
      spanmalloc_free_sized(q, to);
    }
  }
}

TEST_F(MallocTest, ReallocWithinAClassStays) {
  void* const p = spanmalloc_malloc(97);
  EXPECT_EQ(spanmalloc_realloc(p, 112), p);
  EXPECT_EQ(spanmalloc_realloc(p, 97), p);
  spanmalloc_free(p);
}

TEST_F(MallocTest, ReallocAtTheEdges) {
  void* p = spanmalloc_realloc(nullptr, 50);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(spanmalloc_realloc(p, 0), nullptr);
  p = spanmalloc_malloc(50);
  Fill(p, 50);
  for (const size_t size : {size_t{PTRDIFF_MAX} + 1, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(spanmalloc_realloc(p, size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
  errno = 0;
  EXPECT_EQ(spanmalloc_reallocarray(p, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_TRUE(Holds(p, 50));
  p = spanmalloc_reallocarray(p, 1000, 8);
  EXPECT_TRUE(Holds(p, 50));
  EXPECT_GE(spanmalloc_malloc_usable_size(p), 8000u);
  spanmalloc_free(p);
}

// Up into the free pages behind, and down again, which gives them back.
TEST_F(MallocTest, LargeBlocksGrowAndShrinkInPlace) {
  void* const room = spanmalloc_memalign(2 * kMi, 2 * kMi);
  spanmalloc_free(room);  // Now a free huge page.
  char* const p = static_cast<char*>(spanmalloc_memalign(2 * kMi, 100 << 10));
  Fill(p, 100 << 10);
  EXPECT_EQ(spanmalloc_realloc(p, kMi), p);
  EXPECT_TRUE(Holds(p, 100 << 10));
  EXPECT_EQ(spanmalloc_malloc_usable_size(p), kMi);
  const size_t used = the_allocator.ReadStats().heap_inuse;
  EXPECT_EQ(spanmalloc_realloc(p, 50 << 10), p);
  EXPECT_EQ(spanmalloc_malloc_usable_size(p), 56u << 10);
  EXPECT_EQ(the_allocator.ReadStats().heap_inuse, used - kMi + (56 << 10));
  EXPECT_TRUE(Holds(p, 50 << 10));
  spanmalloc_free(p);
}

// With something behind it, a huge block goes elsewhere.
TEST_F(MallocTest, HugeBlocksMove) {
  for (int round = 0; round < 3; ++round) {
    void* const p = spanmalloc_memalign(2 * kMi, 8 * kMi);
    std::vector<void*> behind;
    while (behind.size() < 3) {
      behind.push_back(spanmalloc_memalign(2 * kMi, 2 * kMi));
    }
    Fill(p, 8 * kMi);
    void* const q = spanmalloc_realloc(p, 40 * kMi);
    ASSERT_NE(q, nullptr);
    EXPECT_TRUE(Holds(q, 8 * kMi));
    if (q != p) {
      // What it left reads as zero, where calloc gets it.
      void* const zero = spanmalloc_calloc(8, kMi);
      EXPECT_TRUE(IsZero(zero, 8 * kMi));
      spanmalloc_free(zero);
    }
    Fill(q, 40 * kMi, 3);
    EXPECT_TRUE(Holds(q, 40 * kMi, 3));
    spanmalloc_free(q);
    for (void* block : behind) spanmalloc_free(block);
  }
}

// Step by step across every border.
TEST_F(MallocTest, ReallocAsAGrowingArray) {
  size_t size = 1;
  char* p = static_cast<char*>(spanmalloc_malloc(size));
  Fill(p, size);
  while (size < 16 * kMi) {
    const size_t larger = size + size / 3 + 1;
    p = static_cast<char*>(spanmalloc_realloc(p, larger));
    ASSERT_TRUE(Holds(p, size)) << size;
    Fill(p, larger);
    size = larger;
  }
  while (size > 1) {
    size -= size / 3 + 1;
    if (size == 0) break;
    p = static_cast<char*>(spanmalloc_realloc(p, size));
    ASSERT_TRUE(Holds(p, size)) << size;
  }
  spanmalloc_free(p);
}

TEST_F(MallocTest, AlignedBlocks) {
  for (size_t alignment = 1; alignment <= 8 * kMi; alignment *= 2) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{24}, size_t{5000},
                              size_t{32768}, size_t{50000}, 3 * kMi}) {
      std::vector<void*> blocks;
      for (int i = 0; i < 3; ++i) {
        blocks.push_back(i == 0 ? spanmalloc_aligned_alloc(alignment, size)
                                : spanmalloc_memalign(alignment, size));
      }
      if (alignment >= sizeof(void*)) {
        void* p = nullptr;
        EXPECT_EQ(spanmalloc_posix_memalign(&p, alignment, size), 0);
        blocks.push_back(p);
      }
      for (void* p : blocks) {
        ASSERT_NE(p, nullptr);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u);
        Fill(p, size);
      }
      const int log2 = __builtin_ctzll(alignment);
      EXPECT_EQ(spanmalloc_malloc_usable_size(blocks[0]),
                spanmalloc_nallocx(size, log2));
      spanmalloc_free_aligned_sized(blocks[0], alignment, size);
      spanmalloc_sdallocx(blocks[1], size, log2);
      for (size_t i = 2; i < blocks.size(); ++i) spanmalloc_free(blocks[i]);
    }
  }
}

TEST_F(MallocTest, BadAlignments) {
  for (const size_t alignment : {size_t{0}, size_t{3}, size_t{24}, size_t{48},
                                 (size_t{1} << 63) + 1, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(spanmalloc_aligned_alloc(alignment, 10), nullptr);
    EXPECT_EQ(errno, EINVAL);
    errno = 0;
    EXPECT_EQ(spanmalloc_memalign(alignment, 10), nullptr);
    EXPECT_EQ(errno, EINVAL);
    void* p = &errno;
    errno = 99;
    EXPECT_EQ(spanmalloc_posix_memalign(&p, alignment, 10), EINVAL);
    EXPECT_EQ(p, &errno);
    EXPECT_EQ(errno, 99);
  }
  void* p = nullptr;
  EXPECT_EQ(spanmalloc_posix_memalign(&p, 4, 10), EINVAL);
  EXPECT_EQ(spanmalloc_posix_memalign(&p, size_t{1} << 62, 10), ENOMEM);
}

TEST_F(MallocTest, TooMuch) {
  const size_t too_much[] = {size_t{PTRDIFF_MAX}, size_t{PTRDIFF_MAX} + 1,
                             SIZE_MAX - 4096, SIZE_MAX};
  for (const size_t size : too_much) {
    const auto expect_enomem = [size](const char* name, void* p) {
      EXPECT_EQ(p, nullptr) << name << " of " << size;
      EXPECT_EQ(errno, ENOMEM) << name << " of " << size;
      errno = 0;
    };
    errno = 0;
    expect_enomem("malloc", spanmalloc_malloc(size));
    expect_enomem("calloc", spanmalloc_calloc(1, size));
    expect_enomem("calloc", spanmalloc_calloc(size, 3));
    expect_enomem("memalign", spanmalloc_memalign(64, size));
    expect_enomem("aligned_alloc", spanmalloc_aligned_alloc(1 << 20, size));
    expect_enomem("valloc", spanmalloc_valloc(size));
    expect_enomem("pvalloc", spanmalloc_pvalloc(size));
    expect_enomem("realloc", spanmalloc_realloc(nullptr, size));
    if (size > PTRDIFF_MAX) {
      EXPECT_EQ(spanmalloc_nallocx(size, 0), 0u);
    }
  }
}

TEST_F(MallocTest, PagesOfTheSystem) {
  const size_t page = SystemPageSize();
  const size_t sizes[] = {0, 1, page, page + 1, 10 * page};
  for (const size_t size : sizes) {
    void* const p = spanmalloc_valloc(size);
    void* const q = spanmalloc_pvalloc(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % page, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(q) % page, 0u);
    const size_t rounded = std::max<size_t>(1, (size + page - 1) / page) * page;
    EXPECT_GE(spanmalloc_malloc_usable_size(q), rounded);
    Fill(q, rounded);
    spanmalloc_free(p);
    spanmalloc_free(q);
  }
}

TEST_F(MallocTest, SuccessKeepsErrno) {
  errno = 99;
  for (const size_t size : kSizes) {
    void* p = spanmalloc_malloc(size);
    p = spanmalloc_realloc(p, size + 1000);
    spanmalloc_free(p);
    spanmalloc_free(spanmalloc_calloc(1, size));
    spanmalloc_free(spanmalloc_memalign(4096, size));
  }
  spanmalloc_malloc_trim(0);
  EXPECT_EQ(errno, 99);
}

TEST_F(MallocTest, TrimGivesFreeMemoryBack) {
  void* const p = spanmalloc_malloc(10 * kMi);
  memset(p, 1, 10 * kMi);
  spanmalloc_free(p);
  EXPECT_EQ(spanmalloc_malloc_trim(0), 1);
  EXPECT_EQ(spanmalloc_malloc_trim(0), 0);
  const MemStats stats = the_allocator.ReadStats();
  EXPECT_EQ(stats.heap_idle, stats.heap_released);
}

TEST_F(MallocTest, MalloptKnowsGlibcsParameters) {
  EXPECT_EQ(spanmalloc_mallopt(M_MMAP_THRESHOLD, 1 << 20), 1);
  EXPECT_EQ(spanmalloc_mallopt(M_ARENA_MAX, 1), 1);
  EXPECT_EQ(spanmalloc_mallopt(12345, 1), 0);
}

TEST_F(MallocTest, ReportsAgree) {
  void* const p = spanmalloc_malloc(3 * kMi);
  const struct mallinfo2 info = spanmalloc_mallinfo2();
  EXPECT_GE(info.hblkhd, 3 * kMi);
  EXPECT_GE(info.uordblks, info.hblkhd);
  EXPECT_EQ(static_cast<size_t>(spanmalloc_mallinfo().hblks), info.hblks);
  char* text = nullptr;
  size_t size = 0;
  FILE* const stream = open_memstream(&text, &size);
  EXPECT_EQ(spanmalloc_malloc_info(0, stream), 0);
  EXPECT_EQ(spanmalloc_malloc_info(1, stream), EINVAL);
  fclose(stream);
  EXPECT_EQ(strncmp(text, "<malloc version=", 16), 0);
  free(text);
  testing::internal::CaptureStderr();
  spanmalloc_malloc_stats();
  EXPECT_NE(testing::internal::GetCapturedStderr().find(" mallocs, "),
            std::string::npos);
  spanmalloc_free(p);
}

TEST_F(MallocTest, Version) {
  EXPECT_STREQ(spanmalloc_version(),
               (std::to_string(SPANMALLOC_VERSION_MAJOR) + "." +
                std::to_string(SPANMALLOC_VERSION_MINOR) + "." +
                std::to_string(SPANMALLOC_VERSION_PATCH))
                   .c_str());
}

}  // namespace
}  // namespace spanmalloc
