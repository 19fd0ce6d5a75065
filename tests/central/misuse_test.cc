#include "allocator/central/misuse.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>

namespace spanmalloc {
namespace {

void* const kPointer = reinterpret_cast<void*>(uintptr_t{0x7f12345678});

TEST(MisuseDeathTest, DoubleFree) {
  EXPECT_EXIT(ReportDoubleFree(kPointer, 48), testing::KilledBySignal(SIGABRT),
              "^spanmalloc: double free of 0x7f12345678 \\(48-byte class\\)\n");
}

TEST(MisuseDeathTest, InvalidPointer) {
  EXPECT_EXIT(ReportInvalidPointer("realloc", kPointer),
              testing::KilledBySignal(SIGABRT),
              "^spanmalloc: realloc of 0x7f12345678, which is not the start of "
              "a live block\n");
}

TEST(MisuseDeathTest, WrongSize) {
  EXPECT_EXIT(ReportWrongSize(kPointer, 100, 64),
              testing::KilledBySignal(SIGABRT),
              "^spanmalloc: sized free of 0x7f12345678 with size 100, but the "
              "block has 64 bytes\n");
}

}  // namespace
}  // namespace spanmalloc
