// What `spanmalloc top` shows and how it answers to keys, without a terminal.
//
// Place:    process_table -> top_list, top_detail, top_help -> [top_screen]
// Purpose:  The state of the program: which view, where in it, in which order.
//           It is given looks, keys and the size of the screen, and gives
//           lines.
// Not here: when to look, and the terminal (top_command.h, terminal.h).
//
// The selection stays with its process when others change places; at the first
// row it stays at the first row, until it is moved.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TOP_SCREEN_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TOP_SCREEN_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "tools/spanmalloc/process_table.h"
#include "tools/spanmalloc/screen_text.h"
#include "tools/spanmalloc/top_detail.h"

namespace spanmalloc_tool {

// Keys that are no characters.
inline constexpr int kKeyUp = 0x100;
inline constexpr int kKeyDown = 0x101;
inline constexpr int kKeyPageUp = 0x102;
inline constexpr int kKeyPageDown = 0x103;
inline constexpr int kKeyHome = 0x104;
inline constexpr int kKeyEnd = 0x105;
inline constexpr int kKeyEnter = 0x106;
inline constexpr int kKeyBack = 0x107;

inline constexpr double kMinInterval = 0.1;
inline constexpr double kMaxInterval = 3600;

class TopScreen {
 public:
  explicit TopScreen(double interval) : interval_(interval) {}

  // Another look, at that time of day.
  void Update(ScanResult scan, std::string time);
  // Shows this process, as Enter does.
  void OpenDetail(pid_t pid);

  enum class Answer { kNothing, kRedraw, kLook, kQuit };
  Answer Press(int key);

  // As many lines as the screen has, none of them wider.
  Lines Draw(size_t width, size_t height);

  double interval() const { return interval_; }
  const ProcessTable& table() const { return table_; }

 private:
  enum class View { kList, kDetail, kHelp };

  Answer PressInList(int key);
  Answer PressInDetail(int key);
  Answer ChangeInterval(bool up);
  Answer Back();
  void SortList(SortKey key);
  void SelectRow(size_t row);
  void KeepSelection();

  Line Title(const std::string& left, size_t width) const;
  Lines DrawList(size_t width, size_t height);
  Lines DrawDetail(size_t width, size_t height);
  Lines DrawHelp(size_t width, size_t height);
  std::string DetailTrouble() const;

  double interval_;
  ProcessTable table_;
  std::string time_;
  View view_ = View::kList;
  View before_help_ = View::kList;

  size_t selected_ = 0;     // Row.
  pid_t selected_pid_ = 0;  // Its process; 0 for whatever is in the first row.
  size_t first_ = 0;        // Row at the top of the screen.
  size_t page_ = 1;         // Rows that the screen has.

  ProcessRow detail_;  // As it was last.
  size_t detail_first_ = 0;
  size_t detail_page_ = 1;
  ClassKey class_key_ = ClassKey::kBytes;

  size_t help_first_ = 0;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TOP_SCREEN_H_
