// `spanmalloc stat` on children of this program, which have the malloc that it
// has: the tool's figures are those that the child itself gave.
//
// Usage: stat_test TOOL GDB_SCRIPT
//
//   TOOL        the command spanmalloc
//   GDB_SCRIPT  tools/spanmalloc-gdb.py
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <spanmalloc/spanmalloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "allocator/observe/stat_root.h"
#include "tests/spanmalloc_tool/own_stats.h"

namespace spanmalloc_tool {
namespace {

std::string tool;
std::string gdb_script;
std::string this_program;

bool OnSpanmalloc() {
  spanmalloc_memstats stats;
  return ReadOwnStats(&stats);
}

// ---- Running programs

struct Output {
  int status = -1;   // What it exited with.
  std::string text;  // Both of its streams.
};

// Runs a program with the system's malloc, as this user or another one.
Output Execute(const std::vector<std::string>& command, uid_t user = 0) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    unsetenv("LD_PRELOAD");
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    if (user == 0 || setuid(user) == 0) execvp(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  Output output;
  char buffer[4096];
  ssize_t n;
  while ((n = read(ends[0], buffer, sizeof(buffer))) > 0) {
    output.text.append(buffer, static_cast<size_t>(n));
  }
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) output.status = WEXITSTATUS(status);
  return output;
}

Output Stat(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {tool, "stat"});
  return Execute(arguments);
}

bool IsInstalled(const std::string& program) {
  return Execute({"sh", "-c", "command -v " + program}).status == 0;
}

// One line, with these words, and the exit status.
void ExpectError(const Output& output, int status, const std::string& words) {
  EXPECT_EQ(output.status, status) << output.text;
  EXPECT_NE(output.text.find(words), std::string::npos) << output.text;
  EXPECT_EQ(output.text.find('\n'), output.text.size() - 1) << output.text;
}

void ExpectHas(const Output& output, const std::string& text) {
  EXPECT_NE(output.text.find(text), std::string::npos) << text << "\nin\n"
                                                       << output.text;
}

// ---- Children

// What the child says last; it has no malloc that could disturb the figures.
struct Word {
  spanmalloc_memstats stats;
  bool on_spanmalloc;
};

// A process that does something, gives its own figures, and stops.
class Child {
 public:
  explicit Child(const std::function<void()>& act) {
    shared_ =
        static_cast<Word*>(mmap(nullptr, sizeof(Word), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      alarm(120);
      act();
      shared_->on_spanmalloc = ReadOwnStats(&shared_->stats);
      raise(SIGSTOP);
      _exit(0);
    }
  }
  ~Child() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    munmap(shared_, sizeof(Word));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool WaitUntilStopped() {
    int status;
    return waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status);
  }

  pid_t pid() const { return pid_; }
  std::string name() const { return std::to_string(pid_); }
  const Word& word() const { return *shared_; }

 private:
  Word* shared_;
  pid_t pid_;
};

// Every figure, as the child gave it.
void ExpectFiguresOf(const Output& output, const spanmalloc_memstats& stats) {
  ASSERT_EQ(output.status, 0) << output.text;
#define SPANMALLOC_METRIC(field, name, unit, kind, suffix, help) \
  ExpectHas(output, std::string("\n  \"") + name +               \
                        "\": " + std::to_string(stats.field) + ",\n");
#include "allocator/observe/metrics.def"
#undef SPANMALLOC_METRIC
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.size == 0) continue;
    ExpectHas(output, "{\"size\": " + std::to_string(size.size) +
                          ", \"mallocs\": " + std::to_string(size.mallocs) +
                          ", \"frees\": " + std::to_string(size.frees) + "}");
  }
  ExpectHas(output, "\"between_steps\": false");
}

void* volatile sink;

void* Allocate(size_t size) {
  void* const p = malloc(size);
  sink = p;
  return p;
}

// What nobody else in the process allocates: 1000 blocks of 20000 bytes, of
// which 300 are freed, and 7 of 3 MB.
void AllocateKnownSet() {
  static void* blocks[1000];
  for (void*& block : blocks) block = Allocate(20000);
  for (int i = 0; i < 300; ++i) free(blocks[i]);
  for (int i = 0; i < 7; ++i) Allocate(3000000);
}

class StatTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!OnSpanmalloc()) GTEST_SKIP() << "this process is not on spanmalloc";
  }
};

TEST_F(StatTest, StoppedProcess) {
  spanmalloc_memstats before;
  ASSERT_TRUE(ReadOwnStats(&before));
  Child child(AllocateKnownSet);
  ASSERT_TRUE(child.WaitUntilStopped());
  const spanmalloc_memstats& stats = child.word().stats;
  ASSERT_TRUE(child.word().on_spanmalloc);
  EXPECT_EQ(stats.large_mallocs - before.large_mallocs, 7u);
  ExpectFiguresOf(Stat({"--json", child.name()}), stats);
  // Reading it has changed nothing.
  ExpectFiguresOf(Stat({"--json", child.name()}), stats);
}

TEST_F(StatTest, Text) {
  Child child(AllocateKnownSet);
  ASSERT_TRUE(child.WaitUntilStopped());
  const Output output = Stat({"--classes", child.name()});
  EXPECT_EQ(output.status, 0);
  ExpectHas(output, "process " + child.name() + ": spanmalloc ");
  ExpectHas(output, "in use by the program");
  ExpectHas(output, "heap.inuse_bytes");
  ExpectHas(output, "larger");
  ExpectHas(output, std::to_string(child.word().stats.mallocs) + " mallocs, " +
                        std::to_string(child.word().stats.frees) + " frees");
  const Output brief = Stat({child.name()});
  EXPECT_EQ(brief.text.find("larger"), std::string::npos) << brief.text;
}

TEST_F(StatTest, ProcessWithThreads) {
  Child child([] {
    static std::atomic<int> ready{0};
    std::thread([] { free(Allocate(100)); }).join();
    for (int i = 0; i < 3; ++i) {
      std::thread([i] {
        for (int n = 0; n < 5000; ++n) Allocate(16 + n % 100 * 8 * (i + 1));
        ++ready;
        for (;;) pause();
      }).detach();
    }
    while (ready != 3) usleep(1000);
  });
  ASSERT_TRUE(child.WaitUntilStopped());
  EXPECT_EQ(child.word().stats.threads, 4u);
  ExpectFiguresOf(Stat({"--json", child.name()}), child.word().stats);
}

TEST_F(StatTest, RunningProcess) {
  Child child([] {
    for (;;) {
      free(Allocate(100));
      free(Allocate(100000));
    }
  });
  for (int i = 0; i < 20; ++i) {
    const Output output = Stat({"--json", child.name()});
    EXPECT_EQ(output.status, 0) << output.text;
  }
}

// ---- What resident memory is

// A number of the JSON.
int64_t NumberOf(const Output& output, const std::string& name) {
  const size_t at = output.text.find("\n    \"" + name + "\": ");
  if (at == std::string::npos) {
    ADD_FAILURE() << name << " is not in\n" << output.text;
    return -1;
  }
  return std::strtoll(output.text.c_str() + at + name.size() + 9, nullptr, 10);
}

// Kilobytes that a file of /proc has behind a key.
int64_t KilobytesOf(const Child& child, const char* file, const char* key) {
  std::ifstream lines("/proc/" + child.name() + "/" + file);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.compare(0, std::strlen(key), key) == 0) {
      return std::strtoll(line.c_str() + std::strlen(key), nullptr, 10);
    }
  }
  return -1;
}

