// Text with attributes, line by line: what a screen shows, before it is one.
//
// Not here: what attributes look like on a terminal (terminal.h).
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_SCREEN_TEXT_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_SCREEN_TEXT_H_

#include <cstddef>
#include <string>
#include <vector>

namespace spanmalloc_tool {

enum class Style {
  kPlain,
  kTitle,
  kQuiet,         // What need not be read.
  kHeader,        // Of a column,
  kSortedHeader,  // and of the one that the table is sorted by.
  kSelected,
  kWarning,
  kBar,
};

// Characters of ASCII: one takes one column.
struct Piece {
  std::string text;
  Style style = Style::kPlain;
};

class Line {
 public:
  Line() = default;
  explicit Line(const std::string& text, Style style = Style::kPlain) {
    Add(text, style);
  }

  Line& Add(const std::string& text, Style style = Style::kPlain);
  Line& Add(const Line& line);
  // At the right or left end of so many columns, at least.
  Line& AddRight(const std::string& text, size_t columns,
                 Style style = Style::kPlain);
  Line& AddLeft(const std::string& text, size_t columns,
                Style style = Style::kPlain);
  // Blanks up to that width.
  Line& PadTo(size_t width, Style style = Style::kPlain);
  // What is beyond that width goes.
  Line& CutTo(size_t width);

  size_t width() const { return width_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  std::string text() const;
  // The same in one style.
  Line In(Style style) const { return Line(text(), style); }

 private:
  std::vector<Piece> pieces_;
  size_t width_ = 0;
};

using Lines = std::vector<Line>;

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_SCREEN_TEXT_H_
