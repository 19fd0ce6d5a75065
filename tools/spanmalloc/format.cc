#include "tools/spanmalloc/format.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iterator>

namespace spanmalloc_tool {
namespace {

// Rounded to one digit behind the point, or to none where that leaves three
// before it.
std::string ThreeDigits(double value, const char* unit) {
  char text[32];
  std::snprintf(text, sizeof(text), value < 99.95 ? "%.1f%s" : "%.0f%s", value,
                unit);
  return text;
}

}  // namespace

std::string Human(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit < 3; ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string ShortBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"K", "M", "G", "T", "P", "E"};
  if (bytes < 1024) return std::to_string(bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // What would be rounded to 1024 is one of the next unit.
  for (; value >= 1023.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return ThreeDigits(value, kUnits[unit]);
}

std::string ShortCount(double count) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  if (count <= 0) return "0";
  size_t unit = 0;
  for (; count >= 999.5 && unit + 1 < std::size(kUnits); ++unit) count /= 1000;
  std::string text = ThreeDigits(count, kUnits[unit]);
  // Nobody has made half a block: whole numbers are shown as such.
  if (unit == 0 && text.size() > 2 &&
      text.compare(text.size() - 2, 2, ".0") == 0) {
    text.resize(text.size() - 2);
  }
  return text;
}

std::string Percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f%%",
                100.0 * static_cast<double>(std::min(part, whole)) /
                    static_cast<double>(whole));
  return text;
}

std::string Printable(const std::string& text) {
  std::string printable = text;
  std::replace_if(
      printable.begin(), printable.end(),
      [](char c) { return c < ' ' || c > '~'; }, '?');
  return printable;
}

}  // namespace spanmalloc_tool
