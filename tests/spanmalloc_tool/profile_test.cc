// `spanmalloc profile` on other processes of this program, which have the
// malloc that it has.
//
// Usage: profile_test TOOL
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/profile/decoded_profile.h"

void* volatile sink;
void* kept[1000];

// With a name that others can find.
extern "C" __attribute__((noinline)) void AllocateKnownSet() {
  for (void*& block : kept) block = std::malloc(20000);
  for (int i = 0; i < 300; ++i) std::free(kept[i]);
}

namespace spanmalloc_tool {
namespace {

using spanmalloc::DecodedProfile;

std::string tool;
std::string this_program;

// ---- What the other processes do

__attribute__((noinline)) void MakeGarbage() {
  sink = std::malloc(1000);
  std::free(sink);
}

// Allocates a known set and stops; or makes garbage for ever.
constexpr char kKeep[] = "--keep";
constexpr char kChurn[] = "--churn";

int Act(const char* argument) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(120);
  if (std::strcmp(argument, kKeep) == 0) {
    AllocateKnownSet();
    raise(SIGSTOP);
    return 0;
  }
  sink = std::malloc(50000);
  raise(SIGSTOP);
  for (;;) MakeGarbage();
}

// ---- Running programs

struct Output {
  int status = -1;
  std::string text;
};

// A program with pipes to its standard streams.
class Running {
 public:
  explicit Running(const std::vector<std::string>& command) {
    int ends[2];
    if (pipe(ends) != 0) return;
    std::vector<char*> arguments;
    for (const std::string& argument : command) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      unsetenv("LD_PRELOAD");
      dup2(ends[1], 1);
      dup2(ends[1], 2);
      close(ends[0]);
      close(ends[1]);
      execvp(arguments[0], arguments.data());
      _exit(127);
    }
    close(ends[1]);
    from_ = ends[0];
  }
  ~Running() {
    if (from_ >= 0) Finish();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  // Reads until that has come, or the end.
  void WaitFor(const std::string& words) {
    while (text_.find(words) == std::string::npos && ReadSome()) {
    }
  }
  Output Finish() {
    while (ReadSome()) {
    }
    close(from_);
    from_ = -1;
    int status = 0;
    waitpid(pid_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_};
  }
  pid_t pid() const { return pid_; }

 private:
  bool ReadSome() {
    char part[4096];
    const ssize_t n = read(from_, part, sizeof(part));
    if (n > 0) text_.append(part, static_cast<size_t>(n));
    return n > 0;
  }

  pid_t pid_ = -1;
  int from_ = -1;
  std::string text_;
};

Output Execute(const std::vector<std::string>& command) {
  return Running(command).Finish();
}

bool IsInstalled(const std::string& program) {
  return Execute({"sh", "-c", "command -v " + program}).status == 0;
}

void ExpectHas(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
}

// One line, with these words, and the exit status.
void ExpectError(const Output& output, int status, const std::string& words) {
  EXPECT_EQ(output.status, status) << output.text;
  ExpectHas(output.text, words);
  EXPECT_EQ(output.text.find('\n'), output.text.size() - 1) << output.text;
}

// This program again, which acts, and has stopped.
class Child {
 public:
  Child(const char* argument, const char* options) {
    pid_ = fork();
    if (pid_ == 0) {
      setenv("SPANMALLOC_OPTIONS", options, 1);
      execl(this_program.c_str(), this_program.c_str(), argument, nullptr);
      _exit(127);
    }
    int status = 0;
    stopped_ = waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status);
  }
  ~Child() { Kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool stopped() const { return stopped_; }
  std::string name() const { return std::to_string(pid_); }
  void Continue() { kill(pid_, SIGCONT); }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
  bool stopped_;
};

class ProfileTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("SPANMALLOC_TEST_EXPECTED") == nullptr) {
      GTEST_SKIP() << "this process is not on spanmalloc";
    }
    if (!IsInstalled("gzip")) GTEST_SKIP() << "gzip is not installed";
    file_ = testing::TempDir() + "profile" + std::to_string(getpid());
  }
  void TearDown() override { unlink(file_.c_str()); }

  std::vector<std::string> Command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {tool, "profile", "-o", file_});
    return arguments;
  }
  Output Profile(const std::vector<std::string>& arguments) const {
    return Execute(Command(arguments));
  }
  DecodedProfile Decoded() const {
    return DecodedProfile(Execute({"gzip", "-dc", file_}).text);
  }
  DecodedProfile ProfileOf(const std::vector<std::string>& arguments) const {
    const Output output = Profile(arguments);
    EXPECT_EQ(output.status, 0) << output.text;
    return Decoded();
  }
  // How many samples have exactly these values.
  static int CountOf(const DecodedProfile& profile, int64_t first,
                     int64_t third) {
    int count = 0;
    for (const DecodedProfile::Sample& sample : profile.samples) {
      if (sample.values.size() == 4 && sample.values[0] == first &&
          sample.values[2] == third && sample.numbers.at("bytes").first > 19999)
        ++count;
    }
    return count;
  }
  static int64_t SumOf(const DecodedProfile& profile, size_t value) {
    int64_t sum = 0;
    for (const DecodedProfile::Sample& sample : profile.samples) {
      sum += sample.values[value];
    }
    return sum;
  }

  // The known set's stack leads through that function, by what a profile says
  // of places in files.
  static void ExpectNames(const DecodedProfile& profile,
                          const std::string& function) {
    if (!IsInstalled("addr2line")) return;
    std::vector<std::string> command = {"addr2line", "-f", "-e", this_program};
    for (const DecodedProfile::Sample& sample : profile.samples) {
      if (sample.values[0] != 1000 || sample.values[2] != 700) continue;
      for (const DecodedProfile::Location& location : sample.stack) {
        if (location.mapping == 0) continue;
        const auto& mapping = profile.mappings.at(location.mapping);
        if (mapping.name != this_program) continue;
        EXPECT_NE(mapping.build_id, "");
        std::ostringstream place;
        place << std::hex << location.address - mapping.start + mapping.offset;
        command.push_back(place.str());
      }
    }
    ExpectHas(Execute(command).text, function);
  }

  std::string file_;
};

