// Statistics by name, written on demand, at exit and on a signal: with
// libspanmalloc.so and libspanmalloc.a in place of malloc. A report that comes
// by itself is made by this program started once more, with options.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class StatsTest : public testing::Test {
 protected:
  struct Run {
    pid_t pid = 0;
    int status = 0;
    std::string errors;  // What came on stderr.
  };

  void SetUp() override {
    char name[] = "/tmp/spanmalloc-stats-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  // Starts this program as `what` (see RunAs) with these options.
  Run Start(
      const std::string& options, const std::string& what,
      void (*before)() = [] {}) {
    const std::string errors = Path("stderr");
    Run run;
    run.pid = fork();
    if (run.pid == 0) {
      alarm(60);
      const int file =
          open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
      dup2(file, STDERR_FILENO);
      close(file);
      setenv("SPANMALLOC_OPTIONS", options.c_str(), 1);
      before();
      execl("/proc/self/exe", "stats_test", "as", what.c_str(), nullptr);
      _exit(99);
    }
    EXPECT_EQ(waitpid(run.pid, &run.status, 0), run.pid);
    run.errors = ReadFile(errors);
    std::filesystem::remove(errors);
    return run;
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  // What a call writes in that format.
  std::string Written(const char* format) {
    const std::string path = Path("written");
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    errno = 99;
    EXPECT_EQ(spanmalloc_write_stats(file, format), 0);
    EXPECT_EQ(errno, 99);
    close(file);
    return ReadFile(path);
  }

  std::string folder_;
};

// ---- The calls

TEST_F(StatsTest, EveryMetricIsAProperty) {
  size_t count = 0;
  spanmalloc_metric metric = {};
  for (; spanmalloc_metric_at(count, &metric) == 0; ++count) {
    uint64_t value = UINT64_MAX;
    EXPECT_EQ(spanmalloc_property(metric.name, &value), 0) << metric.name;
    EXPECT_NE(value, UINT64_MAX) << metric.name;
    EXPECT_NE(metric.help[0], '\0');
  }
  // All but those of size classes.
  constexpr size_t kBySize = sizeof(spanmalloc_memstats::by_size);
  EXPECT_EQ(count, (sizeof(spanmalloc_memstats) - kBySize) / sizeof(uint64_t));
  EXPECT_EQ(spanmalloc_metric_at(count, &metric), ENOENT);
  EXPECT_EQ(spanmalloc_metric_at(SIZE_MAX, &metric), ENOENT);
  EXPECT_EQ(spanmalloc_metric_at(0, nullptr), EINVAL);
}

TEST_F(StatsTest, MetricsTellUnitAndKind) {
  spanmalloc_metric metric = {};
  ASSERT_EQ(spanmalloc_metric_at(1, &metric), 0);
  EXPECT_STREQ(metric.name, "alloc.bytes_total");
  EXPECT_EQ(metric.unit, SPANMALLOC_UNIT_BYTES);
  EXPECT_EQ(metric.kind, SPANMALLOC_KIND_COUNTER);
  ASSERT_EQ(spanmalloc_metric_at(11, &metric), 0);
  EXPECT_STREQ(metric.name, "heap.objects");
  EXPECT_EQ(metric.unit, SPANMALLOC_UNIT_COUNT);
  EXPECT_EQ(metric.kind, SPANMALLOC_KIND_GAUGE);
}

TEST_F(StatsTest, PropertiesAreThoseOfTheHeap) {
  uint64_t before = 0, between = 0, after = 0;
  ASSERT_EQ(spanmalloc_property("large.bytes", &before), 0);
  void* const p = spanmalloc_malloc(1 << 20);
  ASSERT_EQ(spanmalloc_property("large.bytes", &between), 0);
  spanmalloc_free(p);
  ASSERT_EQ(spanmalloc_property("large.bytes", &after), 0);
  EXPECT_EQ(between - before, 1u << 20);
  EXPECT_EQ(after, before);
}

TEST_F(StatsTest, NoSuchProperty) {
  uint64_t value = 7;
  EXPECT_EQ(spanmalloc_property("no.such", &value), ENOENT);
  EXPECT_EQ(spanmalloc_property("", &value), ENOENT);
  EXPECT_EQ(spanmalloc_property(nullptr, &value), EINVAL);
  EXPECT_EQ(spanmalloc_property("heap.objects", nullptr), EINVAL);
  EXPECT_EQ(value, 7u);
}

TEST_F(StatsTest, Formats) {
  EXPECT_EQ(Written("text").rfind("spanmalloc ", 0), 0u);
  const std::string json = Written("json");
  EXPECT_EQ(json.rfind("{\n", 0), 0u);
  EXPECT_EQ(json.substr(json.size() - 3), "\n}\n");
  EXPECT_NE(Written("prometheus").find("\nspanmalloc_build_info{version=\""),
            std::string::npos);
}

TEST_F(StatsTest, WritingAllocatesNothing) {
  for (const char* format : {"text", "json", "prometheus"}) {
    uint64_t before = 0, after = 0;
    const int file = open("/dev/null", O_WRONLY);
    ASSERT_EQ(spanmalloc_property("alloc.blocks_total", &before), 0);
    EXPECT_EQ(spanmalloc_write_stats(file, format), 0);
    ASSERT_EQ(spanmalloc_property("alloc.blocks_total", &after), 0);
    close(file);
    EXPECT_EQ(after, before) << format;
  }
}

TEST_F(StatsTest, WrongCalls) {
  EXPECT_EQ(spanmalloc_write_stats(STDERR_FILENO, nullptr), EINVAL);
  EXPECT_EQ(spanmalloc_write_stats(STDERR_FILENO, "xml"), EINVAL);
  EXPECT_EQ(spanmalloc_write_stats(-1, "text"), EBADF);
  const int full = open("/dev/full", O_WRONLY);
  if (full >= 0) {
    EXPECT_EQ(spanmalloc_write_stats(full, "text"), ENOSPC);
    close(full);
  }
}

// ---- At exit

TEST_F(StatsTest, WithoutOptionsNothingIsWritten) {
  const Run run = Start("", "exit");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "");
}

