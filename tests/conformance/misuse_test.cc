// Conformance of another kind: what the standards leave undefined, spanmalloc
// answers with one line on stderr and SIGABRT. Each misuse runs in a child.
//
// Not run against other allocators: it tests nothing unless the program's
// malloc is spanmalloc's.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/child.h"
#include "tests/conformance/entries.h"

namespace conformance {
namespace {

struct Misuse {
  std::string name;
  std::string message;  // Some text that the line has to contain.
  std::function<void()> commit;
};

void PrintTo(const Misuse& misuse, std::ostream* out) { *out << misuse.name; }

const Face& C() { return StandardFace(); }

// The ways in which a freed block is freed again while other things happen.
void FreeTwiceAmongOthers(size_t size, size_t between) {
  std::vector<void*> blocks(between + 6000);
  for (void*& block : blocks) block = C().malloc_(size);
  for (size_t i = 0; i <= between; i++) C().free_(blocks[i]);
  C().free_(blocks[0]);
  // More frees of the class than any cache holds: the object reaches its span.
  for (size_t i = between + 1; i < blocks.size(); i++) C().free_(blocks[i]);
}

void FreeTwiceAcrossThreads(size_t size) {
  void* const block = C().malloc_(size);
  std::thread([block] { C().free_(block); }).join();
  std::thread([block] {
    C().free_(block);
  }).join();  // Its cache goes home when it ends.
}

void FreeOffset(size_t size, ptrdiff_t offset) {
  char* const block = static_cast<char*>(C().malloc_(size));
  C().free_(block + offset);
}

std::vector<Misuse> MakeMisuses() {
  std::vector<Misuse> list;
  const auto add = [&list](std::string name, std::string message,
                           std::function<void()> commit) {
    list.push_back({std::move(name), std::move(message), std::move(commit)});
  };
  const std::string kDouble = "double free of 0x";
  const bool sampled = getenv("SPANMALLOC_OPTIONS") != nullptr;
  const size_t largest_small = sampled ? 24576 : 32768;

  add("DoubleFree48", "(48-byte class)", [] {
    void* const block = C().malloc_(48);
    C().free_(block);
    C().free_(block);
  });
  for (const size_t size :
       {size_t{1}, size_t{4}, size_t{8}, size_t{12}, size_t{16}, size_t{24},
        size_t{100}, size_t{1000}, size_t{4096}, size_t{30000}, size_t{40000},
        size_t{300000}, size_t{3} << 20, size_t{100} << 20}) {
    const std::string suffix = std::to_string(size);
    // A large block's pages are nobody's once they are free: the line may say
    // just that.
    // (A sample of the largest class is such a block, too.)
    const std::string immediate = size <= largest_small ? kDouble : "";
    add("DoubleFree" + suffix, immediate, [size] {
      void* const block = C().malloc_(size);
      C().free_(block);
      C().free_(block);
    });
    add("FreeThenDelete" + suffix, immediate, [size] {
      void* const block = CxxOperators()._Znwm_(size);
      C().free_(block);
      CxxOperators()._ZdlPvm_(block, size);
    });
    add("DoubleFreeAcrossThreads" + suffix, "",
        [size] { FreeTwiceAcrossThreads(size); });
    if (size > 2000) continue;
    add("DoubleFreeWithOneBetween" + suffix, "",
        [size] { FreeTwiceAmongOthers(size, 1); });
    add("DoubleFreeWithSomeBetween" + suffix, "",
        [size] { FreeTwiceAmongOthers(size, 20); });
    add("DoubleFreeWithManyBetween" + suffix, "",
        [size] { FreeTwiceAmongOthers(size, 3000); });
  }
  add("DoubleFreeOfAnAlignedBlock", kDouble, [] {
    void* const block = C().memalign_(4096, 100);
    C().free_(block);
    C().free_(block);
  });
  add("ReallocOfAFreedBlock", "", [] {
    void* const block = C().malloc_(300000);
    C().free_(block);
    C().realloc_(block, 400000);
  });
  add("ReallocOfAFreedHugeBlock", "", [] {
    void* const block = C().malloc_(size_t{64} << 20);
    C().free_(block);
    C().realloc_(block, size_t{128} << 20);
  });
  add("UsableSizeOfAFreedLargeBlock", "", [] {
    void* const block = C().malloc_(300000);
    C().free_(block);
    C().malloc_usable_size_(block);
  });

  static int in_data = 0;
  static char in_bss[65536];
  add("FreeOfTheStack", "", [] {
    alignas(16) volatile char on_stack[64] = {};
    C().free_(const_cast<char*>(on_stack));
  });
  add("FreeOfStaticData", "", [] { C().free_(&in_data); });
  add("FreeOfBss", "", [] { C().free_(in_bss + 4096); });
  add("FreeOfCode", "",
      [] { C().free_(reinterpret_cast<void*>(&FreeOffset)); });
  add("FreeOfNullPlus8", "", [] { C().free_(reinterpret_cast<void*>(8)); });
  add("FreeOfMinusOne", "",
      [] { C().free_(reinterpret_cast<void*>(~uintptr_t{0})); });
  add("FreeOfMinus16", "",
      [] { C().free_(reinterpret_cast<void*>(~uintptr_t{15})); });
  add("FreeOfANonCanonicalAddress", "", [] {
    C().free_(reinterpret_cast<void*>(uintptr_t{0x1234567890abcdef}));
  });
  add("FreeOfAKernelAddress", "", [] {
    C().free_(reinterpret_cast<void*>(uintptr_t{0xffff800000001000}));
  });
  add("FreeOfMmap", "", [] {
    C().free_(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  });
  add("FreeOfMmapInside", "", [] {
    char* const map =
        static_cast<char*>(mmap(nullptr, 8 << 20, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    C().free_(map + (4 << 20));
  });
  add("ReallocOfTheStack", "", [] {
    volatile char on_stack[64] = {};
    C().realloc_(const_cast<char*>(on_stack), 100);
  });
  add("UsableSizeOfStaticData", "", [] { C().malloc_usable_size_(&in_data); });
  add("DeleteOfStaticData", "", [] { CxxOperators()._ZdlPv_(&in_data); });

  // Interior pointers: of small blocks at every kind of offset, of large ones
  // by pages too.
  for (const size_t size :
       {size_t{12}, size_t{16}, size_t{24}, size_t{48}, size_t{112},
        size_t{640}, size_t{4096}, size_t{20480}}) {
    for (const size_t offset : {size_t{1}, size_t{7}, size_t{8}, size_t{16},
                                size - size / 4, size - 1}) {
      if (offset >= size) continue;
      add("FreeInside" + std::to_string(size) + "At" + std::to_string(offset),
          "",
          [size, offset] { FreeOffset(size, static_cast<ptrdiff_t>(offset)); });
    }
  }
  for (const size_t size :
       {size_t{1} << 18, size_t{3} << 20, size_t{80} << 20}) {
    for (const size_t offset :
         {size_t{1}, size_t{8}, size_t{16}, size_t{4096}, size_t{8192},
          size_t{65536}, size_t{1} << 20, size_t{2} << 20, size - 16}) {
      if (offset >= size) continue;
      add("FreeInside" + std::to_string(size) + "At" + std::to_string(offset),
          "",
          [size, offset] { FreeOffset(size, static_cast<ptrdiff_t>(offset)); });
    }
  }
  // Aligned, in a span of small objects, never given out: the tail after the
  // last object, and objects that are still free.
  add("FreeOfAnObjectNeverGivenOut", "", [] {
    // The neighbours of a lone object: each was either never given out or is no
    // object at all.
    char* const block = static_cast<char*>(C().malloc_(20480));
    C().free_(block + 20480);
    C().free_(block - 20480);
    C().free_(block + 2 * 20480);
    std::vector<void*> others(4000);
    for (void*& other : others) other = C().malloc_(20480);
    for (void* other : others) C().free_(other);
  });
  add("InteriorRealloc", "", [] {
    char* const block = static_cast<char*>(C().malloc_(1000));
    C().realloc_(block + 16, 2000);
  });

  // C23 7.24.3.4: free_sized with a size other than requested is undefined.
  struct Wrong {
    size_t size;
    size_t told;
  };
  for (const Wrong wrong :
       {Wrong{48, 1000}, Wrong{1000, 48}, Wrong{100, 0}, Wrong{100, 300000},
        Wrong{300000, 100}, Wrong{300000, 3 << 20},
        Wrong{size_t{64} << 20, 4096}, Wrong{64, 128}, Wrong{4, 12},
        Wrong{12, 4}, Wrong{8, 24}, Wrong{24, 8}, Wrong{12, 16},
        Wrong{16, 12}}) {
    const std::string suffix =
        std::to_string(wrong.size) + "As" + std::to_string(wrong.told);
    add("SizedFree" + suffix, "",
        [wrong] { C().free_sized_(C().malloc_(wrong.size), wrong.told); });
    add("SizedDelete" + suffix, "", [wrong] {
      CxxOperators()._ZdlPvm_(CxxOperators()._Znwm_(wrong.size), wrong.told);
    });
    add("Sdallocx" + suffix, "",
        [wrong] { C().sdallocx_(C().malloc_(wrong.size), wrong.told, 0); });
  }
  add("SizedFreeOfStaticData", "",
      [] { C().free_sized_(&in_data, sizeof(in_data)); });
  add("SizedFreeOfAnInteriorPointer", "",
      [] { C().free_sized_(static_cast<char*>(C().malloc_(4096)) + 48, 48); });
  return list;
}

std::vector<Misuse> Misuses() {
  return OnSpanmalloc() ? MakeMisuses() : std::vector<Misuse>();
}

class MisuseTest : public testing::TestWithParam<Misuse> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MisuseTest);
INSTANTIATE_TEST_SUITE_P(Every, MisuseTest, testing::ValuesIn(Misuses()),
                         EntryName());

TEST_P(MisuseTest, AbortsWithOneLine) {
  const ChildResult result = RunInChild([] {
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    GetParam().commit();
  });
  EXPECT_FALSE(result.exited) << "the misuse went unnoticed";
  if (!result.exited) {
    EXPECT_EQ(result.status, SIGABRT) << strsignal(result.status);
  }
  const std::string& text = result.stderr_text;
  EXPECT_EQ(text.rfind("spanmalloc: ", 0), 0u) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << "not one line: " << text;
  EXPECT_NE(text.find(GetParam().message), std::string::npos) << text;
}

TEST(MisuseSuite, RunsOnSpanmalloc) {
  if (!OnSpanmalloc()) GTEST_SKIP() << "not spanmalloc: nothing to test";
  EXPECT_FALSE(Misuses().empty());
}

}  // namespace
}  // namespace conformance
