#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <string>

#include "allocator/observe/metrics.h"
#include "allocator/observe/render.h"
#include "tests/observe/rendering.h"

namespace spanmalloc {
namespace {

// The grammar of JSON, as far as it is used: no fractions, no true and false.
class Parser {
 public:
  explicit Parser(const std::string& text) : at_(text.c_str()) {}

  bool Document() { return Value() && Peek() == '\0'; }

 private:
  char Peek() {
    while (*at_ == ' ' || *at_ == '\n') ++at_;
    return *at_;
  }
  bool Eat(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  bool String() {
    if (!Eat('"')) return false;
    for (; *at_ != '"'; ++at_) {
      if (static_cast<unsigned char>(*at_) < ' ') return false;
      if (*at_ == '\\') ++at_;
    }
    ++at_;
    return true;
  }
  bool Number() {
    if (!isdigit(Peek())) return false;
    if (*at_ == '0') return !isdigit(*++at_);
    while (isdigit(*at_)) ++at_;
    return true;
  }
  template <typename F>
  bool List(char open, char close, F&& item) {
    if (!Eat(open)) return false;
    if (Eat(close)) return true;
    do {
      if (!item()) return false;
    } while (Eat(','));
    return Eat(close);
  }
  bool Value() {
    switch (Peek()) {
      case '{':
        return List('{', '}',
                    [this] { return String() && Eat(':') && Value(); });
      case '[':
        return List('[', ']', [this] { return Value(); });
      case '"':
        return String();
      default:
        return Number();
    }
  }

  const char* at_;
};

std::string Json(const MemStats& stats) {
  return Rendered([&](TextWriter* out) { RenderJson(stats, out); });
}

TEST(RenderJson, IsJson) {
  EXPECT_TRUE(Parser(Json(ExampleStats())).Document());
  EXPECT_TRUE(Parser(Json(MemStats{})).Document());
}

TEST(RenderJson, EveryMetricOnce) {
  const MemStats stats = ExampleStats();
  const std::string json = Json(stats);
  for (const Metric& metric : kMetrics) {
    const std::string key = std::string("\n  \"") + metric.name + "\": ";
    const size_t at = json.find(key);
    ASSERT_NE(at, std::string::npos) << key;
    EXPECT_EQ(json.find(key, at + 1), std::string::npos) << key;
    const std::string value = std::to_string(stats.*metric.value) + ",";
    EXPECT_EQ(json.compare(at + key.size(), value.size(), value), 0) << key;
  }
  EXPECT_NE(json.find("\"pid\": " + std::to_string(getpid()) + ","),
            std::string::npos);
}

TEST(RenderJson, EverySizeClass) {
  EXPECT_NE(
      Json(ExampleStats())
          .find("  \"by_size\": [\n"
                "    {\"size\": 16, \"mallocs\": 2003, \"frees\": 1001},\n"
                "    {\"size\": 48, \"mallocs\": 0, \"frees\": 0},\n"
                "    {\"size\": 32768, \"mallocs\": 305, \"frees\": 205}\n"
                "  ]\n"
                "}\n"),
      std::string::npos);
}

}  // namespace
}  // namespace spanmalloc
