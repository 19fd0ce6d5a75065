// Memory limits of control groups, in file trees as systems have them.

#include "allocator/os/cgroup.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "allocator/os/small_file.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kNone = UINT64_MAX;

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/spanmalloc-cgroup-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void Memberships(const std::string& text) {
    Write("/proc/self/cgroup", text);
  }
  void Mounts(const std::string& text) {
    Write("/proc/self/mountinfo",
          "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n" + text);
  }
  uint64_t Limit() {
    errno = EXDEV;
    MemoryCgroup cgroup;
    found_ = FindMemoryCgroup(&cgroup, root_.c_str());
    const uint64_t limit = CgroupMemoryLimit(cgroup);
    EXPECT_EQ(errno, EXDEV);
    v2_ = cgroup.v2.path;
    v1_ = cgroup.v1.path;
    return limit;
  }

  std::string root_;
  bool found_ = false;
  std::string v1_, v2_;
};

constexpr char kV2Mount[] =
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate\n";

TEST_F(CgroupTest, NothingThere) {
  EXPECT_EQ(Limit(), kNone);
  EXPECT_FALSE(found_);
  Memberships("0::/\n");
  EXPECT_EQ(Limit(), kNone);
  EXPECT_FALSE(found_);
  Mounts("");
  EXPECT_EQ(Limit(), kNone);
  EXPECT_FALSE(found_);
}

TEST_F(CgroupTest, V2Container) {
  Memberships("0::/\n");
  Mounts(kV2Mount);
  EXPECT_EQ(Limit(), kNone);
  EXPECT_TRUE(found_);
  EXPECT_EQ(v2_, root_ + "/sys/fs/cgroup");
  Write("/sys/fs/cgroup/memory.max", "536870912\n");
  EXPECT_EQ(Limit(), 536870912u);
  Write("/sys/fs/cgroup/memory.high", "max\n");
  EXPECT_EQ(Limit(), 536870912u);
  Write("/sys/fs/cgroup/memory.high", "4096\n");
  EXPECT_EQ(Limit(), 4096u);
  Write("/sys/fs/cgroup/memory.max", "0\n");
  EXPECT_EQ(Limit(), 0u);
  // What lies above the mount is no group.
  Write("/sys/fs/cgroup/memory.max", "max\n");
  Write("/sys/fs/memory.max", "1\n");
  Write("/sys/fs/cgrou/memory.max", "1\n");
  Write("/memory.max", "1\n");
  EXPECT_EQ(Limit(), 4096u);
}

TEST_F(CgroupTest, V2LeastOfAllLevels) {
  Memberships("0::/user.slice/user-0.slice/a.service\n");
  Mounts(kV2Mount);
  const std::string top = "/sys/fs/cgroup/user.slice";
  Write(top + "/user-0.slice/a.service/memory.max", "max\n");
  Write(top + "/user-0.slice/memory.max", "3000\n");
  EXPECT_EQ(Limit(), 3000u);
  Write(top + "/memory.high", "2000\n");
  EXPECT_EQ(Limit(), 2000u);
  Write(top + "/user-0.slice/a.service/memory.high", "1000\n");
  EXPECT_EQ(Limit(), 1000u);
  Write("/sys/fs/cgroup/memory.max", "500\n");
  EXPECT_EQ(Limit(), 500u);
  // Of other groups.
  Write(top + "/user-1.slice/memory.max", "1\n");
  Write(top + "/user-0.slice/a.service/below/memory.max", "1\n");
  EXPECT_EQ(Limit(), 500u);
}

