#include "allocator/api/options.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace spanmalloc {
namespace {

constexpr uint64_t kKi = 1024, kMi = kKi * kKi, kGi = kMi * kKi,
                   kTi = kGi * kKi;

// Parses the text and returns what it says on stderr.
std::string Parse(const char* text, Options* options) {
  testing::internal::CaptureStderr();
  ParseOptions(text, options);
  return testing::internal::GetCapturedStderr();
}

void ExpectEqual(const Options& a, const Options& b) {
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help) \
  EXPECT_EQ(a.key, b.key);
#define SPANMALLOC_CHOICE_OPTION(key, choices, help) EXPECT_EQ(a.key, b.key);
#define SPANMALLOC_TEXT_OPTION(key, help) EXPECT_STREQ(a.key.data, b.key.data);
#include "allocator/api/options.def"
}

bool IsOfCgroup(const std::string& type) { return type == "kCgroup"; }

TEST(Options, NothingChangesNothing) {
  for (const char* text :
       {static_cast<const char*>(nullptr), "", ",", ",,,,"}) {
    Options options;
    EXPECT_EQ(Parse(text, &options), "");
    ExpectEqual(options, Options());
  }
}

TEST(Options, Bytes) {
  const struct {
    const char* text;
    uint64_t value;
  } rows[] = {
      {"1048576", kMi},   {"1234567", 1234567},    {"1024K", kMi},
      {"2048k", 2 * kMi}, {"16M", 16 * kMi},       {"17m", 17 * kMi},
      {"3G", 3 * kGi},    {"4g", 4 * kGi},         {"1T", kTi},
      {"1t", kTi},        {"0001048577", kMi + 1},
  };
  for (const auto& row : rows) {
    Options options, expected;
    expected.thread_cache_bytes = row.value;
    const std::string text = std::string("thread_cache_bytes=") + row.text;
    EXPECT_EQ(Parse(text.c_str(), &options), "") << text;
    ExpectEqual(options, expected);
  }
}

TEST(Options, Flags) {
  const struct {
    const char* text;
    uint64_t value;
  } rows[] = {{"help=1", 1}, {"help", 1}, {"help=0", 0}, {"help,help=0", 0}};
  for (const auto& row : rows) {
    Options options;
    EXPECT_EQ(Parse(row.text, &options), "") << row.text;
    EXPECT_EQ(options.help, row.value) << row.text;
  }
}

TEST(Options, SeveralFromLeftToRight) {
  Options options, expected;
  expected.thread_cache_bytes = 3 * kMi;
  expected.window_bytes = kGi;
  expected.help = 1;
  EXPECT_EQ(Parse(",thread_cache_bytes=2M,window_bytes=1G,,help,"
                  "thread_cache_bytes=3M,",
                  &options),
            "");
  ExpectEqual(options, expected);
}

TEST(Options, TheEndsOfRangesAreInThem) {
  const struct {
    const char* key;
    uint64_t Options::*value;
    uint64_t least;
    uint64_t most;
    bool of_cgroup;
  } rows[] = {
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help) \
  {#key, &Options::key, least, most, IsOfCgroup(#type)},
#define SPANMALLOC_CHOICE_OPTION(key, choices, help)
#define SPANMALLOC_TEXT_OPTION(key, help)
#include "allocator/api/options.def"
  };
  for (const auto& row : rows) {
    const std::string key = row.key;
    for (const uint64_t value : {row.least, row.most}) {
      Options options;
      EXPECT_EQ(Parse((key + "=" + std::to_string(value)).c_str(), &options),
                "");
      EXPECT_EQ(options.*row.value, value) << key;
    }
    Options options;
    const uint64_t kept = options.*row.value;
    EXPECT_GE(kept, row.least);
    EXPECT_LE(kept, row.most);
    const std::string above = std::to_string(row.most + 1);
    EXPECT_EQ(Parse((key + "=" + above).c_str(), &options),
              "spanmalloc: option " + key + ": \"" + above +
                  "\" is not a number from " + std::to_string(row.least) +
                  " to " + std::to_string(row.most) +
                  (row.of_cgroup ? " or cgroup" : "") + "; it stays at " +
                  std::to_string(kept) + "\n");
    EXPECT_EQ(options.*row.value, kept);
  }
}

