// The options tiny and tiny_align, in processes that are started with them:
// which sizes get which objects.
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "allocator/central/size_classes.h"

namespace {

constexpr size_t kMost = 32;

// What the objects of a process are like.
struct Rules {
  size_t align;                 // Of every object.
  std::vector<size_t> objects;  // Sizes of up to kMost, ascending.

  size_t ObjectSize(size_t size) const {
    return *std::lower_bound(objects.begin(), objects.end(), size);
  }
  size_t LeastAlignment(size_t size) const {
    return std::max<size_t>(align, size >= 16 ? 16 : size >= 8 ? 8 : 4);
  }
};

const Rules kDefault = {4, {4, 8, 12, 16, 24, 32}};
// No object of 4 bytes, so none of 12 as their host either.
const Rules kAlign8 = {8, {8, 16, 24, 32}};
const Rules kAlign16 = {16, {16, 32}};
const Rules kOff = {8, {8, 16, 32}};

const struct Row {
  const char* name;
  const char* options;
  const Rules* rules;
  const char* says = "";  // The one line on stderr.
} kRows[] = {
    {"Default", "", &kDefault},
    {"On", "tiny=on", &kDefault},
    {"Off", "tiny=off", &kOff},
    {"Empty", "tiny=,tiny_align=", &kDefault},
    {"Align4", "tiny_align=4", &kDefault},
    {"Align8", "tiny_align=8", &kAlign8},
    {"Align16", "tiny_align=16", &kAlign16},
    {"OffAlign4", "tiny_align=4,tiny=off", &kOff},
    {"OffAlign8", "tiny=off,tiny_align=8", &kOff},
    {"OffAlign16", "tiny=off,tiny_align=16", &kAlign16},
    {"TheLastOneCounts", "tiny_align=16,tiny_align=8", &kAlign8},
    {"BadTiny", "tiny=maybe", &kDefault,
     "spanmalloc: option tiny: \"maybe\" is not one of on|off; it stays at "
     "on\n"},
    {"BadAlign", "tiny_align=2", &kDefault,
     "spanmalloc: option tiny_align: \"2\" is not one of 4|8|16; it stays at "
     "4\n"},
    {"TooMuchAlign", "tiny_align=32", &kDefault,
     "spanmalloc: option tiny_align: \"32\" is not one of 4|8|16; it stays at "
     "4\n"},
    {"BadAlignAfterAGoodOne", "tiny_align=8,tiny_align=80", &kAlign8,
     "spanmalloc: option tiny_align: \"80\" is not one of 4|8|16; it stays at "
     "8\n"},
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.options; }

// ---- In the child

// What a child says goes to stdout: stderr is the allocator's.
#define CHECK(condition, size)                                            \
  do {                                                                    \
    if (!(condition)) {                                                   \
      std::printf("line %d: %s, size %zu\n", __LINE__, #condition, size); \
      return 1;                                                           \
    }                                                                     \
  } while (false)

uintptr_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

int CheckAllSizes(const Rules& rules) {
  struct Block {
    unsigned char* p;
    size_t size;
    size_t alignment;  // 0: as malloc has it.
    size_t usable;
  };
  std::vector<Block> blocks;
  for (int round = 0; round < 300; ++round) {
    for (size_t size = 0; size <= kMost; ++size) {
      blocks.push_back({static_cast<unsigned char*>(spanmalloc_malloc(size)),
                        size, 0, rules.ObjectSize(size)});
      // Of the alignments only those that give an object of these sizes.
      const size_t alignment = size_t{1} << round % 6;
      const size_t bytes =
          (std::max<size_t>(size, 1) + alignment - 1) / alignment * alignment;
      blocks.push_back({static_cast<unsigned char*>(
                            spanmalloc_aligned_alloc(alignment, size)),
                        size, alignment, rules.ObjectSize(bytes)});
    }
  }
  for (const Block& block : blocks) {
    const size_t size = block.size;
    CHECK(block.p != nullptr, size);
    CHECK(AddressOf(block.p) % rules.LeastAlignment(size) == 0, size);
    CHECK(block.alignment == 0 || AddressOf(block.p) % block.alignment == 0,
          size);
    CHECK(spanmalloc_malloc_usable_size(block.p) == block.usable, size);
    const int flags =
        block.alignment == 0 ? 0 : __builtin_ctzl(block.alignment);
    CHECK(spanmalloc_nallocx(size, flags) == block.usable, size);
    std::memset(block.p, static_cast<int>(AddressOf(block.p) / 4 % 251),
                block.usable);
  }
  for (const Block& block : blocks) {
    for (size_t i = 0; i < block.usable; ++i) {
      CHECK(block.p[i] == AddressOf(block.p) / 4 % 251, block.size);
    }
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Block& block = blocks[i];
    if (block.alignment != 0) {
      spanmalloc_free_aligned_sized(block.p, block.alignment, block.size);
    } else if (i % 3 == 0) {
      spanmalloc_free_sized(block.p, block.size);
    } else if (i % 3 == 1) {
      spanmalloc_sdallocx(block.p, block.size, 0);
    } else {
      spanmalloc_free(block.p);
    }
  }
  // From every size to every other.
  for (size_t from = 1; from <= kMost; ++from) {
    for (size_t to = 1; to <= kMost; ++to) {
      void* const p = spanmalloc_realloc(spanmalloc_malloc(from), to);
      CHECK(spanmalloc_malloc_usable_size(p) == rules.ObjectSize(to), to);
      CHECK(AddressOf(p) % rules.LeastAlignment(to) == 0, to);
      spanmalloc_free_sized(p, to);
    }
  }
  spanmalloc_malloc_trim(0);
  return 0;
}

// ---- In the parent

std::string ReadAll(int file) {
  std::string text;
  char buffer[1000];
  lseek(file, 0, SEEK_SET);
  for (ssize_t n; (n = read(file, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

class TinyOptions : public testing::TestWithParam<Row> {};
INSTANTIATE_TEST_SUITE_P(Rows, TinyOptions, testing::ValuesIn(kRows),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST_P(TinyOptions, GiveTheObjectsTheySay) {
  std::FILE* const errors = std::tmpfile();
  ASSERT_NE(errors, nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    dup2(fileno(errors), STDERR_FILENO);
    setenv("SPANMALLOC_OPTIONS", GetParam().options, 1);
    execl("/proc/self/exe", "tiny_options_test", "row", GetParam().name,
          nullptr);
    _exit(99);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(ReadAll(fileno(errors)), GetParam().says);
  std::fclose(errors);
}

// The loader may allocate before the options can be read.
TEST(TinyOptionsDeathTest, BlocksFromBeforeTheOptionsAreFreedBySize) {
  for (const size_t alignment : {4, 8, 16}) {
    for (const bool combine : {false, true}) {
      const auto change = [=] {
        std::vector<void*> blocks;
        for (size_t i = 0; i < 100 * (kMost + 1); ++i) {
          blocks.push_back(spanmalloc_malloc(i % (kMost + 1)));
        }
        spanmalloc::class_of_size.SetTiny(alignment, combine);
        for (size_t i = 0; i < blocks.size(); ++i) {
          spanmalloc_free_sized(blocks[i], i % (kMost + 1));
        }
        spanmalloc_malloc_trim(0);
        _exit(0);
      };
      EXPECT_EXIT(change(), testing::ExitedWithCode(0), "^$")
          << alignment << combine;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "row") == 0) {
    for (const Row& row : kRows) {
      if (std::strcmp(argv[2], row.name) == 0) {
        return CheckAllSizes(*row.rules);
      }
    }
    return 98;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
