// Memory that is there, and memory that is not.

#include "allocator/os/own_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace spanmalloc {
namespace {

uint64_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

class OwnMemoryTest : public testing::Test {
 protected:
  void SetUp() override { errno = EXDEV; }
  void TearDown() override { EXPECT_EQ(errno, EXDEV); }

  OwnMemory memory_;
  char out_[64] = {};
};

TEST_F(OwnMemoryTest, ReadsWhatIsThere) {
  const char text[] = "some text";
  ASSERT_TRUE(memory_.Read(AddressOf(text), out_, sizeof(text)));
  EXPECT_STREQ(out_, text);
  EXPECT_TRUE(memory_.Read(AddressOf(text), out_, 0));
}

TEST_F(OwnMemoryTest, WhatIsNotMapped) {
  const size_t page = static_cast<size_t>(getpagesize());
  char* const p =
      static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(p, MAP_FAILED);
  memset(p, 7, 2 * page);
  EXPECT_TRUE(memory_.Read(AddressOf(p + page - 8), out_, 16));
  ASSERT_EQ(munmap(p + page, page), 0);
  EXPECT_FALSE(memory_.Read(AddressOf(p + page - 8), out_, 16));
  EXPECT_TRUE(memory_.Read(AddressOf(p + page - 8), out_, 8));
  EXPECT_EQ(out_[7], 7);
  ASSERT_EQ(munmap(p, page), 0);
  EXPECT_FALSE(memory_.Read(AddressOf(p), out_, 1));
  EXPECT_FALSE(memory_.Read(0, out_, 1));
  EXPECT_FALSE(memory_.Read(UINT64_MAX - 3, out_, 1));
}

TEST_F(OwnMemoryTest, AFileThatWasCutShort) {
  char path[] = "/tmp/spanmalloc-own-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  unlink(path);
  const size_t page = static_cast<size_t>(getpagesize());
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(page)), 0);
  void* const p = mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(p, MAP_FAILED);
  EXPECT_TRUE(memory_.Read(AddressOf(p), out_, 16));
  ASSERT_EQ(ftruncate(fd, 0), 0);
  EXPECT_FALSE(memory_.Read(AddressOf(p), out_, 16));
  munmap(p, page);
  close(fd);
}

}  // namespace
}  // namespace spanmalloc
