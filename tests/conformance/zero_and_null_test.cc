// Conformance: size zero and the null pointer.

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "tests/conformance/entries.h"
#include "tests/conformance/face_test.h"

namespace conformance {
namespace {

class AllocatingZero : public testing::TestWithParam<AllocatingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AllocatingZero);
INSTANTIATE_TEST_SUITE_P(Every, AllocatingZero,
                         testing::ValuesIn(AllocatingEntries()), EntryName());

// malloc(3): "If size is 0, then malloc() returns a unique pointer value that
// can later be successfully passed to free()." C++
// [basic.stc.dynamic.allocation]p2: "Even if the size of the space requested is
// zero, the request can fail. If the request succeeds, the value returned ...
// is a non-null pointer value p0 different from any previously returned value
// p1, unless that value p1 was subsequently passed to operator delete."
TEST_P(AllocatingZero, ZeroSizeGivesUniqueBlocks) {
  std::set<void*> seen;
  for (int i = 0; i < 1000; i++) {
    const Outcome outcome = GetParam().allocate(16, 0);
    ASSERT_NE(outcome.pointer, nullptr);
    ASSERT_TRUE(seen.insert(outcome.pointer).second) << "given out twice";
  }
  for (void* pointer : seen) Release(pointer);
}

class ReleasingNull : public testing::TestWithParam<ReleasingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReleasingNull);
INSTANTIATE_TEST_SUITE_P(Every, ReleasingNull,
                         testing::ValuesIn(ReleasingEntries()), EntryName());

// C17 7.22.3.3p2: "If ptr is a null pointer, no action occurs." C23 7.24.3.4
// and .5 say so of free_sized and free_aligned_sized, C++
// [new.delete.single]p12: "If ptr is null, does nothing."
TEST_P(ReleasingNull, NoActionOccurs) {
  errno = E2BIG;
  GetParam().release(nullptr, 16, 0);
  GetParam().release(nullptr, 16, 1);
  GetParam().release(nullptr, 4096, size_t{1} << 30);
  EXPECT_EQ(errno, E2BIG);
}

class FaceZero : public FaceTest {};
SPANMALLOC_BOTH_FACES(FaceZero);

// malloc(3): "If nmemb or size is 0, then calloc() returns either NULL, or a
// unique pointer value"; glibc does the latter.
TEST_P(FaceZero, CallocOfNothingGivesUniqueBlocks) {
  std::set<void*> seen;
  for (const size_t n :
       {size_t{0}, size_t{1}, size_t{100}, size_t{1} << 40, ~size_t{0}}) {
    for (int order = 0; order < 2; order++) {
      void* const pointer =
          order == 0 ? face().calloc_(0, n) : face().calloc_(n, 0);
      ASSERT_NE(pointer, nullptr) << n;
      EXPECT_TRUE(seen.insert(pointer).second);
    }
  }
  for (void* pointer : seen) face().free_(pointer);
}

// malloc(3): "If ptr is NULL, then the call is equivalent to malloc(size), for
// all values of size".
TEST_P(FaceZero, ReallocOfNullAllocates) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{100}, size_t{5000}, size_t{1} << 20}) {
    void* const pointer = face().realloc_(nullptr, size);
    ASSERT_NE(pointer, nullptr) << size;
    memset(pointer, 1, size);
    void* const array = face().reallocarray_(nullptr, size, 1);
    ASSERT_NE(array, nullptr) << size;
    EXPECT_NE(pointer, array);
    memset(array, 2, size);
    face().free_(pointer);
    face().free_(array);
  }
}

// malloc(3): "If size is equal to zero, and ptr is not NULL, then the call is
// equivalent to free(ptr)"; glibc returns NULL and does not set errno, for it
// is no failure.
TEST_P(FaceZero, ReallocToNothingFrees) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{48}, size_t{5000},
                            size_t{1} << 20, size_t{100} << 20}) {
    for (int round = 0; round < 200;
         round++) {  // Enough to see a leak of the largest by ENOMEM.
      void* const pointer = face().malloc_(size);
      ASSERT_NE(pointer, nullptr);
      errno = E2BIG;
      EXPECT_EQ(face().realloc_(pointer, 0), nullptr);
      EXPECT_EQ(errno, E2BIG);
    }
    void* const first = face().malloc_(size);
    EXPECT_EQ(face().reallocarray_(first, 0, 8), nullptr);
    void* const second = face().malloc_(size);
    EXPECT_EQ(face().reallocarray_(second, 8, 0), nullptr);
  }
}

// malloc_usable_size(3): "If ptr is NULL, 0 is returned."
TEST_P(FaceZero, NullHasNoUsableSize) {
  EXPECT_EQ(face().malloc_usable_size_(nullptr), 0u);
}

// free(3): "Since glibc 2.33, the free() function preserves errno";
// POSIX.1-2024 demands it, of blocks of every size, those included that go back
// to the system.
TEST_P(FaceZero, FreeKeepsErrno) {
  for (const size_t size :
       {size_t{1}, size_t{100}, size_t{4096}, size_t{40000}, size_t{300000},
        size_t{3} << 20, size_t{64} << 20, size_t{1} << 30}) {
    void* const pointer = face().malloc_(size);
    ASSERT_NE(pointer, nullptr);
    memset(pointer, 1, size < 4096 ? size : 4096);
    errno = E2BIG;
    face().free_(pointer);
    EXPECT_EQ(errno, E2BIG) << size;
  }
}

// Every way of releasing takes back a block of the matching way of allocating,
// and keeps errno.
class ReleasingBlocks : public testing::TestWithParam<ReleasingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReleasingBlocks);
INSTANTIATE_TEST_SUITE_P(Every, ReleasingBlocks,
                         testing::ValuesIn(ReleasingEntries()), EntryName());

TEST_P(ReleasingBlocks, TakesBackWhatWasAllocated) {
  const ReleasingEntry& entry = GetParam();
  for (int round = 0; round < 50; round++) {
    for (const size_t alignment :
         {size_t{8}, size_t{16}, size_t{64}, size_t{4096}, size_t{65536}}) {
      for (const size_t size :
           {size_t{0}, size_t{1}, size_t{7}, size_t{16}, size_t{17},
            size_t{1000}, size_t{4096}, size_t{33000}, size_t{200000}}) {
        void* pointer = nullptr;
        if (entry.alignment == Alignment::kCaller) {
          ASSERT_EQ(StandardFace().posix_memalign_(&pointer, alignment, size),
                    0);
        } else {
          pointer = StandardFace().malloc_(size);
        }
        ASSERT_NE(pointer, nullptr);
        memset(pointer, 0x77, size);
        errno = E2BIG;
        entry.release(pointer, alignment, size);
        ASSERT_EQ(errno, E2BIG);
      }
    }
  }
}

}  // namespace
}  // namespace conformance
