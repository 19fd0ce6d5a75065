#include "tools/spanmalloc/top_screen.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "tools/spanmalloc/top_help.h"
#include "tools/spanmalloc/top_list.h"

namespace spanmalloc_tool {
namespace {

constexpr double kIntervals[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600};

// Below these heights, things around the table are left out.
constexpr size_t kFullHeight = 8;
constexpr size_t kSmallHeight = 5;
constexpr size_t kTinyHeight = 3;

const char kListKeys[] =
    "? help   Enter detail   r u h i a m p n sort   q quit";
const char kDetailKeys[] = "Esc back   ? help   u m s sort   q quit";
const char kHelpKeys[] = "Esc back   q quit";

Line KeyLine(const char* keys, size_t width) {
  return Line(keys, Style::kHeader).PadTo(width, Style::kHeader).CutTo(width);
}

// Exactly that many lines, none wider.
Lines Fit(Lines lines, size_t width, size_t height) {
  lines.resize(height);
  for (Line& line : lines) line.CutTo(width);
  return lines;
}

// Moves by a key, within a list of that length.
bool Move(int key, size_t page, size_t length, size_t* at) {
  const size_t last = length == 0 ? 0 : length - 1;
  const size_t now = std::min(*at, last);
  switch (key) {
    case kKeyUp:
    case 'k':
      *at = now == 0 ? 0 : now - 1;
      return true;
    case kKeyDown:
    case 'j':
      *at = std::min(now + 1, last);
      return true;
    case kKeyPageUp:
      *at = now - std::min(now, page);
      return true;
    case kKeyPageDown:
      *at = std::min(now + page, last);
      return true;
    case kKeyHome:
      *at = 0;
      return true;
    case kKeyEnd:
      *at = last;
      return true;
  }
  return false;
}

}  // namespace

void TopScreen::Update(ScanResult scan, std::string time) {
  time_ = std::move(time);
  table_.Update(std::move(scan));
  KeepSelection();
  if (view_ == View::kList) return;
  const ProcessRow* const row = table_.Find(detail_.sample.process.pid);
  // Of a process that has ended the last figures stay.
  if (row != nullptr && row->sample.process.image.start_time ==
                            detail_.sample.process.image.start_time) {
    detail_ = *row;
  }
}

void TopScreen::OpenDetail(pid_t pid) {
  const ProcessRow* const row = table_.Find(pid);
  if (row == nullptr) return;
  detail_ = *row;
  detail_first_ = 0;
  view_ = View::kDetail;
}

TopScreen::Answer TopScreen::Press(int key) {
  switch (key) {
    case 'q':
      return Answer::kQuit;
    case ' ':
      return Answer::kLook;
    case '+':
    case '-':
      return ChangeInterval(key == '+');
    case '?':
      if (view_ == View::kHelp) return Back();
      before_help_ = view_;
      view_ = View::kHelp;
      help_first_ = 0;
      return Answer::kRedraw;
    case kKeyBack:
      return Back();
  }
  switch (view_) {
    case View::kList:
      return PressInList(key);
    case View::kDetail:
      return PressInDetail(key);
    case View::kHelp:
      break;
  }
  return Move(key, 1, TopHelp().size(), &help_first_) ? Answer::kRedraw
                                                      : Answer::kNothing;
}

TopScreen::Answer TopScreen::PressInList(int key) {
  size_t row = selected_;
  if (Move(key, page_, table_.rows().size(), &row)) {
    SelectRow(row);
    return Answer::kRedraw;
  }
  switch (key) {
    case kKeyEnter:
      if (selected_ < table_.rows().size()) {
        OpenDetail(table_.rows()[selected_].sample.process.pid);
      }
      return Answer::kRedraw;
    case 'R':
      table_.SortBy(table_.sort_key(), !table_.reversed());
      KeepSelection();
      return Answer::kRedraw;
  }
  struct Sort {
    int key;
    SortKey by;
  };
  constexpr Sort kSorts[] = {
      {'r', SortKey::kRss},       {'u', SortKey::kInUse},
      {'h', SortKey::kHeld},      {'i', SortKey::kIdle},
      {'a', SortKey::kAllocated}, {'m', SortKey::kMallocs},
      {'p', SortKey::kPid},       {'n', SortKey::kCommand},
  };
  for (const Sort& sort : kSorts) {
    if (key != sort.key) continue;
    SortList(sort.by);
    return Answer::kRedraw;
  }
  return Answer::kNothing;
}

TopScreen::Answer TopScreen::PressInDetail(int key) {
  switch (key) {
    case 'u':
      class_key_ = ClassKey::kBytes;
      return Answer::kRedraw;
    case 'm':
      class_key_ = ClassKey::kMallocs;
      return Answer::kRedraw;
    case 's':
      class_key_ = ClassKey::kSize;
      return Answer::kRedraw;
  }
  // How far one can go is known when it is drawn.
  return Move(key, detail_page_, size_t{1} << 20, &detail_first_)
             ? Answer::kRedraw
             : Answer::kNothing;
}

TopScreen::Answer TopScreen::ChangeInterval(bool up) {
  constexpr double kAlmost = 1e-6;
  if (up) {
    const auto next = std::upper_bound(
        std::begin(kIntervals), std::end(kIntervals), interval_ + kAlmost);
    if (next != std::end(kIntervals)) interval_ = *next;
  } else {
    const auto next = std::lower_bound(
        std::begin(kIntervals), std::end(kIntervals), interval_ - kAlmost);
    if (next != std::begin(kIntervals)) interval_ = *std::prev(next);
  }
  return Answer::kRedraw;
}

TopScreen::Answer TopScreen::Back() {
  view_ = view_ == View::kHelp ? before_help_ : View::kList;
  return Answer::kRedraw;
}

void TopScreen::SortList(SortKey key) {
  table_.SortBy(key, key == table_.sort_key() && !table_.reversed());
  KeepSelection();
}

void TopScreen::SelectRow(size_t row) {
  selected_ = row;
  selected_pid_ = row > 0 && row < table_.rows().size()
                      ? table_.rows()[row].sample.process.pid
                      : 0;
}

// Where the process is now that was selected; if it is gone, what has taken its
// place.
void TopScreen::KeepSelection() {
  const auto& rows = table_.rows();
  if (selected_pid_ != 0) {
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].sample.process.pid == selected_pid_) {
        selected_ = i;
        return;
      }
    }
    SelectRow(rows.empty() ? 0 : std::min(selected_, rows.size() - 1));
  } else {
    selected_ = 0;
  }
}

