#include "tools/spanmalloc/screen_text.h"

namespace spanmalloc_tool {

Line& Line::Add(const std::string& text, Style style) {
  if (text.empty()) return *this;
  width_ += text.size();
  if (!pieces_.empty() && pieces_.back().style == style) {
    pieces_.back().text += text;
  } else {
    pieces_.push_back({text, style});
  }
  return *this;
}

Line& Line::Add(const Line& line) {
  for (const Piece& piece : line.pieces_) Add(piece.text, piece.style);
  return *this;
}

Line& Line::AddRight(const std::string& text, size_t columns, Style style) {
  const size_t blanks = columns > text.size() ? columns - text.size() : 0;
  return Add(std::string(blanks, ' ') + text, style);
}

Line& Line::AddLeft(const std::string& text, size_t columns, Style style) {
  const size_t blanks = columns > text.size() ? columns - text.size() : 0;
  return Add(text + std::string(blanks, ' '), style);
}

Line& Line::PadTo(size_t width, Style style) {
  return width > width_ ? Add(std::string(width - width_, ' '), style) : *this;
}

Line& Line::CutTo(size_t width) {
  while (width_ > width) {
    std::string& last = pieces_.back().text;
    const size_t excess = width_ - width;
    if (last.size() > excess) {
      last.resize(last.size() - excess);
      width_ = width;
    } else {
      width_ -= last.size();
      pieces_.pop_back();
    }
  }
  return *this;
}

std::string Line::text() const {
  std::string text;
  for (const Piece& piece : pieces_) text += piece.text;
  return text;
}

}  // namespace spanmalloc_tool
