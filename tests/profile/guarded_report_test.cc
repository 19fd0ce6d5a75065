// Where the frames of a report are said to be, and reports that meet.

#include "allocator/profile/guarded_report.h"

#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/support/crash.h"

namespace spanmalloc {
namespace {

using Lines = std::vector<std::string>;

std::string Hex(uintptr_t n) {
  char text[30];
  snprintf(text, sizeof(text), "0x%zx", static_cast<size_t>(n));
  return text;
}

GuardedEvent Event(const std::vector<uintptr_t>& frames) {
  GuardedEvent event = {};
  event.time_ns = 5'000'000'000;
  event.thread = 17;
  for (const uintptr_t frame : frames) {
    event.frames[event.depth++] = reinterpret_cast<void*>(frame);
  }
  return event;
}

// What is printed for a free of 0x1234, without the first line.
Lines Print(const std::vector<uintptr_t>& frames,
            const GuardedBlock* block = nullptr) {
  Crash child = InCrashingChild([&] {
    const GuardedEvent now = Event(frames);
    GuardedReport report = {};
    report.error = GuardedError::kInvalidPointer;
    report.address = 0x1234;
    report.now = &now;
    report.block = block;
    errno = EXDEV;
    PrintGuardedReport(report);
    return errno == EXDEV ? 0 : 1;
  });
  EXPECT_EQ(child.status, 0);
  EXPECT_EQ(child.line(0),
            "spanmalloc: free of 0x1234, which is not the start of a live "
            "block");
  if (!child.lines.empty()) child.lines.erase(child.lines.begin());
  return child.lines;
}

TEST(GuardedReportTest, FramesInNoModule) {
  EXPECT_EQ(Print({0x10, 0x20}),
            (Lines{"  free by thread 17:", "    #0 0x10", "    #1 0x20"}));
}

TEST(GuardedReportTest, NoStack) {
  EXPECT_EQ(Print({}), (Lines{"  free by thread 17:", "    no stack"}));
}

// What the dynamic linker says of the same addresses.
TEST(GuardedReportTest, FramesInModules) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(&Print) + 3;
  const uintptr_t in_libc =
      reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "qsort")) + 5;
  Dl_info program, libc;
  ASSERT_NE(dladdr(reinterpret_cast<void*>(here), &program), 0);
  ASSERT_NE(dladdr(reinterpret_cast<void*>(in_libc), &libc), 0);
  char program_name[4096], libc_name[4096];
  ASSERT_NE(realpath("/proc/self/exe", program_name), nullptr);
  ASSERT_NE(realpath(libc.dli_fname, libc_name), nullptr);
  const auto offset = [](uintptr_t pc, const Dl_info& info) {
    return Hex(pc - reinterpret_cast<uintptr_t>(info.dli_fbase));
  };
  EXPECT_EQ(Print({here, in_libc, 0x10, here + 1}),
            (Lines{"  free by thread 17:",
                   "    #0 " + Hex(here) + " " + program_name + "+" +
                       offset(here, program),
                   "    #1 " + Hex(in_libc) + " " + libc_name + "+" +
                       offset(in_libc, libc),
                   "    #2 0x10",
                   "    #3 " + Hex(here + 1) + " " + program_name + "+" +
                       offset(here + 1, program)}));
}