TEST_F(StatTest, ResidentMemoryAddsUp) {
  constexpr size_t kMiB = 1 << 20;
  Child child([] {
    AllocateKnownSet();
    // Half of it is touched, by small pages.
    char* const half = static_cast<char*>(Allocate(64 * kMiB));
    madvise(half + 4096 - reinterpret_cast<uintptr_t>(half) % 4096, 63 * kMiB,
            MADV_NOHUGEPAGE);
    std::memset(half, 1, 32 * kMiB);
    // Not of the heap.
    void* const other = mmap(nullptr, 16 * kMiB, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(other, 1, 16 * kMiB);
    void* const shared = mmap(nullptr, 8 * kMiB, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    std::memset(shared, 1, 8 * kMiB);
  });
  ASSERT_TRUE(child.WaitUntilStopped());
  if (access(("/proc/" + child.name() + "/pagemap").c_str(), R_OK) != 0) {
    GTEST_SKIP() << "there is no pagemap here";
  }
  const Output output = Stat({"--json", "--rss", child.name()});
  ASSERT_EQ(output.status, 0) << output.text;
  int64_t sum = 0;
  for (const char* part :
       {"in_use", "held_free", "never_touched", "idle", "released", "records",
        "programs", "stack", "anonymous", "files", "shared", "kernel",
        "difference"}) {
    sum += NumberOf(output, part);
  }
  const int64_t total = NumberOf(output, "total");
  EXPECT_EQ(sum, total);
  EXPECT_EQ(total, KilobytesOf(child, "smaps_rollup", "Rss:") * 1024);
  // The kernel counts this one more roughly: by a page for each mapping.
  std::ifstream maps("/proc/" + child.name() + "/maps");
  int64_t mappings = 0;
  for (std::string line; std::getline(maps, line);) ++mappings;
  EXPECT_NEAR(
      static_cast<double>(total),
      static_cast<double>(KilobytesOf(child, "status", "VmRSS:") * 1024),
      static_cast<double>(mappings * sysconf(_SC_PAGESIZE)));

  const spanmalloc_memstats& stats = child.word().stats;
  EXPECT_EQ(NumberOf(output, "in_use"), static_cast<int64_t>(stats.heap_alloc));
  const int64_t mib = static_cast<int64_t>(kMiB);
  EXPECT_LT(NumberOf(output, "never_touched"), -31 * mib);
  EXPECT_GE(NumberOf(output, "in_use") + NumberOf(output, "held_free") +
                NumberOf(output, "never_touched"),
            32 * mib);
  EXPECT_GE(NumberOf(output, "anonymous"), 16 * mib);
  EXPECT_LT(NumberOf(output, "anonymous"), 24 * mib);
  EXPECT_GE(NumberOf(output, "shared"), 8 * mib);
  EXPECT_GT(NumberOf(output, "records"), 0);
  EXPECT_GT(NumberOf(output, "programs"), 0);

  const Output text = Stat({"--rss", child.name()});
  EXPECT_EQ(text.status, 0);
  ExpectHas(text, "\nresident (VmRSS) ");
  ExpectHas(text, " " + std::to_string(total) + " bytes\n");
}

// ---- A process that hangs, with every lock of the allocator held

struct Hanging {
  std::atomic<pid_t> process;  // That shall hang; 0 none yet.
  std::atomic<bool> has_all_locks, got_memory;
};
Hanging* hanging;

// The last handler before a fork, after that of the allocator: registered
// before that one.
void BeforeFork() {
  if (hanging == nullptr || hanging->process != getpid()) return;
  hanging->has_all_locks = true;
  for (;;) pause();
}

void Register() { pthread_atfork(BeforeFork, nullptr, nullptr); }

__attribute__((section(".preinit_array"),
               used)) void (*const kRegister)() = Register;

TEST_F(StatTest, DeadlockedProcess) {
  hanging = static_cast<Hanging*>(mmap(nullptr, sizeof(Hanging),
                                       PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  Child child([] {
    AllocateKnownSet();
    std::thread([] {
      free(Allocate(100));  // Has its cache.
      while (!hanging->has_all_locks) usleep(1000);
      Allocate(5000000);
      hanging->got_memory = true;
    }).detach();
    usleep(20000);
    hanging->process = getpid();
    fork();
  });
  for (int i = 0; i < 5000 && !hanging->has_all_locks; ++i) usleep(1000);
  ASSERT_TRUE(hanging->has_all_locks);
  usleep(50000);
  const Output output = Stat({"--json", child.name()});
  EXPECT_EQ(output.status, 0) << output.text;
  ExpectHas(output, "\"lock.waits_total\": 1,");
  ExpectHas(output, "\"threads.cached\": 2,");
  EXPECT_FALSE(hanging->got_memory);
  hanging = nullptr;
}

// ---- A library of another version

TEST_F(StatTest, OtherLayoutVersion) {
  if (OwnRoot() == nullptr) GTEST_SKIP() << "the root cannot be changed";
  Child child([] {
    char* const version = static_cast<char*>(const_cast<void*>(OwnRoot())) +
                          offsetof(spanmalloc::StatRoot, version);
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    char* const start = version - reinterpret_cast<uintptr_t>(version) % page;
    mprotect(start, page, PROT_READ | PROT_WRITE);
    const uint32_t other = 77;
    std::memcpy(version, &other, sizeof(other));
  });
  ASSERT_TRUE(child.WaitUntilStopped());
  ExpectError(Stat({child.name()}), 1, "has statistics of layout version 77");
}

// ---- A program without symbols

// Goes on in another program as a child that stops itself.
constexpr char kChildArgument[] = "--act-and-stop";

TEST_F(StatTest, StrippedProgram) {
  if (!IsInstalled("strip")) GTEST_SKIP() << "strip is not installed";
  const std::string stripped =
      testing::TempDir() + "stripped" + std::to_string(getpid());
  ASSERT_EQ(Execute({"strip", "-o", stripped, this_program}).status, 0);
  const pid_t child = fork();
  if (child == 0) {
    execl(stripped.c_str(), stripped.c_str(), kChildArgument, nullptr);
    _exit(127);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  if (!WIFSTOPPED(status)) {
    unlink(stripped.c_str());
    ASSERT_TRUE(WIFEXITED(status));
    GTEST_SKIP() << "it finds its libraries only where it was";
  }
  // Found even if the file is gone.
  unlink(stripped.c_str());
  const Output output = Stat({"--json", std::to_string(child)});
  EXPECT_EQ(output.status, 0) << output.text;
  ExpectHas(output, "\"mallocs\": 1000, \"frees\": 300}");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

// ---- Core files

class CoreTest : public StatTest {
 protected:
  void SetUp() override {
    StatTest::SetUp();
    if (IsSkipped()) return;
    if (!IsInstalled("gcore")) GTEST_SKIP() << "gcore is not installed";
    prefix_ = testing::TempDir() + "core" + std::to_string(getpid());
    Child child(AllocateKnownSet);
    ASSERT_TRUE(child.WaitUntilStopped());
    stats_ = child.word().stats;
    const Output output = Execute({"gcore", "-o", prefix_, child.name()});
    core_ = prefix_ + "." + child.name();
    if (access(core_.c_str(), R_OK) != 0) {
      GTEST_SKIP() << "gcore does not work here: " << output.text;
    }
  }
  void TearDown() override { unlink(core_.c_str()); }

  std::string prefix_, core_;
  spanmalloc_memstats stats_;
};

TEST_F(CoreTest, WholeCore) {
  ExpectFiguresOf(Stat({"--json", "--core", core_, this_program}), stats_);
  ExpectFiguresOf(Stat({"--json", "--core=" + core_}), stats_);
  const Output text = Stat({"--core", core_, this_program});
  EXPECT_EQ(text.status, 0);
  ExpectHas(text, core_ + ": spanmalloc ");
}

// The script prints what the tool prints in its summary.
TEST_F(CoreTest, InGdb) {
  const Output text = Stat({"--core", core_, this_program});
  const size_t start = text.text.find("in use by");
  const size_t end = text.text.find(" threads\n");
  ASSERT_LT(start, end);
  const Output gdb = Execute({"gdb", "-batch", "-nx", "-x", gdb_script, "-ex",
                              "spanmalloc-stat", this_program, core_});
  ExpectHas(gdb, text.text.substr(start, end - start));
}

TEST_F(CoreTest, TruncatedCore) {
  struct stat file;
  ASSERT_EQ(stat(core_.c_str(), &file), 0);
  // By and by less; at the end not even the header is whole.
  int errors = 0;
  for (off_t size = file.st_size / 2; size >= 64; size /= 3) {
    ASSERT_EQ(truncate(core_.c_str(), size), 0);
    const Output output = Stat({"--json", "--core", core_, this_program});
    if (output.status == 0) {
      ExpectFiguresOf(output, stats_);
      continue;
    }
    ++errors;
    ExpectError(output, 1, "the core is truncated");
  }
  EXPECT_GT(errors, 3);
  ASSERT_EQ(truncate(core_.c_str(), 20), 0);
  ExpectError(Stat({"--core", core_}), 1, "is no core file");
}

TEST(NoCoreTest, WhatIsNoCore) {
  ExpectError(Stat({"--core", this_program}), 1, "is no core file");
  ExpectError(Stat({"--core", "/etc/passwd"}), 1, "is no core file");
  ExpectError(Stat({"--core", "/nowhere/core"}), 1, "No such file");
}

// ---- What cannot be read

TEST(ErrorTest, ProcessWithoutSpanmalloc) {
  if (OnSpanmalloc()) GTEST_SKIP() << "this process is on spanmalloc";
  Child child([] {});
  ASSERT_TRUE(child.WaitUntilStopped());
  ExpectError(Stat({child.name()}), 1,
              "process " + child.name() + " does not use spanmalloc");
}

TEST(ErrorTest, NoSuchProcess) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  const std::string name = std::to_string(child);
  ExpectError(Stat({name}), 1, "no such process: " + name);
}

TEST(ErrorTest, ProcessThatHasEnded) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  ExpectError(Stat({std::to_string(child)}), 1, "it has ended");
  waitpid(child, nullptr, 0);
}

TEST(ErrorTest, PermissionDenied) {
  constexpr uid_t kNobody = 65534;
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  if (Execute({tool, "version"}, kNobody).status != 0) {
    GTEST_SKIP() << "others may not run the tool here";
  }
  Child child([] {});
  ASSERT_TRUE(child.WaitUntilStopped());
  ExpectError(Execute({tool, "stat", child.name()}, kNobody), 1,
              "permission denied: it belongs to uid 0, this is uid 65534");
}

TEST(ErrorTest, WrongUsage) {
  ExpectError(Execute({tool}), 2, "which command?");
  ExpectError(Execute({tool, "none"}), 2, "there is no command none");
  ExpectError(Stat({}), 2, "stat needs a PID");
  ExpectError(Stat({"1", "2"}), 2, "too many arguments");
  ExpectError(Stat({"me"}), 2, "me is no PID");
  ExpectError(Stat({"-5"}), 2, "there is no option -5");
  ExpectError(Stat({"--nothing", "1"}), 2, "there is no option --nothing");
  ExpectError(Stat({"--core"}), 2, "--core needs a value");
  ExpectError(Stat({"--json=perhaps", "1"}), 2, "--json=perhaps");
  ExpectError(Stat({"--core", "a", "b", "c"}), 2, "too many arguments");
  ExpectError(Stat({"--rss", "--core", "a"}), 2, "has no resident memory");
}

TEST(HelpTest, SaysWhatThereIs) {
  const Output help = Execute({tool, "help"});
  EXPECT_EQ(help.status, 0);
  ExpectHas(help, "stat");
  const Output stat = Execute({tool, "help", "stat"});
  EXPECT_EQ(stat.status, 0);
  ExpectHas(stat, "--core");
  EXPECT_EQ(Stat({"--help"}).text, stat.text);
  EXPECT_EQ(Execute({tool, "version"}).status, 0);
}

}  // namespace
}  // namespace spanmalloc_tool

int main(int argc, char** argv) {
  using namespace spanmalloc_tool;
  if (argc == 2 && std::strcmp(argv[1], kChildArgument) == 0) {
    alarm(120);
    AllocateKnownSet();
    raise(SIGSTOP);
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s TOOL GDB_SCRIPT\n", argv[0]);
    return 2;
  }
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  this_program.assign(path, length > 0 ? static_cast<size_t>(length) : 0);
  tool = argv[1];
  gdb_script = argv[2];
  return RUN_ALL_TESTS();
}
