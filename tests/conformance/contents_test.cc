// Conformance: what is in the bytes. calloc's zeroes, realloc's copies, and the
// whole usable area of a block belonging to that block alone.

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "tests/conformance/entries.h"
#include "tests/conformance/face_test.h"

namespace conformance {
namespace {

// Fills and checks memory with a sequence that no shift by a few bytes or pages
// maps onto itself. Whole words are compared first, for the sake of large
// blocks.
uint64_t WordAt(size_t index, uint64_t seed) {
  return (index + seed) * 0x9e3779b97f4a7c15u;
}

void Fill(void* block, size_t size, uint64_t seed) {
  auto* const bytes = static_cast<unsigned char*>(block);
  size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    const uint64_t word = WordAt(at / 8, seed);
    memcpy(bytes + at, &word, 8);
  }
  const uint64_t word = WordAt(at / 8, seed);
  memcpy(bytes + at, &word, size - at);
}

// The index of the first wrong byte among the first `size`, or `size`.
size_t FirstWrong(const void* block, size_t size, uint64_t seed) {
  const auto* const bytes = static_cast<const unsigned char*>(block);
  size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    const uint64_t word = WordAt(at / 8, seed);
    if (memcmp(bytes + at, &word, 8) != 0) return at;
  }
  const uint64_t word = WordAt(at / 8, seed);
  return memcmp(bytes + at, &word, size - at) == 0 ? size : at;
}