TEST_F(CgroupTest, V2ShownFromAGroupDown) {
  Memberships("0::/docker/abc/child\n");
  Mounts("30 22 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  Write("/sys/fs/cgroup/child/memory.max", "100\n");
  EXPECT_EQ(Limit(), 100u);
  EXPECT_EQ(v2_, root_ + "/sys/fs/cgroup/child");
  Write("/sys/fs/cgroup/memory.max", "50\n");
  EXPECT_EQ(Limit(), 50u);
}

TEST_F(CgroupTest, V2OtherGroupsShown) {
  Write("/sys/fs/cgroup/memory.max", "100\n");
  Write("/sys/fs/memory.max", "1\n");
  const struct {
    const char* path;
    const char* shown;
    uint64_t expected;
    const char* below;
  } cases[] = {
      // A mount from before the namespace: the names below are not known.
      {"/", "/..", 100, ""},
      {"/", "/../..", 100, ""},
      {"/a", "/..", 100, ""},
      {"/../a", "/..", 100, "/a"},
      // Not the same group as /docker/abc.
      {"/docker/abcd", "/docker/abc", 100, ""},
      {"/docker", "/docker/abc", 100, ""},
      // Outside of what the mount shows.
      {"/../other", "/", kNone, nullptr},
      {"/..", "/", kNone, nullptr},
      // No way out of the mount.
      {"/a/../../b", "/", kNone, nullptr},
      // Names that only look like that.
      {"/..a", "/", 100, "/..a"},
      {"/a..", "/", 100, "/a.."},
      {"/...", "/", 100, "/..."},
  };
  for (const auto& c : cases) {
    Memberships("0::" + std::string(c.path) + "\n");
    Mounts("30 22 0:26 " + std::string(c.shown) +
           " /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    EXPECT_EQ(Limit(), c.expected) << c.path << " in " << c.shown;
    EXPECT_EQ(found_, c.below != nullptr);
    if (c.below != nullptr) {
      EXPECT_EQ(v2_, root_ + "/sys/fs/cgroup" + c.below);
    }
  }
}

TEST_F(CgroupTest, TheMountThatShowsOursCounts) {
  Memberships("0::/b/c\n");
  const std::string others =
      "30 22 0:26 /a /mnt/other rw - cgroup2 cgroup2 rw\n";
  const std::string ours = "31 22 0:26 /b /mnt/ours rw - cgroup2 cgroup2 rw\n";
  const std::string again = "32 22 0:26 / /mnt/again rw - cgroup2 cgroup2 rw\n";
  Write("/mnt/other/memory.max", "1\n");
  Write("/mnt/ours/c/memory.max", "100\n");
  for (const std::string& mounts :
       {others + ours, ours + others, ours + again, others + ours + again}) {
    Mounts(mounts);
    EXPECT_EQ(Limit(), 100u) << mounts;
  }
}

TEST_F(CgroupTest, MountPointsWithSpaces) {
  Memberships("0::/\n");
  Mounts("30 22 0:26 / /odd\\040folder\\134\\011x rw - cgroup2 a\\040b rw\n");
  Write("/odd folder\\\tx/memory.max", "100\n");
  EXPECT_EQ(Limit(), 100u);
}

TEST_F(CgroupTest, LongLinesOfOtherMounts) {
  Memberships("0::/\n");
  Mounts("29 22 0:25 / /merged rw - overlay overlay rw,lowerdir=" +
         std::string(3 * LineReader::kMaxLine, 'x') + "\n" + kV2Mount);
  Write("/sys/fs/cgroup/memory.max", "100\n");
  EXPECT_EQ(Limit(), 100u);
}

TEST_F(CgroupTest, PathsThatAreTooLong) {
  Write("/sys/fs/cgroup/memory.max", "100\n");
  for (const size_t length :
       {CgroupFolder::kMaxPath - 20, CgroupFolder::kMaxPath - 1,
        CgroupFolder::kMaxPath, 2 * CgroupFolder::kMaxPath}) {
    Memberships("0::/" + std::string(length, 'x') + "\n");
    Mounts(kV2Mount);
    EXPECT_EQ(Limit(), kNone);
    Memberships("0::/\n");
    Mounts("30 22 0:26 / /" + std::string(length, 'x') +
           " rw - cgroup2 cgroup2 rw\n");
    EXPECT_EQ(Limit(), kNone);
  }
  // Room for the folder, but not for the files in it.
  Memberships("0::/" +
              std::string(CgroupFolder::kMaxPath - root_.size() -
                              sizeof("/sys/fs/cgroup/"),
                          'x') +
              "\n");
  Mounts(kV2Mount);
  EXPECT_EQ(Limit(), 100u);
}

constexpr char kV1Mounts[] =
    "31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

TEST_F(CgroupTest, V1BesideV2) {
  Memberships("9:name=systemd:/\n4:memory:/work/job\n3:cpu,cpuacct:/x\n0::/\n");
  Mounts(kV1Mounts);
  const std::string group = "/sys/fs/cgroup/memory/work/job";
  Write(group + "/memory.limit_in_bytes", "9223372036854771712\n");
  Write(group + "/memory.stat",
        "cache 0\nhierarchical_memory_limit 9223372036854771712\n"
        "total_cache 1\n");
  EXPECT_EQ(Limit(), kNone);
  EXPECT_EQ(v1_, root_ + group);
  EXPECT_EQ(v2_, root_ + "/sys/fs/cgroup/unified");
  Write(group + "/memory.limit_in_bytes", "3000\n");
  EXPECT_EQ(Limit(), 3000u);
  Write(group + "/memory.stat",
        "cache 0\nhierarchical_memory_limit 2000\ntotal_cache 1\n");
  EXPECT_EQ(Limit(), 2000u);
  // The kernel has looked at those above, and knows whether they count.
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1\n");
  EXPECT_EQ(Limit(), 2000u);
  Write("/sys/fs/cgroup/unified/memory.max", "1000\n");
  EXPECT_EQ(Limit(), 1000u);
}

TEST_F(CgroupTest, V1ContainerWithoutNamespace) {
  Memberships("4:cpu,memory:/docker/abc\n0::/docker/abc\n");
  Mounts(
      "33 30 0:29 /docker/abc /sys/fs/cgroup/memory rw master:9 - cgroup "
      "cgroup rw,cpu,memory\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "100\n");
  Write("/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 200\n");
  EXPECT_EQ(Limit(), 100u);
  EXPECT_EQ(v2_, "");
}

TEST_F(CgroupTest, V1GroupThatIsNotShown) {
  Memberships("4:memory:/lxc/abc\n");
  Mounts(kV1Mounts);
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "100\n");
  Write("/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 200\n");
  EXPECT_EQ(Limit(), 100u);
}

TEST(CgroupParseTest, Memberships) {
  CgroupMembership membership;
  ASSERT_TRUE(ParseCgroupMembership("0::/a:b", &membership));
  EXPECT_FALSE(membership.is_v1);
  EXPECT_STREQ(membership.path, "/a:b");
  ASSERT_TRUE(ParseCgroupMembership("11:cpu,memory,x:/", &membership));
  EXPECT_TRUE(membership.is_v1);
  EXPECT_STREQ(membership.path, "/");
  for (const char* line :
       {"", "0", "0:", "0::", "0::a", "1::/", "4:memory",
        "4:memory:", "4:memory2:/", "4:amemory:/", "4:cpu,memoryx:/",
        "1:name=memory:/", "4:cpu:/memory"}) {
    EXPECT_FALSE(ParseCgroupMembership(line, &membership)) << line;
  }
}

TEST(CgroupParseTest, Mounts) {
  CgroupMount mount;
  char v2[] = "30 22 0:26 /a\\040b /sys rw,x s:1 m:2 - cgroup2 none rw";
  ASSERT_TRUE(ParseCgroupMount(v2, &mount));
  EXPECT_FALSE(mount.is_v1);
  EXPECT_STREQ(mount.shown, "/a b");
  EXPECT_STREQ(mount.mount_point, "/sys");
  char v1[] = "30 22 0:26 / /sys\\04 rw - cgroup none rw,memory";
  ASSERT_TRUE(ParseCgroupMount(v1, &mount));
  EXPECT_TRUE(mount.is_v1);
  EXPECT_STREQ(mount.mount_point, "/sys\\04") << "no escape";
  for (std::string line :
       {"", "30", "30 22 0:26 / /sys", "30 22 0:26 / /sys rw",
        "30 22 0:26 / /sys rw -", "30 22 0:26 / /sys rw - cgroup2",
        "30 22 0:26 / /sys rw - cgroup2 none",
        "30 22 0:26 / /sys rw - cgroup none rw,cpu",
        "30 22 0:26 / /sys rw - tmpfs none rw,memory",
        "30 22 0:26 / /sys rw cgroup2 none rw"}) {
    EXPECT_FALSE(ParseCgroupMount(line.data(), &mount)) << line.c_str();
  }
}

TEST(CgroupParseTest, Limits) {
  EXPECT_EQ(ParseCgroupLimit("max\n"), kNone);
  EXPECT_EQ(ParseCgroupLimit(""), kNone);
  EXPECT_EQ(ParseCgroupLimit("-1\n"), kNone);
  EXPECT_EQ(ParseCgroupLimit("0\n"), 0u);
  EXPECT_EQ(ParseCgroupLimit("1073741824\n"), 1073741824u);
  // Pages of 4 KiB, of 64 KiB, and kernels that did not round.
  EXPECT_EQ(ParseCgroupLimit("9223372036854771712\n"), kNone);
  EXPECT_EQ(ParseCgroupLimit("9223372036854710272\n"), kNone);
  EXPECT_EQ(ParseCgroupLimit("9223372036854775807\n"), kNone);
  EXPECT_EQ(ParseCgroupLimit("18446744073709551615\n"), kNone);
}

TEST(CgroupOfThisProcessTest, HasUsInIt) {
  MemoryCgroup cgroup;
  errno = EXDEV;
  const bool found = FindMemoryCgroup(&cgroup);
  EXPECT_EQ(CgroupMemoryLimit(), CgroupMemoryLimit(cgroup));
  EXPECT_EQ(errno, EXDEV);
  if (!found) GTEST_SKIP() << "no groups";
  for (const CgroupFolder* folder : {&cgroup.v1, &cgroup.v2}) {
    if (!folder->found()) continue;
    std::ifstream file(std::string(folder->path) + "/cgroup.procs");
    if (!file) continue;  // Not ours to see.
    bool listed = false;
    for (pid_t pid; file >> pid;) listed = listed || pid == getpid();
    EXPECT_TRUE(listed) << folder->path;
  }
}

}  // namespace
}  // namespace spanmalloc