TEST(Options, BadValuesAreToldAndIgnored) {
  for (const char* value : {"",
                            "x",
                            "-1",
                            "+1048576",
                            " 1048576",
                            "1048576 ",
                            "1M ",
                            "M",
                            "1MB",
                            "1MM",
                            "1.5M",
                            "0x100000",
                            "1P",
                            "1048575",
                            "0",
                            "18446744073709551615",
                            "18446744073709551616",
                            "18014398509481984K",
                            "16777216T",
                            "99999999999999999999999999",
                            "2M=3M"}) {
    Options options, expected;
    expected.window_bytes = 5 * kMi;
    const std::string text =
        std::string("thread_cache_bytes=") + value + ",window_bytes=5M";
    EXPECT_EQ(Parse(text.c_str(), &options),
              std::string("spanmalloc: option thread_cache_bytes: \"") + value +
                  "\" is not a number from 1048576 to 1099511627776; it stays "
                  "at 33554432\n");
    ExpectEqual(options, expected);
  }
}

TEST(Options, Durations) {
  const struct {
    const char* text;
    uint64_t milliseconds;
  } rows[] = {
      {"scavenge_delay=250", 250},
      {"scavenge_delay=250ms", 250},
      {"scavenge_delay=5s", 5000},
      {"scavenge_delay=2m", 120000},
      {"scavenge_delay=1", 1},
      {"scavenge_delay=1440m", 86400000},
      {"scavenge_delay=0", 1000},
      {"scavenge_delay=1441m", 1000},
      {"scavenge_delay=5h", 1000},
      {"scavenge_delay=5S", 1000},
      {"scavenge_delay=s", 1000},
      {"scavenge_delay=5ss", 1000},
      {"scavenge_delay=5K", 1000},
      {"scavenge_delay=5 s", 1000},
      {"scavenge_delay=999999999999999999m", 1000},
  };
  for (const auto& row : rows) {
    Options options;
    testing::internal::CaptureStderr();
    ParseOptions(row.text, &options);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(options.scavenge_delay, row.milliseconds) << row.text;
    // The row that writes the default is right, too.
    EXPECT_EQ(said.empty(), row.milliseconds != 1000) << row.text;
  }
}

TEST(Options, ALimitMayBeTheControlGroups) {
  const struct {
    const char* text;
    uint64_t limit;
    bool right;
  } rows[] = {
      {"memory_limit=cgroup", kCgroupLimit, true},
      {"memory_limit=512M", 512 << 20, true},
      {"memory_limit=0", 0, true},
      {"memory_limit=cgroups", 0, false},
      {"memory_limit=", 0, false},
      {"memory_limit=18446744073709551615", 0, false},
      {"memory_limit_hard=cgroup", 0, false},
  };
  for (const auto& row : rows) {
    Options options;
    testing::internal::CaptureStderr();
    ParseOptions(row.text, &options);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(options.memory_limit, row.limit) << row.text;
    EXPECT_EQ(said.empty(), row.right) << row.text << said;
  }
}

TEST(Options, AFlagTakesNoSuffix) {
  for (const char* text : {"help=2", "help=0K", "help=yes", "help="}) {
    Options options;
    EXPECT_NE(Parse(text, &options).find("is not a number from 0 to 1"),
              std::string::npos)
        << text;
    EXPECT_EQ(options.help, 0u);
  }
}

// The value stays what it was, not what it was at first.
TEST(Options, ABadValueKeepsTheOneBefore) {
  Options options;
  const std::string told =
      Parse("thread_cache_bytes=2M,thread_cache_bytes=x", &options);
  EXPECT_NE(told.find("it stays at 2097152\n"), std::string::npos) << told;
  EXPECT_EQ(options.thread_cache_bytes, 2 * kMi);
}

TEST(Options, Choices) {
  const struct {
    const char* text;
    uint64_t value;
  } rows[] = {{"stats_format=text", 0},
              {"stats_format=json", 1},
              {"stats_format=prometheus", 2},
              {"stats_format=json,stats_format=", 0},
              {"stats_format=json,stats_format", 0}};
  for (const auto& row : rows) {
    Options options, expected;
    expected.stats_format = row.value;
    EXPECT_EQ(Parse(row.text, &options), "") << row.text;
    ExpectEqual(options, expected);
  }
}