constexpr char kEverything[] = "profile_interval=1";

TEST_F(ProfileTest, KnownSet) {
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  const Output output = Profile({child.name()});
  EXPECT_EQ(output.status, 0) << output.text;
  ExpectHas(output.text,
            "process " + child.name() + ": heap profile in " + file_);
  const DecodedProfile profile = Decoded();
  ASSERT_EQ(profile.types.size(), 4u);
  EXPECT_EQ(profile.types[0].first, "alloc_objects");
  EXPECT_EQ(profile.period, 1);
  EXPECT_GT(profile.time_ns, 0);
  EXPECT_GT(profile.duration_ns, 0);
  EXPECT_EQ(CountOf(profile, 1000, 700), 1);
  bool has_this_program = false;
  for (const auto& [id, mapping] : profile.mappings) {
    if (mapping.name == this_program) {
      has_this_program = true;
      EXPECT_NE(mapping.build_id, "");
    }
  }
  EXPECT_TRUE(has_this_program);
  ExpectNames(profile, "AllocateKnownSet");
}

TEST_F(ProfileTest, OtherTypes) {
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  const DecodedProfile peak = ProfileOf({"--type", "peak", child.name()});
  EXPECT_EQ(peak.default_type, "peak_space");
  EXPECT_GE(SumOf(peak, 1), 1000 * 20000);
  const DecodedProfile growth = ProfileOf({"--type=growth", child.name()});
  EXPECT_EQ(growth.default_type, "growth_space");
  EXPECT_GE(SumOf(growth, 1), 1000 * 20000);
  const DecodedProfile lifetimes =
      ProfileOf({"--type=lifetimes", child.name()});
  EXPECT_EQ(lifetimes.default_type, "freed_space");
  EXPECT_GE(SumOf(lifetimes, 0), 300);
}

TEST_F(ProfileTest, ToStdout) {
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  const std::string command = tool + " profile -o - " + child.name();
  const DecodedProfile profile(
      Execute({"sh", "-c", command + " | gzip -dc"}).text);
  EXPECT_EQ(CountOf(profile, 1000, 700), 1);
}

TEST_F(ProfileTest, DefaultName) {
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  const std::string absolute = std::filesystem::absolute(tool).string();
  const Output output =
      Execute({"sh", "-c",
               "cd " + testing::TempDir() + " && " + absolute +
                   " profile --type peak " + child.name() +
                   " && rm spanmalloc." + child.name() + ".peak.pb.gz"});
  EXPECT_EQ(output.status, 0) << output.text;
}

