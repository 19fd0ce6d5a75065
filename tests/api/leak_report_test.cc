// The leak report, with libspanmalloc.so and libspanmalloc.a in place of
// malloc: of this program started once more, with options.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace leaking {

std::vector<void*>* kept = nullptr;

__attribute__((noinline)) void KeepOne(size_t size) {
  kept->push_back(malloc(size));
  asm volatile("");
}

__attribute__((noinline)) void KeepNew() {
  kept->push_back(new char[3000]);
  asm volatile("");
}

// 3 blocks of two sizes from one stack, 1 from another, and nothing from a
// third.
void Run() {
  std::vector<void*> room;
  room.reserve(10);
  kept = &room;
  // One call in the code, whatever the compiler makes of loops.
  volatile int calls = 3;
  for (int i = 0; i < calls; ++i) KeepOne(i == 1 ? 40'000 : 100'000);
  KeepNew();
  free(malloc(5000));
}

template <int i>
__attribute__((noinline)) void KeepFrom() {
  KeepOne(100'000 + i);
  asm volatile("");
}

template <int... i>
void KeepFromEach(std::integer_sequence<int, i...>) {
  (KeepFrom<i>(), ...);
}

}  // namespace leaking

namespace {

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) {
    ++count;
  }
  return count;
}

bool Has(const std::string& text, const std::string& expression) {
  return std::regex_search(text, std::regex(expression));
}

class LeakReportTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/spanmalloc-leaks-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  // What comes on stderr of a program that is started with these options.
  std::string Start(const std::string& options, const char* what = "leaks",
                    const std::string& program = "/proc/self/exe",
                    const char* preload = nullptr) {
    const std::string errors = Path("stderr");
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      dup2(open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600),
           STDERR_FILENO);
      setenv("SPANMALLOC_OPTIONS", options.c_str(), 1);
      if (preload != nullptr) setenv("LD_PRELOAD", preload, 1);
      // A copy lies elsewhere, and may be told to look beside itself.
      Dl_info info;
      if (dladdr(reinterpret_cast<void*>(&malloc), &info) != 0) {
        const std::string file = info.dli_fname;
        const std::string folder = file.substr(0, file.rfind('/') + 1);
        setenv("LD_LIBRARY_PATH", folder.c_str(), 0);
      }
      execl(program.c_str(), "leak_report_test", "as", what, nullptr);
      _exit(99);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    first_line_ = "spanmalloc: process " + std::to_string(child) +
                  ": still in use at exit, reachable or not: ";
    return ReadFile(errors);
  }

  // As after strip: without names.
  std::string StrippedCopy() {
    std::string bytes = ReadFile("/proc/self/exe");
    Elf64_Ehdr header;
    memcpy(&header, bytes.data(), sizeof(header));
    header.e_shoff = 0;
    header.e_shnum = 0;
    header.e_shstrndx = 0;
    memcpy(bytes.data(), &header, sizeof(header));
    const std::string path = Path("stripped");
    std::ofstream(path, std::ios::binary) << bytes;
    chmod(path.c_str(), 0700);
    return path;
  }

  std::string Suppressions(const std::string& patterns) {
    const std::string path = Path("suppressions");
    std::ofstream(path) << patterns;
    return "leak_report,leak_suppressions=" + path;
  }

  std::string folder_;
  std::string first_line_;
};

TEST_F(LeakReportTest, OnlyIfItIsWanted) {
  EXPECT_EQ(Start("profile_interval=1"), "");
  EXPECT_EQ(Start("leak_report=0"), "");
}

