// Conformance: requests that no allocator can serve. Sizes at and above
// PTRDIFF_MAX, products that overflow, alignments that are not powers of two or
// are too large. Each gives NULL and an errno (or bad_alloc, or a returned
// code), in every entry point, and changes nothing else.

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "tests/conformance/entries.h"
#include "tests/conformance/face_test.h"

namespace conformance {
namespace {

constexpr size_t kTooLarge[] = {
    size_t{PTRDIFF_MAX},
    size_t{PTRDIFF_MAX} + 1,
    size_t{PTRDIFF_MAX} + 4097,
    SIZE_MAX - (size_t{1} << 21),
    SIZE_MAX - 65536,
    SIZE_MAX - 8192,
    SIZE_MAX - 4096,
    SIZE_MAX - 4095,
    SIZE_MAX - 4094,
    SIZE_MAX - 64,
    SIZE_MAX - 16,
    SIZE_MAX - 15,
    SIZE_MAX - 1,
    SIZE_MAX,
};

// libstdc++ rounds the size up to a multiple of the alignment without a check:
// the sum wraps and a small block comes back.
bool SystemWrapsRound(const AllocatingEntry& entry) {
  return !OnSpanmalloc() && entry.is_operator &&
         entry.alignment == Alignment::kCaller;
}

class AllocatingLimits : public testing::TestWithParam<AllocatingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AllocatingLimits);
INSTANTIATE_TEST_SUITE_P(Every, AllocatingLimits,
                         testing::ValuesIn(AllocatingEntries()), EntryName());

// POSIX malloc: "Otherwise, it shall return a null pointer and set errno to
// indicate the error. [ENOMEM] Insufficient storage space is available."
// malloc(3): "malloc() and related functions rejected sizes greater than
// PTRDIFF_MAX starting in glibc 2.30." C++ [new.delete.single]p3: "... or else
// throw a bad_alloc exception."
TEST_P(AllocatingLimits, TooLargeASizeIsOutOfMemory) {
  const AllocatingEntry& entry = GetParam();
  if (SystemWrapsRound(entry))
    GTEST_SKIP() << "aligned new of libstdc++ wraps round";
  for (const size_t alignment : {size_t{8}, size_t{4096}, size_t{1} << 21}) {
    for (const size_t size : kTooLarge) {
      const Outcome outcome = entry.allocate(alignment, size);
      EXPECT_EQ(outcome.pointer, nullptr)
          << "size " << size << " alignment " << alignment;
      EXPECT_EQ(outcome.error, ENOMEM)
          << "size " << size << " alignment " << alignment;
      Release(outcome.pointer);
    }
    if (entry.alignment != Alignment::kCaller) break;
  }
}

class AlignedLimits : public testing::TestWithParam<AllocatingEntry> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AlignedLimits);
INSTANTIATE_TEST_SUITE_P(Every, AlignedLimits,
                         testing::ValuesIn(AlignedEntries()), EntryName());

// POSIX posix_memalign: "[EINVAL] The value of the alignment parameter is not a
// power of two multiple of sizeof(void *)." posix_memalign(3), of aligned_alloc
// and memalign too: "EINVAL The alignment argument was not a power of two".
// C17 7.22.3.1p2: "If the value of alignment is not a valid alignment supported
// by the implementation the function shall fail by returning a null pointer."
// glibc's memalign rounds the alignment up instead, and so does aligned_alloc
// before 2.38.
TEST_P(AlignedLimits, AnAlignmentThatIsNoPowerOfTwoIsInvalid) {
  const AllocatingEntry& entry = GetParam();
  const bool demanded =
      entry.is_operator || entry.name == "posix_memalign" || OnSpanmalloc();
  if (!demanded)
    GTEST_SKIP() << entry.name << " of glibc rounds the alignment up";
  for (const size_t alignment :
       {size_t{0}, size_t{3}, size_t{5}, size_t{6}, size_t{7}, size_t{9},
        size_t{12}, size_t{24}, size_t{48}, size_t{100}, size_t{4095},
        size_t{4097}, size_t{12288}, (size_t{1} << 20) + 1,
        (size_t{1} << 63) + 1, size_t{3} << 62, SIZE_MAX - 1, SIZE_MAX}) {
    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{100}, size_t{1} << 20}) {
      const Outcome outcome = entry.allocate(alignment, size);
      EXPECT_EQ(outcome.pointer, nullptr)
          << "alignment " << alignment << " size " << size;
      if (!entry.is_operator) {
        EXPECT_EQ(outcome.error, EINVAL)
            << "alignment " << alignment << " size " << size;
      }
      Release(outcome.pointer);
    }
  }
}

// The sum of size and alignment must not wrap round to a small number, and an
// alignment that the address space cannot hold is an error, not a crash.
TEST_P(AlignedLimits, HugeAlignmentsAreRefusedOrHonoured) {
  const AllocatingEntry& entry = GetParam();
  if (SystemWrapsRound(entry))
    GTEST_SKIP() << "aligned new of libstdc++ wraps round";
  for (int shift = 30; shift < 64; shift++) {
    const size_t alignment = size_t{1} << shift;
    for (const size_t size :
         {size_t{1}, size_t{100000}, SIZE_MAX - alignment + 1,
          SIZE_MAX - alignment + 4097, SIZE_MAX - alignment - 4096}) {
      const Outcome outcome = entry.allocate(alignment, size);
      if (shift >= 47 || size > 100000) {
        EXPECT_EQ(outcome.pointer, nullptr)
            << "alignment 2^" << shift << " size " << size;
      }
      if (outcome.pointer == nullptr) {
        EXPECT_TRUE(outcome.error == ENOMEM || outcome.error == EINVAL)
            << outcome.error;
      } else {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(outcome.pointer) % alignment, 0u)
            << shift;
      }
      Release(outcome.pointer);
    }
  }
}

