#include "tools/spanmalloc/top_detail.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tools/spanmalloc/format.h"

namespace spanmalloc_tool {
namespace {

constexpr size_t kLabel = 25;
constexpr size_t kValue = 11;
constexpr size_t kBar = 14;
constexpr size_t kLeft = kLabel + kValue + 1 + kBar;
constexpr size_t kGap = 3;
constexpr size_t kRightLabel = 15;
constexpr size_t kRight = kRightLabel + kValue;

// A bar says how much of the whole it is.
Line Amount(const char* label, uint64_t bytes, uint64_t whole) {
  Line line;
  line.AddLeft(label, kLabel).AddRight(Human(bytes), kValue);
  if (whole == 0) return line;
  const double share =
      static_cast<double>(std::min(bytes, whole)) / static_cast<double>(whole);
  const size_t length = static_cast<size_t>(share * kBar + 0.5);
  return line.Add(" ").Add(std::string(length, '|'), Style::kBar);
}

// RSS, and beneath it what of the heap can be in it.
Lines MemoryBlock(const ProcessRow& row) {
  const spanmalloc_memstats& stats = row.stats();
  const uint64_t rss = row.sample.process.rss_bytes;
  const uint64_t whole = std::max(rss, row.backed());
  return {
      Line("Memory", Style::kTitle),
      Amount("RSS of the process", rss, whole),
      Amount("heap, but for released", row.backed(), whole),
      Amount("  in use by the program", stats.heap_alloc, whole),
      Amount("  held by thread caches", stats.thread_cache_bytes, whole),
      Amount("  held by transfer caches", stats.transfer_cache_bytes, whole),
      Amount("  held by central lists", stats.central_free_bytes, whole),
      Amount("  behind last objects", stats.span_tail_bytes, whole),
      Amount("  idle, not released", row.idle(), whole),
      Amount("released, address space", stats.heap_released, 0),
      Amount("records, address space", stats.sys - stats.heap_sys, 0),
  };
}

Line Figure(const char* label, const std::string& value) {
  Line line;
  return line.AddLeft(label, kRightLabel).AddRight(value, kValue);
}

Lines RateBlock(const ProcessRow& row) {
  const spanmalloc_memstats& stats = row.stats();
  const auto count = [&row](double rate) {
    return row.has_rates ? ShortCount(rate) : std::string("-");
  };
  const auto bytes = [&row](double rate) {
    return row.has_rates ? Human(static_cast<uint64_t>(rate))
                         : std::string("-");
  };
  return {
      Line("Per second", Style::kTitle),
      Figure("mallocs", count(row.mallocs)),
      Figure("frees", count(row.frees)),
      Figure("allocated", bytes(row.bytes_allocated)),
      Figure("freed", bytes(row.bytes_freed)),
      Line(),
      Line("Peaks", Style::kTitle),
      Figure("in use", Human(stats.peak_heap_alloc)),
      Figure("in spans", Human(stats.peak_heap_inuse)),
      Figure("heap", Human(stats.peak_resident)),
      Figure("blocks now", std::to_string(stats.heap_objects)),
  };
}

// The block's other column, if there is room for it.
void AddBeside(const Lines& right, size_t width, Lines* lines) {
  if (width < kLeft + kGap + kRight) {
    lines->emplace_back();
    lines->insert(lines->end(), right.begin(), right.end());
    return;
  }
  lines->resize(std::max(lines->size(), right.size()));
  for (size_t i = 0; i < right.size(); ++i) {
    (*lines)[i].PadTo(kLeft + kGap).Add(right[i]);
  }
}

bool IsBefore(const ClassRow& a, const ClassRow& b, ClassKey key) {
  switch (key) {
    case ClassKey::kSize:
      return false;  // That is their order.
    case ClassKey::kBytes:
      return a.bytes > b.bytes;
    case ClassKey::kMallocs:
      return a.mallocs > b.mallocs;
  }
  return false;
}

}  // namespace

Lines DetailSummary(const ProcessRow& row, size_t width) {
  const spanmalloc_memstats& stats = row.stats();
  Lines lines = MemoryBlock(row);
  AddBeside(RateBlock(row), width, &lines);
  Line fragmentation;
  fragmentation.Add("Fragmentation", Style::kTitle)
      .Add(": " + Percent(row.held(), stats.heap_inuse))
      .Add(" of spans is free, ", Style::kQuiet)
      .Add(Percent(row.idle(), row.backed()))
      .Add(" of the heap is idle", Style::kQuiet);
  lines.push_back(fragmentation);
  if (row.sample.snapshot.between_steps) {
    lines.emplace_back(
        "~ read in the middle of a step: pages and large blocks "
        "may be one step apart",
        Style::kQuiet);
  }
  for (Line& line : lines) line.CutTo(width);
  return lines;
}

Line ClassHeader(ClassKey key, size_t width) {
  struct Title {
    const char* text;
    size_t columns;
    int key;
  };
  constexpr Title kTitles[] = {
      {"SIZE", 10, static_cast<int>(ClassKey::kSize)},
      {"LIVE BYTES", 16, static_cast<int>(ClassKey::kBytes)},
      {"LIVE BLOCKS", 16, -1},
      {"MALLOC/s", 15, static_cast<int>(ClassKey::kMallocs)},
      {"FREE/s", 13, -1},
  };
  Line line;
  for (const Title& title : kTitles) {
    const bool sorted = title.key == static_cast<int>(key);
    const std::string text =
        std::string(title.text) +
        (sorted ? key == ClassKey::kSize ? " ^" : " v" : "");
    line.AddRight("", title.columns - text.size(), Style::kHeader);
    line.Add(text, sorted ? Style::kSortedHeader : Style::kHeader);
  }
  return line.PadTo(width, Style::kHeader).CutTo(width);
}

Lines ClassRows(const ProcessRow& row, ClassKey key, size_t width) {
  std::vector<ClassRow> classes = row.classes;
  std::stable_sort(classes.begin(), classes.end(),
                   [key](const ClassRow& a, const ClassRow& b) {
                     return IsBefore(a, b, key);
                   });
  Lines lines;
  for (const ClassRow& size : classes) {
    Line line;
    line.AddRight(size.size == 0 ? "larger" : std::to_string(size.size), 10)
        .AddRight(Human(size.bytes), 16)
        .AddRight(std::to_string(size.blocks), 16)
        .AddRight(row.has_rates ? ShortCount(size.mallocs) : "-", 15)
        .AddRight(row.has_rates ? ShortCount(size.frees) : "-", 13);
    lines.push_back(line.CutTo(width));
  }
  return lines;
}

std::string DetailTitle(const ProcessSample& sample) {
  return "process " + std::to_string(sample.process.pid) + ": " +
         Printable(sample.process.command);
}

std::string DetailSubtitle(const ProcessSample& sample) {
  const uint64_t threads = sample.snapshot.stats.threads;
  return std::to_string(threads) + (threads == 1 ? " thread" : " threads") +
         " on spanmalloc " + sample.version + " in " + Printable(sample.path);
}

Lines DetailText(const ProcessRow& row) {
  constexpr size_t kWidth = 80;
  Lines lines = {Line(DetailTitle(row.sample)),
                 Line(DetailSubtitle(row.sample)), Line()};
  const auto add = [&lines](const Lines& more) {
    lines.insert(lines.end(), more.begin(), more.end());
  };
  add(DetailSummary(row, kWidth));
  add({Line(), ClassHeader(ClassKey::kBytes, kWidth)});
  add(ClassRows(row, ClassKey::kBytes, kWidth));
  return lines;
}

}  // namespace spanmalloc_tool