bool AllZero(const void* block, size_t size) {
  const auto* const bytes = static_cast<const unsigned char*>(block);
  return size == 0 ||
         (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

class FaceContents : public FaceTest {};
SPANMALLOC_BOTH_FACES(FaceContents);

// C17 7.22.3.2p2: "The space is initialized to all bits zero." Recycled memory
// is dirty on purpose.
TEST_P(FaceContents, CallocClearsRecycledMemory) {
  for (const size_t size :
       {size_t{1}, size_t{2}, size_t{5}, size_t{8}, size_t{15}, size_t{16},
        size_t{48}, size_t{100}, size_t{1000}, size_t{4096}, size_t{8192},
        size_t{20000}, size_t{32768}, size_t{32769}, size_t{70000},
        size_t{262144}, size_t{1} << 20, size_t{3} << 20, size_t{40} << 20}) {
    const size_t count = size < 4096 ? 300 : size < (size_t{1} << 20) ? 20 : 3;
    for (int round = 0; round < 3; round++) {
      std::vector<void*> blocks(count);
      for (void*& block : blocks) {
        block = face().malloc_(size);
        ASSERT_NE(block, nullptr);
        memset(block, 0xff, face().malloc_usable_size_(block));
      }
      for (void* block : blocks) face().free_(block);
      for (void*& block : blocks) {
        block = round == 0 ? face().calloc_(1, size) : face().calloc_(size, 1);
        ASSERT_NE(block, nullptr);
        ASSERT_TRUE(AllZero(block, size)) << size;
        memset(block, 0xff, size);
      }
      for (void* block : blocks) face().free_(block);
    }
  }
}

// The same where free memory is a patchwork: dirty blocks of one size coalesce
// with fresh pages and come back as blocks of another size.
TEST_P(FaceContents, CallocClearsPatchworks) {
  std::mt19937_64 random(20221122);
  std::vector<void*> alive(64, nullptr);
  for (int step = 0; step < 3000; step++) {
    void*& slot = alive[random() % alive.size()];
    face().free_(slot);
    const size_t size = size_t{1} << (random() % 21);
    const size_t bytes = size + random() % size;
    slot = face().calloc_(1, bytes);
    ASSERT_NE(slot, nullptr);
    ASSERT_TRUE(AllZero(slot, bytes)) << "step " << step << " size " << bytes;
    memset(slot, 0xa5, bytes);
  }
  for (void* pointer : alive) face().free_(pointer);
}

// C17 7.22.3.5p2: "The contents of the new object shall be the same as that of
// the old object prior to deallocation, up to the lesser of the new and old
// sizes."
TEST_P(FaceContents, ReallocKeepsTheLesserOfBothSizes) {
  constexpr size_t kSizes[] = {
      1,     2,     7,     8,      9,      15,      16,     17,    24,
      100,   256,   257,   1000,   1024,   4000,    8192,   20000, 32768,
      32769, 65536, 70000, 262144, 270000, 1 << 20, 3 << 20};
  for (const size_t from : kSizes) {
    for (const size_t to : kSizes) {
      void* const old = face().malloc_(from);
      ASSERT_NE(old, nullptr);
      Fill(old, from, from);
      void* const resized = face().realloc_(old, to);
      ASSERT_NE(resized, nullptr);
      const size_t kept = from < to ? from : to;
      ASSERT_EQ(FirstWrong(resized, kept, from), kept) << from << " -> " << to;
      ASSERT_GE(face().malloc_usable_size_(resized), to);
      memset(resized, 1, to);
      face().free_(resized);
    }
  }
}

// One block up to hundreds of MiB and down again, in steps that stay in place,
// move, and cross from one regime of the allocator into the next; a neighbour
// stands guard.
TEST_P(FaceContents, ReallocGrowsAndShrinksThroughEveryRegime) {
  constexpr size_t kLargest = size_t{300} << 20;
  size_t size = 1;
  void* block = face().malloc_(size);
  Fill(block, size, 1);
  void* const guard = face().malloc_(100000);
  Fill(guard, 100000, 2);
  while (size < kLargest) {
    const size_t next = size < 1000                ? size + 13
                        : size < (size_t{1} << 20) ? size * 5 / 4
                                                   : size * 2;
    block = face().realloc_(block, next);
    ASSERT_NE(block, nullptr);
    ASSERT_EQ(FirstWrong(block, size, 1), size) << size << " -> " << next;
    Fill(block, next, 1);
    size = next;
  }
  while (size > 1) {
    const size_t next = size > (size_t{1} << 20) ? size / 3 : size * 3 / 4;
    block = face().reallocarray_(block, next, 1);
    ASSERT_NE(block, nullptr);
    ASSERT_EQ(FirstWrong(block, next, 1), next) << size << " -> " << next;
    size = next;
  }
  EXPECT_EQ(FirstWrong(guard, 100000, 2), 100000u);
  face().free_(guard);
  face().free_(block);
}

// A large block that grows while others around it come and go: whether it grows
// in place into free neighbours or moves, nobody's bytes change.
TEST_P(FaceContents, LargeReallocsSideBySide) {
  struct Block {
    void* pointer = nullptr;
    size_t size = 0;
  };
  std::mt19937_64 random(7);
  std::vector<Block> blocks(12);
  for (int step = 0; step < 600; step++) {
    const size_t index = random() % blocks.size();
    Block& block = blocks[index];
    if (random() % 4 == 0) {
      face().free_(block.pointer);
      block = Block();
      continue;
    }
    const size_t next = 20000 + random() % (step % 50 == 0 ? size_t{20} << 20
                                                           : size_t{1} << 20);
    block.pointer = face().realloc_(block.pointer, next);
    ASSERT_NE(block.pointer, nullptr);
    const size_t kept = block.size < next ? block.size : next;
    ASSERT_EQ(FirstWrong(block.pointer, kept, index), kept) << "step " << step;
    block.size = next;
    Fill(block.pointer, next, index);
  }
  for (size_t i = 0; i < blocks.size(); i++) {
    EXPECT_EQ(FirstWrong(blocks[i].pointer, blocks[i].size, i), blocks[i].size);
    face().free_(blocks[i].pointer);
  }
}

// A block with an alignment of its own may be passed to realloc, POSIX
// posix_memalign: "The free() function shall deallocate memory that has
// previously been allocated by posix_memalign()", and C17 7.22.3.5p3 names all
// memory management functions.
TEST_P(FaceContents, ReallocTakesAlignedBlocks) {
  for (size_t alignment = 8; alignment <= size_t{1} << 22; alignment *= 4) {
    for (const size_t size :
         {size_t{1}, size_t{100}, size_t{5000}, size_t{100000}}) {
      for (const size_t to :
           {size_t{8}, size_t{300}, size_t{50000}, size_t{2} << 20}) {
        void* const old = face().memalign_(alignment, size);
        ASSERT_NE(old, nullptr);
        Fill(old, size, 3);
        void* const resized = face().realloc_(old, to);
        ASSERT_NE(resized, nullptr);
        const size_t kept = size < to ? size : to;
        ASSERT_EQ(FirstWrong(resized, kept, 3), kept)
            << alignment << " " << size << " " << to;
        face().free_(resized);
      }
    }
  }
}

// malloc_usable_size(3): "the number of usable bytes in the block pointed to by
// ptr". gcc and glibc take it literally: all of them may be written.
TEST_P(FaceContents, TheWholeUsableAreaIsTheBlocksOwn) {
  struct Block {
    void* pointer = nullptr;
    size_t usable = 0;
  };
  std::mt19937_64 random(42);
  std::vector<Block> blocks(4000);
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < blocks.size(); i++) {
      if (round > 0 && random() % 2 == 0) continue;
      Block& block = blocks[i];
      ASSERT_EQ(FirstWrong(block.pointer, block.usable, i), block.usable) << i;
      face().free_(block.pointer);
      const size_t size = random() % (i % 40 == 0  ? 200000
                                      : i % 4 == 0 ? 3000
                                                   : 70);
      block.pointer = i % 5 == 0
                          ? face().memalign_(size_t{1} << random() % 13, size)
                          : face().malloc_(size);
      ASSERT_NE(block.pointer, nullptr);
      block.usable = face().malloc_usable_size_(block.pointer);
      ASSERT_GE(block.usable, size);
      Fill(block.pointer, block.usable, i);
    }
  }
  for (size_t i = 0; i < blocks.size(); i++) {
    ASSERT_EQ(FirstWrong(blocks[i].pointer, blocks[i].usable, i),
              blocks[i].usable)
        << i;
    face().free_(blocks[i].pointer);
  }
}