// A file with a long name, in a range where nothing else is.
class GuardedReportFileTest : public testing::Test {
 protected:
  GuardedReportFileTest() {
    char name[] = "/tmp/guarded_report_XXXXXX";
    folder_ = mkdtemp(name);
    middle_ = folder_ + "/" + std::string(200, 'x');
    mkdir(middle_.c_str(), 0700);
    name_ = middle_ + "/" + std::string(200, 'y');
    file_ = fopen(name_.c_str(), "w+");
    EXPECT_EQ(ftruncate(fileno(file_), 3 * kPage), 0);
    start_ =
        mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  ~GuardedReportFileTest() override {
    munmap(start_, kRange);
    fclose(file_);
    unlink(name_.c_str());
    rmdir(middle_.c_str());
    rmdir(folder_.c_str());
  }

  // Maps a page of the file at a page of the range.
  void Map(long page, long of_file) {
    void* const place = reinterpret_cast<void*>(Address(page, 0));
    EXPECT_EQ(mmap(place, static_cast<size_t>(kPage), PROT_READ,
                   MAP_PRIVATE | MAP_FIXED, fileno(file_), of_file * kPage),
              place);
  }
  uintptr_t Address(long page, long byte) const {
    return reinterpret_cast<uintptr_t>(start_) +
           static_cast<uintptr_t>(page * kPage + byte);
  }
  // The end of the name is what matters.
  std::string Line(int i, uintptr_t address, long offset) const {
    return "    #" + std::to_string(i) + " " + Hex(address) + " " +
           name_.substr(name_.size() - 255) + "+" +
           Hex(static_cast<uintptr_t>(offset));
  }

  const long kPage = sysconf(_SC_PAGESIZE);
  const size_t kRange = static_cast<size_t>(10 * kPage);
  std::string folder_, middle_, name_;
  FILE* file_;
  void* start_;
};

TEST_F(GuardedReportFileTest, PartsOfFiles) {
  Map(1, 2);
  EXPECT_EQ(
      Print({Address(1, 7), Address(1, -1), Address(2, 0)}),
      (Lines{"  free by thread 17:", Line(0, Address(1, 7), 2 * kPage + 7),
             "    #1 " + Hex(Address(1, -1)), "    #2 " + Hex(Address(2, 0))}));
}

// Each time that it is mapped it has another base; what follows is the same
// module.
TEST_F(GuardedReportFileTest, FilesThatAreMappedTwice) {
  for (const long at : {0, 4}) {
    Map(at, 0);
    Map(at + 2, 1);
  }
  EXPECT_EQ(
      Print({Address(2, 7), Address(4, 8), Address(6, 9)}),
      (Lines{"  free by thread 17:", Line(0, Address(2, 7), 2 * kPage + 7),
             Line(1, Address(4, 8), 8),
             Line(2, Address(6, 9), 2 * kPage + 9)}));
}

TEST(GuardedReportTest, TheDeepestStack) {
  std::vector<uintptr_t> frames;
  for (size_t i = 0; i < GuardedEvent::kMaxFrames; ++i) {
    frames.push_back(reinterpret_cast<uintptr_t>(&Print) + i);
  }
  const Lines lines = Print(frames);
  ASSERT_EQ(lines.size(), 1 + GuardedEvent::kMaxFrames);
  EXPECT_EQ(lines.back().find("    #31 " + Hex(frames.back()) + " /"), 0u);
}

TEST(GuardedReportTest, ThreadsAndTimes) {
  GuardedBlock block = {};
  block.address = 0x1000;
  block.size = 10;
  block.is_freed = true;
  block.allocated = Event({0x10});
  block.allocated.time_ns -= 3'045'999'999;
  block.allocated.thread = 18;
  block.freed = Event({0x20});
  block.freed.thread = 19;
  block.freed.time_ns -= 120'000'000;
  EXPECT_EQ(
      Print({0x30}, &block),
      (Lines{"  free by thread 17:", "    #0 0x30",
             "  freed by thread 19, 0.120 s before:", "    #0 0x20",
             "  allocated by thread 18, 3.045 s before:", "    #0 0x10"}));
  // Another thread's clock may be ahead by a little.
  block.is_freed = false;
  block.allocated.time_ns = 5'000'000'001;
  EXPECT_EQ(
      Print({0x30}, &block),
      (Lines{"  free by thread 17:", "    #0 0x30",
             "  allocated by thread 18, 0.000 s before:", "    #0 0x10"}));
}

TEST(GuardedReportTest, ReportsDoNotMix) {
  constexpr int kThreads = 4, kReports = 20;
  const uintptr_t here = reinterpret_cast<uintptr_t>(&Print);
  const Crash child = InCrashingChild([&] {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([here] {
        for (int j = 0; j < kReports; ++j) {
          const GuardedEvent now = Event({here, 0x10});
          GuardedReport report = {};
          report.error = GuardedError::kInvalidPointer;
          report.now = &now;
          PrintGuardedReport(report);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return 0;
  });
  ASSERT_EQ(child.lines.size(), size_t{4} * kThreads * kReports);
  for (size_t at = 0; at < child.lines.size(); at += 4) {
    EXPECT_EQ(child.lines[at].find("spanmalloc: free of 0x0, "), 0u);
    EXPECT_EQ(child.lines[at + 1], "  free by thread 17:");
    EXPECT_EQ(child.lines[at + 2].find("    #0 " + Hex(here) + " /"), 0u);
    EXPECT_EQ(child.lines[at + 3], "    #1 0x10");
  }
}

}  // namespace
}  // namespace spanmalloc