TEST_F(StatsTest, AtExitOnStandardError) {
  const Run run = Start("stats_at_exit=stderr", "exit");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors.rfind("spanmalloc ", 0), 0u) << run.errors;
  EXPECT_NE(run.errors.find("process " + std::to_string(run.pid) + "\n"),
            std::string::npos);
}

// As the core utilities do.
TEST_F(StatsTest, AtExitAlsoIfStandardErrorWasClosed) {
  const Run run = Start("stats_at_exit=stderr", "close_stderr");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors.rfind("spanmalloc ", 0), 0u) << run.errors;
}

TEST_F(StatsTest, AtExitNotIntoAFileOfTheProgram) {
  const std::string path = Path("own");
  setenv("SPANMALLOC_TEST_FILE", path.c_str(), 1);
  const Run run = Start("stats_at_exit=stderr", "close_all");
  unsetenv("SPANMALLOC_TEST_FILE");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "");
  EXPECT_EQ(ReadFile(path), "own");
}

TEST_F(StatsTest, AtExitToAFile) {
  const Run run =
      Start("stats_format=json,stats_at_exit=" + Path("%p.json"), "exit");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "");
  const std::string name = std::to_string(run.pid) + ".json";
  EXPECT_EQ(Files(), std::vector<std::string>{name});
  EXPECT_NE(ReadFile(Path(name)).find("\"heap.alloc_bytes\": "),
            std::string::npos);
}

TEST_F(StatsTest, AtExitToNowhere) {
  const std::string path = Path("no/such");
  const Run run = Start("stats_at_exit=" + path, "exit");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "spanmalloc: cannot write statistics to \"" + path +
                            "\": no such directory\n");
}

TEST_F(StatsTest, AtExitWithoutRoom) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  const Run run = Start("stats_at_exit=/dev/full", "exit");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors,
            "spanmalloc: cannot write statistics to \"/dev/full\": no space "
            "left\n");
}