class FaceLimits : public FaceTest {};
SPANMALLOC_BOTH_FACES(FaceLimits);

struct Product {
  size_t count;
  size_t size;
};
constexpr Product kOverflowing[] = {
    {SIZE_MAX, 2},
    {2, SIZE_MAX},
    {SIZE_MAX, SIZE_MAX},
    {size_t{1} << 32, size_t{1} << 32},
    {(size_t{1} << 32) + 1, size_t{1} << 32},
    {SIZE_MAX / 2 + 1, 2},
    {SIZE_MAX / 3 + 1, 3},
    {size_t{1} << 63, 2},
    {SIZE_MAX / 16 + 2, 16},
    {3, SIZE_MAX / 3 + 9},
    {size_t{1} << 62, 4},
    // No overflow of size_t, yet more than PTRDIFF_MAX.
    {size_t{1} << 62, 2},
    {size_t{1} << 31, size_t{1} << 32},
    {SIZE_MAX, 1},
    {1, SIZE_MAX},
};

// malloc(3): "If the multiplication of nmemb and size would result in integer
// overflow, then calloc() returns an error." C23 7.24.3.2p2 says the same.
TEST_P(FaceLimits, CallocRefusesProductsThatOverflow) {
  for (const Product& product : kOverflowing) {
    errno = 0;
    void* const pointer = face().calloc_(product.count, product.size);
    EXPECT_EQ(pointer, nullptr) << product.count << " * " << product.size;
    EXPECT_EQ(errno, ENOMEM) << product.count << " * " << product.size;
    Release(pointer);
  }
}

// malloc(3), of reallocarray: "in the case where the multiplication would
// overflow, reallocarray() returns NULL, sets errno to ENOMEM, and leaves the
// original block of memory unchanged."
TEST_P(FaceLimits, ReallocarrayRefusesProductsThatOverflow) {
  for (const Product& product : kOverflowing) {
    auto* const old = static_cast<char*>(face().malloc_(100));
    ASSERT_NE(old, nullptr);
    memset(old, 0x5a, 100);
    errno = 0;
    EXPECT_EQ(face().reallocarray_(old, product.count, product.size), nullptr);
    EXPECT_EQ(errno, ENOMEM) << product.count << " * " << product.size;
    for (int i = 0; i < 100; i++) ASSERT_EQ(old[i], 0x5a);
    face().free_(old);
  }
}

// C17 7.22.3.5p3: "If size is nonzero and memory for the new object is not
// allocated, the old object is not deallocated, ... and its value shall be
// unchanged."
TEST_P(FaceLimits, ReallocThatFailsLeavesTheOldBlock) {
  for (const size_t old_size :
       {size_t{1}, size_t{24}, size_t{5000}, size_t{100000}, size_t{5} << 20}) {
    auto* const old = static_cast<unsigned char*>(face().malloc_(old_size));
    ASSERT_NE(old, nullptr);
    for (size_t i = 0; i < old_size; i++)
      old[i] = static_cast<unsigned char>(i * 131 + 7);
    for (const size_t size : kTooLarge) {
      errno = 0;
      EXPECT_EQ(face().realloc_(old, size), nullptr) << size;
      EXPECT_EQ(errno, ENOMEM) << size;
    }
    for (size_t i = 0; i < old_size; i++) {
      ASSERT_EQ(old[i], static_cast<unsigned char>(i * 131 + 7))
          << "byte " << i << " of " << old_size;
    }
    face().free_(old);
  }
}

// POSIX posix_memalign: "Upon successful completion, posix_memalign() shall
// return zero; otherwise, an error number shall be returned to indicate the
// error and the contents of memptr shall either be left unmodified or be set to
// a null pointer"; posix_memalign(3): "The value of errno is not set".
TEST_P(FaceLimits, PosixMemalignReturnsItsErrorAndTouchesNothing) {
  struct Case {
    size_t alignment;
    size_t size;
    int error;
  };
  constexpr Case kCases[] = {
      {0, 8, EINVAL},
      {1, 8, EINVAL},
      {2, 8, EINVAL},
      {4, 8, EINVAL},
      {12, 8, EINVAL},
      {sizeof(void*) * 3, 8, EINVAL},
      {4, SIZE_MAX, EINVAL},
      {8, SIZE_MAX, ENOMEM},
      {64, size_t{PTRDIFF_MAX} + 1, ENOMEM},
      {4096, SIZE_MAX - 4096, ENOMEM},
      {size_t{1} << 40, SIZE_MAX - (size_t{1} << 40), ENOMEM},
  };
  for (const Case& c : kCases) {
    int marker = 0;
    void* pointer = &marker;
    errno = E2BIG;
    EXPECT_EQ(face().posix_memalign_(&pointer, c.alignment, c.size), c.error)
        << c.alignment << ", " << c.size;
    EXPECT_EQ(pointer, &marker);
    // glibc 2.36 sets errno to ENOMEM by the way, against its manual.
    if (OnSpanmalloc() || c.error == EINVAL) {
      EXPECT_EQ(errno, E2BIG) << c.alignment << ", " << c.size;
    }
  }
}

// malloc(3) of pvalloc: "rounds the size of the allocation up to the next
// multiple of the system page size". The rounding must not wrap round to 0.
TEST_P(FaceLimits, PvallocRoundingDoesNotOverflow) {
  for (size_t below = 0; below <= 5000; below += 7) {
    errno = 0;
    void* const pointer = face().pvalloc_(SIZE_MAX - below);
    EXPECT_EQ(pointer, nullptr) << below;
    EXPECT_EQ(errno, ENOMEM) << below;
    Release(pointer);
  }
}

}  // namespace
}  // namespace conformance
