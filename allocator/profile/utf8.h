// Text of unknown origin, for readers that insist on UTF-8.
//
// Place:    profile/. One pure function.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_UTF8_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_UTF8_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// The bytes of the character at `text`, of which `left` bytes are there; 0 if
// that is none (RFC 3629: no longer form than needed, no surrogates, nothing
// above U+10FFFF).
inline size_t Utf8Character(const char* text, size_t left) {
  const auto byte = [text](size_t i) {
    return static_cast<unsigned char>(text[i]);
  };
  if (left == 0) return 0;
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t bytes = first < 0xc2   ? 0
                       : first < 0xe0 ? 2
                       : first < 0xf0 ? 3
                       : first < 0xf5 ? 4
                                      : 0;
  if (bytes == 0 || bytes > left) return 0;
  uint32_t character = first & (0x7f >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = character >= 0xd800 && character < 0xe000;
  const bool is_valid =
      character >= kLeast[bytes] && character <= 0x10ffff && !is_surrogate;
  return is_valid ? bytes : 0;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_UTF8_H_