TEST_F(StatsTest, BadOptionsAreToldAndIgnored) {
  const Run run = Start("stats_format=xml,stats_signal=SEGV", "exit");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors,
            "spanmalloc: option stats_format: \"xml\" is not one of "
            "text|json|prometheus; it stays at text\n"
            "spanmalloc: option stats_signal: \"SEGV\" is not one of "
            "none|HUP|QUIT|USR1|USR2|WINCH|PWR; it stays at none\n");
}

// ---- On a signal

TEST_F(StatsTest, OnASignalToStandardError) {
  const Run run = Start("stats_signal=USR2,stats_format=prometheus", "signal");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors.rfind("# HELP spanmalloc_memstats_", 0), 0u)
      << run.errors;
}

TEST_F(StatsTest, OnASignalToAFile) {
  const std::string path = Path("stats");
  setenv("SPANMALLOC_TEST_FILE", path.c_str(), 1);
  const Run run =
      Start("stats_signal=USR2,stats_at_exit=" + path, "signal_to_file");
  unsetenv("SPANMALLOC_TEST_FILE");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "");
  EXPECT_EQ(Files(), std::vector<std::string>{"stats"});
}

TEST_F(StatsTest, SignalsWhileThreadsAllocate) {
  const Run run = Start("stats_signal=USR2,stats_at_exit=" + Path("stats"),
                        "signals_in_threads");
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "");
  EXPECT_EQ(Files(), std::vector<std::string>{"stats"});
}

TEST_F(StatsTest, AnIgnoredSignalIsLeftAlone) {
  const Run run =
      Start("stats_signal=USR2", "signal", [] { signal(SIGUSR2, SIG_IGN); });
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.errors, "spanmalloc: option stats_signal: signal " +
                            std::to_string(SIGUSR2) +
                            " is handled or ignored already and left alone\n");
}

TEST_F(StatsTest, WithoutTheOptionASignalIsTheSystems) {
  const Run run = Start("stats_at_exit=stderr", "signal");
  EXPECT_TRUE(WIFSIGNALED(run.status) && WTERMSIG(run.status) == SIGUSR2);
  EXPECT_EQ(run.errors, "");
}

// ---- What the program does when it is started once more

void* Work(void* stop) {
  while (!*static_cast<volatile bool*>(stop)) {
    for (size_t size = 1; size < 100000; size += size / 2 + 1) {
      void* volatile p = malloc(size);
      free(p);
    }
  }
  return nullptr;
}

int RunAs(const std::string& what) {
  void* volatile p = malloc(100);
  free(p);
  if (what == "exit") return 0;
  if (what == "close_stderr") {
    atexit([] { fclose(stderr); });
    return 0;
  }
  if (what == "close_all") {
    for (int i = 0; i < 1024; ++i) close(i);
    int file = -1;
    // Ours is at 200: give that number to a file too.
    for (int i = 0; i <= 200; ++i) {
      file = open(getenv("SPANMALLOC_TEST_FILE"), O_WRONLY | O_CREAT | O_APPEND,
                  0600);
      if (file != i) return 1;
    }
    return write(file, "own", 3) == 3 ? 0 : 1;
  }
  if (what == "signal") {
    errno = 99;
    raise(SIGUSR2);
    return errno == 99 ? 0 : 1;
  }
  if (what == "signal_to_file") {
    const char* const path = getenv("SPANMALLOC_TEST_FILE");
    if (access(path, F_OK) == 0) return 1;
    raise(SIGUSR2);
    return ReadFile(path).rfind("spanmalloc ", 0) == 0 ? 0 : 2;
  }
  if (what == "signals_in_threads") {
    static volatile bool stop = false;
    pthread_t threads[3];
    for (pthread_t& thread : threads) {
      if (pthread_create(&thread, nullptr, Work, const_cast<bool*>(&stop)) !=
          0) {
        return 1;
      }
    }
    for (int i = 0; i < 50; ++i) {
      for (pthread_t thread : threads) pthread_kill(thread, SIGUSR2);
      usleep(1000);
    }
    stop = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    return 0;
  }
  return 98;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "as") == 0) return RunAs(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