Lines TopScreen::Draw(size_t width, size_t height) {
  switch (view_) {
    case View::kList:
      return Fit(DrawList(width, height), width, height);
    case View::kDetail:
      return Fit(DrawDetail(width, height), width, height);
    case View::kHelp:
      break;
  }
  return Fit(DrawHelp(width, height), width, height);
}

// With the interval and the time at the right, if there is room.
Line TopScreen::Title(const std::string& left, size_t width) const {
  char interval[32];
  std::snprintf(interval, sizeof(interval), "every %g s  ", interval_);
  const std::string right = interval + time_;
  Line line(left, Style::kTitle);
  if (line.width() + 2 + right.size() <= width) {
    line.PadTo(width - right.size()).Add(right, Style::kQuiet);
  }
  return line;
}

Lines TopScreen::DrawList(size_t width, size_t height) {
  const auto& rows = table_.rows();
  Lines lines;
  if (height >= kSmallHeight) {
    lines.push_back(Title("spanmalloc top: " + std::to_string(rows.size()) +
                              " of " + std::to_string(table_.processes()) +
                              " processes",
                          width));
  }
  if (height >= kFullHeight) {
    lines.push_back(ListTotals(table_));
    lines.emplace_back(ListNote(table_), Style::kWarning);
  }
  if (height >= kTinyHeight) lines.push_back(ListHeader(table_, width));

  const size_t below = height >= kSmallHeight ? 1 : 0;
  page_ = height > lines.size() + below ? height - lines.size() - below : 1;
  if (selected_ < first_) first_ = selected_;
  if (selected_ >= first_ + page_) first_ = selected_ - page_ + 1;
  first_ = std::min(first_, rows.size() > page_ ? rows.size() - page_ : 0);
  for (size_t i = first_; i < std::min(rows.size(), first_ + page_); ++i) {
    const Line line = ListRow(rows[i], width);
    lines.push_back(i == selected_ ? line.In(Style::kSelected) : line);
  }
  if (rows.empty()) {
    lines.emplace_back("No process that can be read runs on spanmalloc.",
                       Style::kQuiet);
  }
  lines.resize(height - below);
  if (below != 0) lines.push_back(KeyLine(kListKeys, width));
  return lines;
}

// What is to be said if the figures are old.
std::string TopScreen::DetailTrouble() const {
  const ProcessStat& process = detail_.sample.process;
  const ProcessRow* const row = table_.Find(process.pid);
  if (row != nullptr &&
      row->sample.process.image.start_time == process.image.start_time) {
    return "";
  }
  const std::string name = "process " + std::to_string(process.pid);
  return (row != nullptr || !table_.Exists(process.pid)
              ? name + " has ended"
              : name + " cannot be read any more, or runs on another malloc") +
         "; these are its last figures";
}

Lines TopScreen::DrawDetail(size_t width, size_t height) {
  const ProcessSample& sample = detail_.sample;
  Lines lines;
  if (height >= kSmallHeight) {
    lines.push_back(Title(DetailTitle(sample), width));
  }
  const std::string trouble = DetailTrouble();
  if (!trouble.empty()) {
    lines.emplace_back(trouble, Style::kWarning);
  } else if (height >= kFullHeight) {
    lines.emplace_back(DetailSubtitle(sample), Style::kQuiet);
  }

  Lines body = DetailSummary(detail_, width);
  const size_t header = body.size();
  body.push_back(ClassHeader(class_key_, width));
  for (Line& line : ClassRows(detail_, class_key_, width)) {
    body.push_back(std::move(line));
  }
  const size_t below = height >= kSmallHeight ? 1 : 0;
  detail_page_ =
      height > lines.size() + below ? height - lines.size() - below : 1;
  detail_first_ =
      std::min(detail_first_,
               body.size() > detail_page_ ? body.size() - detail_page_ : 0);
  for (size_t i = detail_first_;
       i < std::min(body.size(), detail_first_ + detail_page_); ++i) {
    // The header of the classes stays in sight.
    const bool is_top = i == detail_first_ && i > header && detail_page_ > 1;
    lines.push_back(body[is_top ? header : i]);
  }
  lines.resize(height - below);
  if (below != 0) lines.push_back(KeyLine(kDetailKeys, width));
  return lines;
}

Lines TopScreen::DrawHelp(size_t width, size_t height) {
  Lines help = TopHelp();
  const size_t below = height >= kTinyHeight ? 1 : 0;
  const size_t page = height - below;
  help_first_ =
      std::min(help_first_, help.size() > page ? help.size() - page : 0);
  Lines lines(help.begin() + static_cast<ptrdiff_t>(help_first_), help.end());
  lines.resize(page);
  if (below != 0) lines.push_back(KeyLine(kHelpKeys, width));
  return lines;
}

}  // namespace spanmalloc_tool
