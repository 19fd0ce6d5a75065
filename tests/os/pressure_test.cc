#include "allocator/os/pressure.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace spanmalloc {
namespace {

TEST(PressureTest, ParsesHundredths) {
  const struct {
    const char* text;
    uint32_t expected;
  } cases[] = {
      {"some avg10=0.00 avg60=1.00 avg300=2.00 total=0\nfull avg10=9.99", 0},
      {"some avg10=1.53 avg60=0.00 avg300=0.00 total=0\n", 153},
      {"some avg10=12.05 avg60=0.00", 1205},
      {"some avg10=99.90\n", 9990},
      {"some avg10=100.00 ", 10000},
      {"some avg10=100.01 ", 10000},
      {"some avg10=99999999999999999999.00 ", 10000},
  };
  for (const auto& c : cases) {
    uint32_t value = 1;
    EXPECT_TRUE(ParsePressure(c.text, &value)) << c.text;
    EXPECT_EQ(value, c.expected) << c.text;
  }
}

TEST(PressureTest, RefusesOtherTexts) {
  for (const char* text :
       {"", "some", "some avg10=", "some avg10=1", "some avg10=1.",
        "some avg10=1.5 ", "some avg10=1.505 ", "some avg10=-1.50 ",
        "some avg60=1.50 ", "full avg10=1.50 ", " some avg10=1.50"}) {
    uint32_t value = 1;
    EXPECT_FALSE(ParsePressure(text, &value)) << text;
    EXPECT_EQ(value, 1u);
  }
}

class PressureFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/spanmalloc-pressure-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    (root_ + "/group").copy(cgroup_.v2.path, CgroupFolder::kMaxPath - 1);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  bool Read(uint32_t* value) {
    errno = EXDEV;
    const bool ok = ReadMemoryPressure(cgroup_, value, root_.c_str());
    EXPECT_EQ(errno, EXDEV);
    return ok;
  }

  std::string root_;
  MemoryCgroup cgroup_;
};

TEST_F(PressureFilesTest, TheGroupsBeforeTheSystems) {
  uint32_t value = 0;
  EXPECT_FALSE(Read(&value));
  Write("/proc/pressure/memory", "some avg10=1.00 avg60=0.00\n");
  ASSERT_TRUE(Read(&value));
  EXPECT_EQ(value, 100u);
  Write("/group/memory.pressure", "some avg10=2.00 avg60=0.00\n");
  ASSERT_TRUE(Read(&value));
  EXPECT_EQ(value, 200u);
  cgroup_ = MemoryCgroup();
  ASSERT_TRUE(Read(&value));
  EXPECT_EQ(value, 100u);
}

TEST(PressureTest, OfThisProcess) {
  uint32_t value = 20000;
  errno = EXDEV;
  const bool ok = ReadMemoryPressure(&value);
  EXPECT_EQ(errno, EXDEV);
  if (!ok) GTEST_SKIP() << "this system does not count it";
  EXPECT_LE(value, 10000u);
}

}  // namespace
}  // namespace spanmalloc