TEST_F(LeakReportTest, WhatIsInUseByStack) {
  const std::string report = Start("leak_report");
  EXPECT_EQ(report.rfind(first_line_, 0), 0u) << report;
  // Exact, and beginning with the caller of malloc.
  EXPECT_TRUE(Has(report,
                  "\n240000 bytes in 3 blocks from\n"
                  "    #0 0x[0-9a-f]+ leaking::KeepOne\\(unsigned long\\)"
                  "\\+0x[0-9a-f]+ \\(/.*\\+0x[0-9a-f]+\\)\n"
                  "    #1 0x[0-9a-f]+ leaking::Run\\(\\)"))
      << report;
  EXPECT_TRUE(Has(report,
                  "\n3000 bytes in 1 block from\n"
                  "    #0 0x[0-9a-f]+ leaking::KeepNew\\(\\)"))
      << report;
  EXPECT_LT(report.find("240000 bytes"), report.find("\n3000 bytes"));
  EXPECT_TRUE(Has(report,
                  "\n[0-9]+ bytes in [0-9]+ blocks from [0-9]+ stacks "
                  "in all\n"));
  EXPECT_EQ(Count(report, "5000 bytes"), 0);
  EXPECT_EQ(Count(report, " in 0 blocks"), 0);
  EXPECT_EQ(Count(report, "about"), 0);
}

TEST_F(LeakReportTest, EstimatesSaySo) {
  const std::string report = Start("leak_report,profile_interval=1000");
  EXPECT_TRUE(Has(report, "\nabout 24[0-9]+ bytes in 3 blocks from\n"))
      << report;
}

TEST_F(LeakReportTest, TheLargestStacks) {
  const std::string report = Start("leak_report", "many");
  EXPECT_EQ(Count(report, " from\n"), 20) << report;
  EXPECT_EQ(Count(report, "\n100010 bytes in 1 block from\n"), 1) << report;
  EXPECT_EQ(Count(report, "\n100009 bytes in 1 block from\n"), 0) << report;
  EXPECT_TRUE(Has(report, "bytes in [0-9]+ blocks from [0-9]+ stacks more\n"));
}

TEST_F(LeakReportTest, SuppressedByFunction) {
  const std::string report =
      Start(Suppressions("# comment\nleaking::KeepOne(*\n"));
  EXPECT_EQ(Count(report, "KeepOne"), 0) << report;
  EXPECT_EQ(Count(report, "KeepNew"), 1) << report;
  EXPECT_TRUE(Has(report,
                  "\nsuppressed: [0-9]+ bytes in [0-9]+ blocks from "
                  "[0-9]+ stacks?\n$"))
      << report;
}

TEST_F(LeakReportTest, NothingIsOneLine) {
  const std::string report = Start(Suppressions("*"));
  EXPECT_TRUE(
      Has(report.substr(first_line_.size()),
          "^nothing \\(suppressed: [0-9]+ bytes in [0-9]+ blocks\\)\n$"))
      << report;
}

TEST_F(LeakReportTest, SuppressionsThatCannotBeRead) {
  const std::string report =
      Start("leak_report,leak_suppressions=/no/such/file");
  EXPECT_EQ(report.rfind("spanmalloc: cannot read suppressions from "
                         "\"/no/such/file\": no such file\n",
                         0),
            0u)
      << report;
  EXPECT_EQ(Count(report, "240000 bytes in 3 blocks"), 1);
}

TEST_F(LeakReportTest, AStrippedProgram) {
  const std::string program = StrippedCopy();
  const std::string report = Start("leak_report", "leaks", program);
  EXPECT_TRUE(Has(report,
                  "\n240000 bytes in 3 blocks from\n"
                  "    #0 0x[0-9a-f]+ \\(" +
                      program + "\\+0x[0-9a-f]+\\)\n"))
      << report;
  EXPECT_EQ(Count(report, "leaking"), 0) << report;
}

TEST_F(LeakReportTest, APreloadedProgramThatKeepsNothing) {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&malloc), &info) == 0 ||
      strstr(info.dli_fname, "libspanmalloc.so") == nullptr) {
    GTEST_SKIP() << "linked statically";
  }
  const std::string report =
      Start("leak_report", "", "/bin/true", info.dli_fname);
  EXPECT_EQ(report.rfind(first_line_ + "nothing", 0), 0u) << report;
  EXPECT_EQ(Count(report, "\n"), 1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "as") == 0) {
    if (strcmp(argv[2], "many") == 0) {
      static std::vector<void*> room;
      room.reserve(100);
      leaking::kept = &room;
      leaking::KeepFromEach(std::make_integer_sequence<int, 30>());
    } else {
      leaking::Run();
    }
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