TEST_F(ProfileTest, Core) {
  if (!IsInstalled("gcore")) GTEST_SKIP() << "gcore is not installed";
  const std::string prefix = testing::TempDir() + "profile_core";
  std::string core;
  {
    Child child(kKeep, kEverything);
    ASSERT_TRUE(child.stopped());
    const Output output = Execute({"gcore", "-o", prefix, child.name()});
    core = prefix + "." + child.name();
    if (access(core.c_str(), R_OK) != 0) {
      GTEST_SKIP() << "gcore does not work here: " << output.text;
    }
  }
  const DecodedProfile profile = ProfileOf({"--core", core, this_program});
  EXPECT_EQ(CountOf(profile, 1000, 700), 1);
  ExpectNames(profile, "AllocateKnownSet");
  EXPECT_EQ(truncate(core.c_str(), 5000), 0);
  ExpectError(Profile({"--core", core}), 1, "the core is truncated");
  unlink(core.c_str());
}

// ---- Sampling for a while

TEST_F(ProfileTest, SamplingIsOff) {
  Child child(kKeep, "");
  ASSERT_TRUE(child.stopped());
  for (const char* type : {"heap", "peak", "growth", "lifetimes"}) {
    ExpectError(Profile({"--type", type, child.name()}), 1,
                "sampling is off and nothing was sampled; use --seconds N, or "
                "start it with SPANMALLOC_OPTIONS=profile_interval=512K");
  }
  EXPECT_NE(access(file_.c_str(), F_OK), 0);
}

TEST_F(ProfileTest, TurnsSamplingOnForAWhile) {
  Child child(kChurn, "");
  ASSERT_TRUE(child.stopped());
  child.Continue();
  const Output output =
      Profile({"--seconds", "0.5", "--interval", "4K", child.name()});
  EXPECT_EQ(output.status, 0) << output.text;
  ExpectHas(output.text,
            "sampling was off, is on now, every 4096 bytes, for 0.5 s\n");
  ExpectHas(output.text, "sampling is off again\n");
  const DecodedProfile profile = Decoded();
  EXPECT_EQ(profile.period, 4096);
  EXPECT_GE(profile.duration_ns, 500'000'000);
  EXPECT_GT(SumOf(profile, 1), 4096);
  // What was sampled stays; but sampling is off.
  EXPECT_EQ(ProfileOf({child.name()}).period, 0);
  // Of that, nothing is new.
  kill(std::stoi(child.name()), SIGSTOP);
  const DecodedProfile nothing = ProfileOf({"--seconds", "0.01", child.name()});
  EXPECT_EQ(nothing.period, 512 << 10);
  EXPECT_EQ(SumOf(nothing, 0), 0);
  EXPECT_EQ(ProfileOf({child.name()}).period, 0);
}

TEST_F(ProfileTest, LeavesSamplingOn) {
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  const Output output =
      Profile({"--seconds=0.01", "--interval=64K", child.name()});
  EXPECT_EQ(output.status, 0) << output.text;
  ExpectHas(output.text, "sampling is on, every 1 bytes, for 0.01 s\n");
  // Nothing was allocated meanwhile, but much is in use.
  const DecodedProfile profile = Decoded();
  EXPECT_EQ(profile.period, 1);
  EXPECT_EQ(CountOf(profile, 0, 700), 1);
  EXPECT_EQ(SumOf(profile, 0), 0);
  EXPECT_EQ(ProfileOf({child.name()}).period, 1);
}

TEST_F(ProfileTest, SignalsEndTheWaitEarly) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Child child(kChurn, "");
    ASSERT_TRUE(child.stopped());
    child.Continue();
    Running running(Command({"--seconds", "600", child.name()}));
    running.WaitFor("is on now");
    kill(running.pid(), number);
    const Output output = running.Finish();
    EXPECT_EQ(output.status, 0) << output.text;
    ExpectHas(output.text, "sampling is off again\n");
    EXPECT_LT(Decoded().duration_ns, 600'000'000'000);
    // Off: it has to be turned on again.
    ExpectHas(Profile({"--seconds=0.01", child.name()}).text, "is on now");
  }
}

TEST_F(ProfileTest, ProcessEndsMeanwhile) {
  Child child(kChurn, "");
  ASSERT_TRUE(child.stopped());
  child.Continue();
  Running running(Command({"--seconds", "600", child.name()}));
  running.WaitFor("is on now");
  child.Kill();
  const Output output = running.Finish();
  EXPECT_EQ(output.status, 1) << output.text;
  ExpectHas(output.text, "it ended while it was read\n");
}

