#include "tools/spanmalloc/top_command.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tools/spanmalloc/command_line.h"
#include "tools/spanmalloc/process_scan.h"
#include "tools/spanmalloc/terminal.h"
#include "tools/spanmalloc/top_list.h"
#include "tools/spanmalloc/top_screen.h"

ABSL_FLAG(double, interval, 2, "seconds between two looks");
ABSL_FLAG(bool, once, false, "print once, as text");

namespace spanmalloc_tool {
namespace {

using Clock = std::chrono::steady_clock;

// The second look comes early, for the first one has no rates.
constexpr double kFirstInterval = 0.5;

// Wide enough for every column and the longest name.
constexpr size_t kTextWidth = 132;

int ReportUsage(absl::string_view error) {
  return Report(absl::StrCat(error, " (see: spanmalloc help top)"), kUsage);
}

std::string TimeOfDay() {
  const time_t now = time(nullptr);
  tm local;
  char text[16];
  if (localtime_r(&now, &local) == nullptr) return "";
  return std::string(text, strftime(text, sizeof(text), "%H:%M:%S", &local));
}

void PrintLine(const Line& line) {
  std::string text = line.text();
  text.erase(text.find_last_not_of(' ') + 1);
  std::printf("%s\n", text.c_str());
}

void PrintTable(const ProcessTable& table) {
  PrintLine(ListHeader(table, kTextWidth));
  for (const ProcessRow& row : table.rows()) {
    PrintLine(ListRow(row, kTextWidth));
  }
  const std::string note = ListNote(table);
  if (!note.empty()) Report(note, kOk);
}

// Two looks, and what they have shown. A PID of 0 stands for all.
int Once(pid_t pid, ProcessScan* scan) {
  ProcessTable table;
  const auto look = [&] {
    table.Update(pid == 0 ? scan->Run() : scan->Run({pid}));
  };
  look();
  std::this_thread::sleep_for(
      std::chrono::duration<double>(absl::GetFlag(FLAGS_interval)));
  look();
  if (pid == 0) {
    PrintTable(table);
  } else {
    const ProcessRow* const row = table.Find(pid);
    if (row == nullptr) {
      return Report(absl::StrCat("process ", pid, " has ended"), kUnreadable);
    }
    for (const Line& line : DetailText(*row)) PrintLine(line);
  }
  return std::fflush(stdout) == 0 ? kOk : Report("cannot write", kUnreadable);
}

// Until a key or a signal ends it.
void Loop(pid_t pid, ProcessScan* scan, TopScreen* screen, Terminal* terminal) {
  const auto look = [&] { screen->Update(scan->Run(), TimeOfDay()); };
  look();
  if (pid != 0) screen->OpenDetail(pid);
  Clock::time_point last = Clock::now();
  double wait = std::min(screen->interval(), kFirstInterval);
  for (;;) {
    terminal->Show(screen->Draw(terminal->width(), terminal->height()));
    const std::chrono::duration<double> since = Clock::now() - last;
    int key = 0;
    const Terminal::Event event =
        terminal->Wait(std::max(wait - since.count(), 0.0), &key);
    if (event == Terminal::Event::kEnd) return;
    TopScreen::Answer answer = TopScreen::Answer::kNothing;
    if (event == Terminal::Event::kKey) answer = screen->Press(key);
    if (answer == TopScreen::Answer::kQuit) return;
    const bool is_time =
        std::chrono::duration<double>(Clock::now() - last).count() >= wait;
    if (answer == TopScreen::Answer::kLook || is_time) {
      look();
      last = Clock::now();
      wait = screen->interval();
    } else if (answer == TopScreen::Answer::kRedraw) {
      wait = std::min(wait, screen->interval());
    }
  }
}

int FullScreen(pid_t pid, ProcessScan* scan) {
  Terminal terminal;
  TopScreen screen(absl::GetFlag(FLAGS_interval));
  std::string error;
  if (!terminal.Open(&error)) return Report(error, kUsage);
  Loop(pid, scan, &screen, &terminal);
  terminal.Close();
  // Who sent a signal shall see that it was that; Ctrl-C is but a key here.
  const int end = terminal.end_signal();
  if (end != 0 && end != SIGINT) {
    signal(end, SIG_DFL);
    raise(end);
  }
  return kOk;
}

}  // namespace

int TopCommand(const std::vector<std::string>& arguments) {
  std::vector<std::string> positional;
  std::string error;
  if (!ParseArguments(arguments, {"interval", "once"}, &positional, &error)) {
    return ReportUsage(error);
  }
  const double interval = absl::GetFlag(FLAGS_interval);
  if (!(interval >= kMinInterval && interval <= kMaxInterval)) {
    return ReportUsage("--interval takes 0.1 to 3600 seconds");
  }
  if (positional.size() > 1) return ReportUsage("too many arguments");
  int pid = 0;
  if (!positional.empty() &&
      (!absl::SimpleAtoi(positional[0], &pid) || pid <= 0)) {
    return ReportUsage(absl::StrCat(positional[0], " is no PID"));
  }
  ProcessScan scan;
  if (pid != 0 && !scan.Open(pid, &error)) return Report(error, kUnreadable);
  return absl::GetFlag(FLAGS_once) ? Once(pid, &scan) : FullScreen(pid, &scan);
}

}  // namespace spanmalloc_tool
