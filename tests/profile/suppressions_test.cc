#include "allocator/profile/suppressions.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace spanmalloc {
namespace {

Text T(const char* text) { return {text, strlen(text)}; }

bool Matches(const char* pattern, const char* name) {
  return MatchesPattern(T(pattern), T(name));
}

uint32_t Traits(const char* function, const char* module,
                const char* patterns = "", const char* decoded = "") {
  return TraitsOf({T(function), T(decoded), T(module)}, T(patterns));
}

bool IsSuppressed(const std::vector<uint32_t>& traits) {
  return spanmalloc::IsSuppressed(traits.data(), traits.size());
}

TEST(SuppressionsTest, Patterns) {
  EXPECT_TRUE(Matches("name", "name"));
  EXPECT_FALSE(Matches("name", "names"));
  EXPECT_FALSE(Matches("names", "name"));
  EXPECT_TRUE(Matches("*", ""));
  EXPECT_TRUE(Matches("", ""));
  EXPECT_FALSE(Matches("", "a"));
  EXPECT_TRUE(Matches("*am*", "name"));
  EXPECT_TRUE(Matches("n*e", "name"));
  EXPECT_TRUE(Matches("n*e", "ne"));
  EXPECT_FALSE(Matches("n*e", "names"));
  EXPECT_TRUE(Matches("a*b*c", "abxbxc"));
  EXPECT_FALSE(Matches("a*b*c", "abxbx"));
  EXPECT_TRUE(Matches("*ab", "aab"));
  EXPECT_FALSE(Matches("a.c", "abc"));
}

TEST(SuppressionsTest, TheUsersList) {
  const char* const list =
      "# f\n\n  Cache::*\t\r\n_Zend\nlibx.so*\n/opt/*\nlast";
  EXPECT_EQ(Traits("f", "m", list), kNoTraits);
  EXPECT_EQ(Traits("# f", "m", list), kNoTraits);
  EXPECT_EQ(Traits("_Zx", "m", list, "Cache::Fill(int)"), kSuppressed);
  EXPECT_EQ(Traits("_Zend", "m", list, "end()"), kSuppressed);
  EXPECT_EQ(Traits("f", "/usr/lib/libx.so.1", list), kSuppressed);
  EXPECT_EQ(Traits("f", "/opt/bin/x", list), kSuppressed);
  EXPECT_EQ(Traits("last", "m", list), kSuppressed);
  EXPECT_EQ(Traits("las", "m", list), kNoTraits);
  // * is no unknown name.
  EXPECT_EQ(Traits("", "", "*"), kNoTraits);
}

TEST(SuppressionsTest, AnyFrameOfTheUsers) {
  EXPECT_FALSE(IsSuppressed({}));
  EXPECT_FALSE(IsSuppressed({0, 0}));
  EXPECT_TRUE(IsSuppressed({0, 0, kSuppressed}));
}

TEST(SuppressionsTest, BuffersOfStreams) {
  EXPECT_TRUE(
      IsSuppressed({Traits("_IO_file_doallocate", "/lib/libc.so.6"), 0}));
  EXPECT_FALSE(IsSuppressed({Traits("fopen", "/lib/libc.so.6"), 0}));
}

TEST(SuppressionsTest, TheDynamicLinkerItselfButNotWhatItCalls) {
  const uint32_t linker = Traits("", "/lib64/ld-linux-x86-64.so.2");
  EXPECT_TRUE(IsSuppressed({linker, 0}));
  EXPECT_FALSE(IsSuppressed({0, linker}));
  EXPECT_TRUE(IsSuppressed({Traits("_dl_new_object", "/bin/static"), 0}));
  EXPECT_FALSE(IsSuppressed({0, Traits("_dl_init", "/bin/static")}));
}

TEST(SuppressionsTest, TheCxxRuntimesStartButNotItsWorkForOthers) {
  const uint32_t runtime = Traits("", "/lib/libstdc++.so.6.0.30");
  const uint32_t linker = Traits("", "/lib64/ld-linux-x86-64.so.2");
  EXPECT_TRUE(IsSuppressed({runtime, runtime, linker, linker}));
  EXPECT_FALSE(IsSuppressed({runtime, 0, linker}));
  EXPECT_FALSE(IsSuppressed({runtime}));
}

}  // namespace
}  // namespace spanmalloc