TEST_F(ProfileTest, FileThatCannotBeWritten) {
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  ExpectError(Execute({tool, "profile", "-o", "/nowhere/file", child.name()}),
              1, "/nowhere/file: No such file or directory");
  // By a link, so that it is but the link that a fault here could remove.
  ASSERT_EQ(symlink("/dev/full", file_.c_str()), 0);
  ExpectError(Profile({child.name()}), 1, file_ + ": No space left on device");
  EXPECT_EQ(access(file_.c_str(), F_OK), 0);
}

// ---- pprof's own opinion

TEST_F(ProfileTest, PprofReadsIt) {
  if (Execute({"sh", "-c", "go tool -n pprof"}).status != 0) {
    GTEST_SKIP() << "no go tool pprof";
  }
  Child child(kKeep, kEverything);
  ASSERT_TRUE(child.stopped());
  ASSERT_EQ(Profile({child.name()}).status, 0);
  const Output output = Execute(
      {"sh", "-c",
       "PPROF_TMPDIR=/tmp go tool pprof -symbolize=none -raw " + file_});
  EXPECT_EQ(output.status, 0) << output.text;
  ExpectHas(output.text, "Period: 1\n");
  ExpectHas(output.text, "inuse_space/bytes[dflt]");
  ExpectHas(output.text, " 1000   ");
  ExpectHas(output.text, this_program);
}

// ---- Errors that need no spanmalloc

TEST(ErrorTest, WrongUsage) {
  const auto profile = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {tool, "profile"});
    return Execute(arguments);
  };
  ExpectError(profile({}), 2, "profile needs a PID");
  ExpectError(profile({"1", "2"}), 2, "too many arguments");
  ExpectError(profile({"me"}), 2, "me is no PID");
  ExpectError(profile({"-5"}), 2, "there is no option -5");
  ExpectError(profile({"-output", "x"}), 2, "there is no option -output");
  ExpectError(profile({"-o"}), 2, "-o needs a value");
  ExpectError(profile({"--sampling_interval=1", "1"}), 2,
              "there is no option --sampling_interval");
  ExpectError(profile({"--type", "all", "1"}), 2, "there is no type all");
  ExpectError(profile({"--seconds", "-1", "1"}), 2, "--seconds takes");
  ExpectError(profile({"--seconds", "nan", "1"}), 2, "--seconds takes");
  ExpectError(profile({"--interval", "64K", "1"}), 2,
              "--interval goes with --seconds");
  for (const char* interval : {"0", "x", "K", "-1", "200T", "1E"}) {
    ExpectError(profile({"--seconds=1", "--interval", interval, "1"}), 2,
                std::string(interval) + " is no interval");
  }
  ExpectError(profile({"--core", "a", "--seconds=1"}), 2,
              "a core file does not go on");
  ExpectError(profile({"--core", "/nowhere/core"}), 1, "No such file");
}

TEST(ErrorTest, ProcessWithoutSpanmalloc) {
  if (std::getenv("SPANMALLOC_TEST_EXPECTED") != nullptr) {
    GTEST_SKIP() << "this process is on spanmalloc";
  }
  Child child(kKeep, "");
  ASSERT_TRUE(child.stopped());
  ExpectError(Execute({tool, "profile", child.name()}), 1,
              "process " + child.name() + " does not use spanmalloc");
}

TEST(HelpTest, SaysWhatThereIs) {
  ExpectHas(Execute({tool, "help"}).text, "profile");
  const Output help = Execute({tool, "help", "profile"});
  EXPECT_EQ(help.status, 0);
  for (const char* option :
       {"--type", "-o ", "--seconds", "--interval", "--core"}) {
    ExpectHas(help.text, option);
  }
}

}  // namespace
}  // namespace spanmalloc_tool

int main(int argc, char** argv) {
  using namespace spanmalloc_tool;
  if (argc == 2 &&
      (std::strcmp(argv[1], kKeep) == 0 || std::strcmp(argv[1], kChurn) == 0)) {
    return Act(argv[1]);
  }
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s TOOL\n", argv[0]);
    return 2;
  }
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  this_program.assign(path, length > 0 ? static_cast<size_t>(length) : 0);
  tool = argv[1];
  return RUN_ALL_TESTS();
}