// Between guard pages there is nothing behind what was asked for.
void ExpectForetold(const Face& face, size_t size, int shift, void* pointer) {
  const char* const options = getenv("SPANMALLOC_OPTIONS");
  const bool guarded = options != nullptr && strstr(options, "guarded=");
  const size_t usable = face.malloc_usable_size_(pointer);
  if (guarded && usable == size) return;
  EXPECT_EQ(face.nallocx_(size, shift), usable)
      << size << " aligned to 2^" << shift;
}

// jemalloc(3): nallocx "performs the same size computation as the mallocx()
// function, and returns the real size of the allocation that would result"; 0
// if it is not supported.
TEST_P(FaceContents, NallocxForetellsTheUsableSize) {
  if (face().nallocx_ == nullptr)
    GTEST_SKIP() << "nallocx is not in this allocator";
  for (size_t size = 1; size <= 300000; size += size < 3000 ? 1 : 997) {
    void* const pointer = face().malloc_(size);
    ExpectForetold(face(), size, 0, pointer);
    face().sdallocx_(pointer, size, 0);
  }
  for (int shift = 0; shift <= 21; shift++) {
    for (const size_t size : {size_t{1}, size_t{100}, size_t{3000},
                              size_t{50000}, size_t{1} << 20}) {
      void* const pointer = face().memalign_(size_t{1} << shift, size);
      ExpectForetold(face(), size, shift, pointer);
      face().sdallocx_(pointer, size, shift);
    }
  }
  EXPECT_EQ(face().nallocx_(size_t{PTRDIFF_MAX} + 1, 0), 0u);
  EXPECT_EQ(face().nallocx_(SIZE_MAX, 0), 0u);
  EXPECT_EQ(face().nallocx_(SIZE_MAX, 12), 0u);
}

// A usable size may be handed to a sized release as well as the size asked for
// (C23 wants the latter; P0901 and jemalloc let programs ask for the former and
// use it).
TEST_P(FaceContents, SizedReleaseTakesAnySizeOfTheClass) {
  if (face().free_sized_ == nullptr)
    GTEST_SKIP() << "free_sized is not in this allocator";
  for (size_t size = 0; size <= 100000; size += size < 2000 ? 1 : 1013) {
    void* pointer = face().malloc_(size);
    face().free_sized_(pointer, size);
    pointer = face().malloc_(size);
    face().free_sized_(pointer, face().malloc_usable_size_(pointer));
    pointer = face().aligned_alloc_(64, size);
    face().free_aligned_sized_(pointer, 64, size);
  }
}

}  // namespace
}  // namespace conformance
