#include "tools/spanmalloc/top_list.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tools/spanmalloc/format.h"

namespace spanmalloc_tool {
namespace {

// Beside the name there is a blank and a mark.
constexpr size_t kMinName = 13;
constexpr size_t kBesideName = 2;

// A column that cannot be sorted by.
constexpr int kNoKey = -1;

struct Column {
  const char* title;
  size_t width;  // With the blanks before it.
  int rank;      // Columns of higher rank are left out first.
  int key;       // A SortKey, or kNoKey.
  std::string (*text)(const ProcessRow& row);
};

constexpr int Key(SortKey key) { return static_cast<int>(key); }

std::string Rate(const ProcessRow& row, double rate) {
  return row.has_rates ? ShortCount(rate) : "-";
}

// There is room for " v" behind each title.
constexpr Column kColumns[] = {
    {"PID", 7, 0, Key(SortKey::kPid),
     [](const ProcessRow& row) {
       return std::to_string(row.sample.process.pid);
     }},
    {"RSS", 7, 1, Key(SortKey::kRss),
     [](const ProcessRow& row) {
       return ShortBytes(row.sample.process.rss_bytes);
     }},
    {"IN USE", 9, 2, Key(SortKey::kInUse),
     [](const ProcessRow& row) { return ShortBytes(row.stats().heap_alloc); }},
    {"HELD", 7, 4, Key(SortKey::kHeld),
     [](const ProcessRow& row) { return ShortBytes(row.held()); }},
    {"IDLE", 7, 5, Key(SortKey::kIdle),
     [](const ProcessRow& row) { return ShortBytes(row.idle()); }},
    {"FRAG", 7, 7, kNoKey,
     [](const ProcessRow& row) {
       return Percent(row.held(), row.stats().heap_inuse);
     }},
    {"PEAK", 7, 9, kNoKey,
     [](const ProcessRow& row) {
       return ShortBytes(row.stats().peak_heap_alloc);
     }},
    {"RELEASED", 10, 11, kNoKey,
     [](const ProcessRow& row) {
       return ShortBytes(row.stats().heap_released);
     }},
    {"THREADS", 9, 10, kNoKey,
     [](const ProcessRow& row) { return std::to_string(row.stats().threads); }},
    {"ALLOC/s", 10, 3, Key(SortKey::kAllocated),
     [](const ProcessRow& row) {
       return row.has_rates
                  ? ShortBytes(static_cast<uint64_t>(row.bytes_allocated))
                  : "-";
     }},
    {"MALLOC/s", 11, 6, Key(SortKey::kMallocs),
     [](const ProcessRow& row) { return Rate(row, row.mallocs); }},
    {"FREE/s", 9, 8, kNoKey,
     [](const ProcessRow& row) { return Rate(row, row.frees); }},
};

// Those that there is room for.
std::vector<const Column*> ColumnsIn(size_t width) {
  std::vector<const Column*> columns;
  for (const Column& column : kColumns) columns.push_back(&column);
  size_t used = kBesideName + kMinName;
  for (const Column* column : columns) used += column->width;
  while (used > width && columns.size() > 1) {
    const auto last = std::max_element(
        columns.begin(), columns.end(),
        [](const Column* a, const Column* b) { return a->rank < b->rank; });
    used -= (*last)->width;
    columns.erase(last);
  }
  return columns;
}

const char* Plural(size_t n) { return n == 1 ? "" : "es"; }

}  // namespace

Line ListHeader(const ProcessTable& table, size_t width) {
  const auto title = [&table](const char* name, int key) {
    if (key != Key(table.sort_key())) return std::string(name);
    // Names and PIDs go up by nature, figures down.
    const bool up = (table.sort_key() == SortKey::kPid ||
                     table.sort_key() == SortKey::kCommand) != table.reversed();
    return std::string(name) + (up ? " ^" : " v");
  };
  const auto style = [&table](int key) {
    return key == Key(table.sort_key()) ? Style::kSortedHeader : Style::kHeader;
  };
  Line line;
  for (const Column* const column : ColumnsIn(width)) {
    const std::string text = title(column->title, column->key);
    line.AddRight("", column->width - text.size(), Style::kHeader);
    line.Add(text, style(column->key));
  }
  constexpr int kName = Key(SortKey::kCommand);
  line.AddRight("", kBesideName, Style::kHeader);
  line.Add(title("COMMAND", kName), style(kName));
  return line.PadTo(width, Style::kHeader).CutTo(width);
}

Line ListRow(const ProcessRow& row, size_t width) {
  Line line;
  for (const Column* const column : ColumnsIn(width)) {
    line.AddRight(column->text(row), column->width);
  }
  line.Add(row.sample.snapshot.between_steps ? " ~" : "  ");
  line.Add(Printable(row.sample.process.command));
  return line.PadTo(width).CutTo(width);
}

Line ListTotals(const ProcessTable& table) {
  uint64_t rss = 0, in_use = 0, held = 0, idle = 0;
  double mallocs = 0, bytes = 0;
  for (const ProcessRow& row : table.rows()) {
    rss += row.sample.process.rss_bytes;
    in_use += row.stats().heap_alloc;
    held += row.held();
    idle += row.idle();
    mallocs += row.mallocs;
    bytes += row.bytes_allocated;
  }
  Line line;
  const auto add = [&line](const char* what, const std::string& value) {
    line.Add(line.width() == 0 ? "" : "  ").Add(what, Style::kQuiet);
    line.Add(" " + value, Style::kTitle);
  };
  add("RSS", ShortBytes(rss));
  add("in use", ShortBytes(in_use));
  add("held", ShortBytes(held));
  add("idle", ShortBytes(idle));
  add("alloc/s", ShortBytes(static_cast<uint64_t>(bytes)));
  add("malloc/s", ShortCount(mallocs));
  return line;
}

std::string ListNote(const ProcessTable& table) {
  std::string note;
  if (const size_t n = table.unreadable(); n > 0) {
    note = std::to_string(n) + " process" + Plural(n) +
           " cannot be read, whatever " + (n == 1 ? "it runs" : "they run") +
           " on (" +
           (geteuid() == 0 ? "it takes CAP_SYS_PTRACE" : "run this as root") +
           ")";
  }
  if (const size_t n = table.other_version(); n > 0) {
    if (!note.empty()) note += "; ";
    note += std::to_string(n) + " on another version of spanmalloc";
  }
  return note;
}

}  // namespace spanmalloc_tool
