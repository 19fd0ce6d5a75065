// What the screen shows, in every size, and how it answers to keys.
#include "tools/spanmalloc/top_screen.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/spanmalloc_tool/samples.h"
#include "tools/spanmalloc/format.h"
#include "tools/spanmalloc/top_help.h"
#include "tools/spanmalloc/top_list.h"

namespace spanmalloc_tool {
namespace {

constexpr size_t kSizes[][2] = {{80, 24}, {40, 10}, {200, 60}, {1, 1},
                                {0, 0},   {23, 4},  {80, 2},   {7, 60}};

std::vector<ProcessSample> ManySamples(int n) {
  std::vector<ProcessSample> samples;
  for (int i = 0; i < n; ++i) {
    samples.push_back(MakeSample(100 + i, "process" + std::to_string(i),
                                 kMiB * static_cast<uint64_t>(n - i)));
  }
  return samples;
}

std::string Text(TopScreen* screen, size_t width = 80, size_t height = 24) {
  std::string text;
  for (const Line& line : screen->Draw(width, height)) {
    text += line.text() + "\n";
  }
  return text;
}

// The PID in the selected row.
std::string Selected(TopScreen* screen, size_t width = 80, size_t height = 24) {
  for (const Line& line : screen->Draw(width, height)) {
    for (const Piece& piece : line.pieces()) {
      if (piece.style != Style::kSelected) continue;
      const size_t start = piece.text.find_first_not_of(' ');
      return piece.text.substr(start, piece.text.find(' ', start) - start);
    }
  }
  return "none";
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void ExpectFits(TopScreen* screen) {
  for (const auto& size : kSizes) {
    const Lines lines = screen->Draw(size[0], size[1]);
    EXPECT_EQ(lines.size(), size[1]);
    for (const Line& line : lines) {
      EXPECT_LE(line.width(), size[0]) << line.text();
      EXPECT_EQ(line.text().size(), line.width());
    }
  }
}

TEST(TopScreenTest, FitsIntoEverySize) {
  TopScreen screen(2);
  ExpectFits(&screen);
  for (const int n : {0, 1, 5, 100}) {
    ScanResult scan = MakeScan(ManySamples(n));
    scan.unreadable = 12;
    scan.other_version = 1;
    screen.Update(std::move(scan), "12:34:56");
    ExpectFits(&screen);
    screen.Press(kKeyEnd);
    ExpectFits(&screen);
    screen.Press('?');
    ExpectFits(&screen);
    screen.Press(kKeyEnd);
    ExpectFits(&screen);
    screen.Press(kKeyBack);
    screen.Press(kKeyEnter);
    ExpectFits(&screen);
    screen.Press(kKeyEnd);
    ExpectFits(&screen);
    screen.Press(kKeyBack);
  }
}

TEST(TopScreenTest, ListIn80Columns) {
  TopScreen screen(2);
  ScanResult scan = MakeScan(ManySamples(3));
  scan.pids.push_back(999);
  scan.unreadable = 1;
  scan.samples[1].snapshot.between_steps = true;
  screen.Update(std::move(scan), "12:34:56");
  const Lines lines = screen.Draw(80, 24);
  EXPECT_EQ(lines[0].text(),
            "spanmalloc top: 3 of 4 processes                             "
            "every 2 s  12:34:56");
  EXPECT_EQ(
      lines[3].text(),
      "    PID  RSS v   IN USE   HELD   IDLE   FRAG   ALLOC/s   MALLOC/s  "
      "COMMAND      ");
  EXPECT_EQ(
      lines[4].text(),
      "    100   6.0M     3.0M   768K   768K  20.0%         -          -  "
      "process0     ");
  EXPECT_TRUE(Has(lines[5].text(), " ~process1")) << lines[5].text();
  EXPECT_TRUE(Has(lines[1].text(), "RSS 12.0M  in use 6.0M"));
  EXPECT_TRUE(
      Has(lines[2].text(), "1 process cannot be read, whatever it runs on ("));
  EXPECT_EQ(lines[23].text().size(), 80u);
}

TEST(TopScreenTest, TheWidestTotalsFitInto80Columns) {
  TopScreen screen(2);
  constexpr uint64_t kUse = 999 * kMiB * 1024 / 10;
  ProcessSample sample = MakeSample(100, "a", kUse, 0);
  sample.process.rss_bytes = 10 * kUse;
  sample.snapshot.stats.heap_inuse = 2 * kUse;
  sample.snapshot.stats.heap_idle = kUse;
  sample.snapshot.stats.heap_released = 0;
  screen.Update(MakeScan({sample}), "12:34:56");
  sample.seconds = 1;
  sample.snapshot.stats.total_alloc += kUse;
  sample.snapshot.stats.mallocs += 99900;
  screen.Update(MakeScan({sample}), "12:34:57");
  const char kWidest[] =
      "RSS 999G  in use 99.9G  held 99.9G  idle 99.9G  alloc/s 99.9G  "
      "malloc/s 99.9k";
  for (const size_t width : {80, 200}) {
    const std::string totals = screen.Draw(width, 24)[1].text();
    EXPECT_EQ(totals.substr(0, sizeof(kWidest) - 1), kWidest);
  }
}

TEST(TopScreenTest, UnimportantColumnsGoFirst) {
  ProcessTable table;
  const auto has = [&table](size_t width, const char* title) {
    return Has(ListHeader(table, width).text(), title);
  };
  EXPECT_TRUE(has(200, "FREE/s") && has(200, "RELEASED"));
  EXPECT_TRUE(has(80, "MALLOC/s") && has(80, "FRAG"));
  EXPECT_FALSE(has(80, "FREE/s"));
  EXPECT_TRUE(has(40, "RSS") && has(40, "IN USE") && has(40, "COMMAND"));
  EXPECT_FALSE(has(40, "HELD"));
}

TEST(TopScreenTest, NamesAreNoOrdersToTheTerminal) {
  TopScreen screen(2);
  ProcessSample sample = MakeSample(5, "a\x1b[2J\n\t\x7f\xc3\xa4~z", kMiB);
  sample.path = "/tmp/\x1b]0;x\x07";
  screen.Update(MakeScan({sample}), "");
  EXPECT_TRUE(Has(Text(&screen), " a?[2J?????~z"));
  screen.Press(kKeyEnter);
  const std::string detail = Text(&screen);
  EXPECT_TRUE(Has(detail, "process 5: a?[2J?????~z")) << detail;
  EXPECT_TRUE(Has(detail, "/tmp/?]0;x?")) << detail;
}

TEST(TopScreenTest, SortKeys) {
  TopScreen screen(2);
  screen.Update(MakeScan(ManySamples(3)), "");
  const struct {
    char key;
    const char* header;
    const char* reversed;
  } kKeys[] = {
      {'u', "IN USE v", "IN USE ^"},     {'h', "HELD v", "HELD ^"},
      {'i', "IDLE v", "IDLE ^"},         {'a', "ALLOC/s v", "ALLOC/s ^"},
      {'m', "MALLOC/s v", "MALLOC/s ^"}, {'p', "PID ^", "PID v"},
      {'n', "COMMAND ^", "COMMAND v"},   {'r', "RSS v", "RSS ^"},
  };
  for (const auto& key : kKeys) {
    screen.Press(key.key);
    EXPECT_TRUE(Has(Text(&screen), key.header)) << key.header;
    screen.Press(key.key);
    EXPECT_TRUE(Has(Text(&screen), key.reversed)) << key.reversed;
    screen.Press('R');
    EXPECT_TRUE(Has(Text(&screen), key.header)) << key.header;
  }
  EXPECT_EQ(Selected(&screen), "100");
  screen.Press('R');
  EXPECT_EQ(Selected(&screen), "102");
}

TEST(TopScreenTest, Moving) {
  TopScreen screen(2);
  screen.Update(MakeScan(ManySamples(100)), "");
  EXPECT_EQ(Selected(&screen), "100");
  screen.Press(kKeyUp);
  EXPECT_EQ(Selected(&screen), "100");
  screen.Press(kKeyDown);
  screen.Press('j');
  screen.Press('j');
  screen.Press('k');
  EXPECT_EQ(Selected(&screen), "102");
  screen.Press(kKeyPageDown);  // 19 rows: 24 less 4 above and 1 below.
  EXPECT_EQ(Selected(&screen), "121");
  screen.Press(kKeyPageUp);
  EXPECT_EQ(Selected(&screen), "102");
  screen.Press(kKeyEnd);
  EXPECT_EQ(Selected(&screen), "199");
  screen.Press(kKeyDown);
  EXPECT_EQ(Selected(&screen), "199");
  screen.Press(kKeyHome);
  EXPECT_EQ(Selected(&screen), "100");
}

TEST(TopScreenTest, SelectionStaysWithItsProcess) {
  TopScreen screen(2);
  std::vector<ProcessSample> samples = ManySamples(5);
  screen.Update(MakeScan(samples), "");
  screen.Press(kKeyDown);
  EXPECT_EQ(Selected(&screen), "101");
  screen.Press('R');
  EXPECT_EQ(Selected(&screen), "101");
  screen.Press('R');
  // It ends: what has taken its place is selected.
  samples.erase(samples.begin() + 1);
  screen.Update(MakeScan(samples), "");
  EXPECT_EQ(Selected(&screen), "102");
  samples.resize(1);
  screen.Update(MakeScan(samples), "");
  EXPECT_EQ(Selected(&screen), "100");
  screen.Update(MakeScan({}), "");
  EXPECT_EQ(Selected(&screen), "none");
  EXPECT_EQ(screen.Press(kKeyEnter), TopScreen::Answer::kRedraw);
  EXPECT_TRUE(Has(Text(&screen), "No process that can be read"));
}

TEST(TopScreenTest, FirstRowIsSelectedUntilMoved) {
  TopScreen screen(2);
  screen.Update(MakeScan({MakeSample(1, "a", 10), MakeSample(2, "b", 5)}), "");
  EXPECT_EQ(Selected(&screen), "1");
  screen.Update(MakeScan({MakeSample(1, "a", 10), MakeSample(2, "b", 50)}), "");
  EXPECT_EQ(Selected(&screen), "2");
}

TEST(TopScreenTest, Detail) {
  TopScreen screen(2);
  screen.Update(MakeScan({MakeSample(77, "server", 4 * kMiB)}), "12:00:00");
  screen.Press(kKeyEnter);
  ProcessSample later = MakeSample(77, "server", 4 * kMiB, 102);
  later.snapshot.stats.mallocs += 5000;
  later.snapshot.stats.by_size[0].mallocs += 5000;
  screen.Update(MakeScan({later}), "12:00:02");
  const std::string text = Text(&screen);
  for (const char* part :
       {"process 77: server", "3 threads on spanmalloc 0.1.0 in /usr/lib/",
        "RSS of the process           8.0 MiB ||||||||||||||",
        "in use by the program      4.0 MiB ||||||| ",
        "held by thread caches      1.0 MiB ||",
        "released, address space      4.0 MiB", "Per second", "Peaks",
        "blocks now",
        "Fragmentation: 20.0% of spans is free, 16.7% of the heap is idle",
        "LIVE BYTES v", "    larger         2.0 MiB               2",
        "Esc back"}) {
    EXPECT_TRUE(Has(text, part)) << part << "\nin\n" << text;
  }
  EXPECT_TRUE(Has(text, "mallocs               2.5k")) << text;
  // Classes by bytes, by rate, by size.
  EXPECT_LT(text.find("    larger"), text.find("      4096"));
  screen.Press('m');
  EXPECT_LT(Text(&screen).find("        16  "), Text(&screen).find("larger"));
  screen.Press('s');
  EXPECT_TRUE(Has(Text(&screen), "SIZE ^"));
  screen.Press(kKeyBack);
  EXPECT_TRUE(Has(Text(&screen), "1 of 1 processes"));
}

TEST(TopScreenTest, DetailOfWhatHasEnded) {
  const ProcessSample sample = MakeSample(77, "server", kMiB);
  TopScreen screen(2);
  screen.Update(MakeScan({sample}), "");
  screen.OpenDetail(77);
  EXPECT_FALSE(Has(Text(&screen), "has ended"));
  screen.Update(MakeScan({}), "");
  EXPECT_TRUE(Has(Text(&screen), "process 77 has ended"));
  EXPECT_TRUE(Has(Text(&screen), "process 77: server"));
  // Another process under that number is not the one.
  ProcessSample other = sample;
  other.process.image.start_time += 1;
  other.process.command = "other";
  screen.Update(MakeScan({other}), "");
  EXPECT_TRUE(Has(Text(&screen), "process 77 has ended"));
  EXPECT_FALSE(Has(Text(&screen), "other"));
  ScanResult scan;
  scan.pids = {77};
  screen.Update(std::move(scan), "");
  EXPECT_TRUE(Has(Text(&screen), "runs on another malloc"));
}

TEST(TopScreenTest, DetailScrollsUnderTheHeaderOfItsClasses) {
  TopScreen screen(2);
  screen.Update(MakeScan({MakeSample(77, "server", kMiB)}), "");
  screen.OpenDetail(77);
  EXPECT_TRUE(Has(Text(&screen, 80, 6), "Memory"));
  screen.Press(kKeyEnd);
  const std::string text = Text(&screen, 80, 6);
  EXPECT_FALSE(Has(text, "Memory"));
  EXPECT_TRUE(Has(text, "larger") || Has(text, "        16")) << text;
  EXPECT_TRUE(Has(text, "LIVE BYTES")) << text;
  for (int i = 0; i < 100; ++i) screen.Press(kKeyUp);
  EXPECT_TRUE(Has(Text(&screen, 80, 6), "Memory"));
}

TEST(TopScreenTest, Interval) {
  TopScreen screen(2);
  EXPECT_TRUE(Has(Text(&screen), "every 2 s"));
  screen.Press('+');
  EXPECT_DOUBLE_EQ(screen.interval(), 5);
  screen.Press('-');
  screen.Press('-');
  EXPECT_DOUBLE_EQ(screen.interval(), 1);
  for (int i = 0; i < 50; ++i) screen.Press('-');
  EXPECT_DOUBLE_EQ(screen.interval(), kMinInterval);
  for (int i = 0; i < 50; ++i) screen.Press('+');
  EXPECT_DOUBLE_EQ(screen.interval(), kMaxInterval);
  TopScreen odd(3);
  odd.Press('-');
  EXPECT_DOUBLE_EQ(odd.interval(), 2);
}

TEST(TopScreenTest, OtherKeys) {
  TopScreen screen(2);
  EXPECT_EQ(screen.Press('q'), TopScreen::Answer::kQuit);
  EXPECT_EQ(screen.Press(' '), TopScreen::Answer::kLook);
  EXPECT_EQ(screen.Press('x'), TopScreen::Answer::kNothing);
  EXPECT_EQ(screen.Press(0), TopScreen::Answer::kNothing);
  screen.Press('?');
  EXPECT_TRUE(Has(Text(&screen), "Ctrl-C"));
  EXPECT_EQ(screen.Press('q'), TopScreen::Answer::kQuit);
  screen.Press('?');
  EXPECT_FALSE(Has(Text(&screen), "Ctrl-C"));
}

TEST(TopScreenTest, HelpFitsOn80By24) {
  EXPECT_LE(TopHelp().size(), 23u);
  for (const Line& line : TopHelp()) EXPECT_LE(line.width(), 80u);
}

TEST(FormatTest, Short) {
  EXPECT_EQ(ShortBytes(0), "0");
  EXPECT_EQ(ShortBytes(1023), "1023");
  EXPECT_EQ(ShortBytes(1024), "1.0K");
  EXPECT_EQ(ShortBytes(1010 * 1024), "1010K");
  EXPECT_EQ(ShortBytes(1024 * 1024 - 1), "1.0M");
  EXPECT_EQ(ShortCount(0), "0");
  EXPECT_EQ(ShortCount(0.5), "0.5");
  EXPECT_EQ(ShortCount(3), "3");
  EXPECT_EQ(ShortCount(999.4), "999");
  EXPECT_EQ(ShortCount(999.6), "1.0k");
  EXPECT_EQ(ShortCount(1234567), "1.2M");
  for (uint64_t n = 1; n != 0; n *= 2) {
    EXPECT_LE(ShortBytes(n - 1).size(), 5u) << n;
    EXPECT_LE(ShortCount(static_cast<double>(n)).size(), 5u) << n;
  }
  EXPECT_EQ(Human(812), "812 B");
  EXPECT_EQ(Human(29223472), "27.9 MiB");
  EXPECT_EQ(Percent(1, 8), "12.5%");
  EXPECT_EQ(Percent(0, 0), "-");
}

}  // namespace
}  // namespace spanmalloc_tool
