#include "allocator/observe/render.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/observe/rendering.h"

namespace spanmalloc {
namespace {

TEST(Render, FormatsByName) {
  StatsFormat format = StatsFormat::kText;
  EXPECT_TRUE(ParseStatsFormat("prometheus", &format));
  EXPECT_EQ(format, StatsFormat::kPrometheus);
  EXPECT_TRUE(ParseStatsFormat("json", &format));
  EXPECT_EQ(format, StatsFormat::kJson);
  EXPECT_TRUE(ParseStatsFormat("text", &format));
  EXPECT_EQ(format, StatsFormat::kText);
  for (const char* name : {"", "Text", "text ", "xml", "tex"}) {
    EXPECT_FALSE(ParseStatsFormat(name, &format)) << name;
    EXPECT_EQ(format, StatsFormat::kText);
  }
}

TEST(Render, EachFormatIsItself) {
  const MemStats stats = ExampleStats();
  const auto render = [&stats](StatsFormat format) {
    return Rendered([&](TextWriter* out) { RenderStats(format, stats, out); });
  };
  EXPECT_EQ(render(StatsFormat::kText).rfind("spanmalloc ", 0), 0u);
  EXPECT_EQ(render(StatsFormat::kJson).rfind("{\n", 0), 0u);
  const std::string prometheus = render(StatsFormat::kPrometheus);
  EXPECT_EQ(prometheus.rfind("# HELP ", 0), 0u);
  EXPECT_NE(prometheus.find("\nprocess_open_fds "), std::string::npos);
}

TEST(Render, TheCompilerHasANameAndAVersion) {
  const std::string compiler = kCompiler;
  EXPECT_NE(compiler.find(' '), std::string::npos) << compiler;
  EXPECT_TRUE(isalpha(compiler[0])) << compiler;
}

}  // namespace
}  // namespace spanmalloc