TEST(Options, NoChoiceIsToldAndIgnored) {
  for (const char* value :
       {"xml", "1", "jso", "jsonx", "JSON", " json", "|", "text|json"}) {
    Options options, expected;
    expected.stats_format = 2;
    const std::string text =
        std::string("stats_format=prometheus,stats_format=") + value;
    EXPECT_EQ(Parse(text.c_str(), &options),
              std::string("spanmalloc: option stats_format: \"") + value +
                  "\" is not one of text|json|prometheus; it stays at "
                  "prometheus\n");
    ExpectEqual(options, expected);
  }
}

TEST(Options, Texts) {
  for (const std::string& value :
       {std::string("/tmp/a=b %p"), std::string(), std::string(255, 'x')}) {
    Options options;
    EXPECT_EQ(
        Parse(("stats_at_exit=stderr,stats_at_exit=" + value + ",help").c_str(),
              &options),
        "");
    EXPECT_EQ(options.stats_at_exit.data, value);
    EXPECT_TRUE(options.stats_at_exit.Is(value.c_str()));
    EXPECT_EQ(options.help, 1u);
  }
}

TEST(Options, ATooLongTextIsToldAndIgnored) {
  Options options;
  EXPECT_EQ(
      Parse(("stats_at_exit=stderr,stats_at_exit=" + std::string(256, 'x'))
                .c_str(),
            &options),
      "spanmalloc: option stats_at_exit: the value is longer than 255 "
      "bytes; it stays at \"stderr\"\n");
  EXPECT_TRUE(options.stats_at_exit.Is("stderr"));
}

TEST(Options, UnknownKeysAreToldAndIgnored) {
  for (const char* key : {"no_such_option", "Help", "help ", " help", "hel",
                          "helpp", "thread_cache_byte", "\"", "="}) {
    Options options;
    const std::string text = std::string(key) + "=1";
    const std::string named = key[0] == '=' ? "" : key;
    EXPECT_EQ(Parse(text.c_str(), &options),
              "spanmalloc: unknown option \"" + named +
                  "\" (SPANMALLOC_OPTIONS=help lists them)\n");
    ExpectEqual(options, Options());
  }
}

TEST(Options, LongTextsAreCut) {
  Options options;
  const std::string told =
      Parse((std::string(5000, 'k') + "=1,help").c_str(), &options);
  EXPECT_EQ(told.rfind("spanmalloc: unknown option \"kkkk", 0), 0u);
  EXPECT_LT(told.size(), 1000u);
  EXPECT_EQ(told.back(), '\n');
  EXPECT_EQ(options.help, 1u) << "what follows is still read";
}

TEST(Options, TheListNamesAllWithValuesAndRanges) {
  Options options;
  options.window_bytes = 7 * kMi;
  std::vector<std::string> lines;
  ListOptions(
      options,
      [](void* context, Message* line) {
        static_cast<std::vector<std::string>*>(context)->emplace_back(
            line->data(), line->size());
      },
      &lines);
  size_t i = 0;
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help)     \
  ASSERT_LT(i, lines.size());                                              \
  EXPECT_EQ(lines[i++],                                                    \
            "spanmalloc: " #key "=" + std::to_string(options.key) + " (" + \
                std::to_string(uint64_t{least}) + " to " +                 \
                std::to_string(uint64_t{most}) +                           \
                (IsOfCgroup(#type) ? " or cgroup" : "") + "): " + help)    \
      << "it has to fit into one message";
#define SPANMALLOC_CHOICE_OPTION(key, choices, help)                    \
  ASSERT_LT(i, lines.size());                                           \
  EXPECT_EQ(lines[i++],                                                 \
            "spanmalloc: " #key "=" +                                   \
                std::string(choices).substr(0, strcspn(choices, "|")) + \
                " (" choices "): " help);
#define SPANMALLOC_TEXT_OPTION(key, help) \
  ASSERT_LT(i, lines.size());             \
  EXPECT_EQ(lines[i++], "spanmalloc: " #key "= (up to 255 bytes): " help);
#include "allocator/api/options.def"
  EXPECT_EQ(i, lines.size());
}

}  // namespace
}  // namespace spanmalloc
