// A range of addresses, and a reader of the numbers of DWARF inside one.
//
// Place:    os/, below eh_frame.h.
// Purpose:  Unwind tables are input from outside: whatever they say, nothing
//           beyond the range is read. After the first read that would leave it,
//           and after one that makes no sense, the reader has failed: it stays
//           so and returns zeros.
// Not here: what the numbers mean, but for the encodings of pointers.
//
// Concurrency: none; the memory must not change.
#ifndef SPANMALLOC_ALLOCATOR_OS_BYTE_READER_H_
#define SPANMALLOC_ALLOCATOR_OS_BYTE_READER_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

struct ByteRange {
  uintptr_t start = 0;
  uintptr_t end = 0;

  bool Contains(uintptr_t address) const {
    return address - start < end - start;
  }
  bool Contains(uintptr_t address, size_t size) const {
    return Contains(address) && size <= end - address;
  }
};

// How a pointer is written: a format, what it is relative to, and whether it
// is the address of the pointer (DW_EH_PE_...).
inline constexpr uint8_t kPointerFormat = 0x0f;
inline constexpr uint8_t kPointerBase = 0x70;
inline constexpr uint8_t kPointerIndirect = 0x80;
inline constexpr uint8_t kPointerOmitted = 0xff;

class ByteReader {
 public:
  // REQUIRES: start <= end.
  explicit ByteReader(ByteRange range)
      : position_(range.start), end_(range.end) {}

  bool failed() const { return failed_; }
  bool at_end() const { return position_ == end_; }
  uintptr_t position() const { return position_; }
  ByteRange rest() const { return {position_, end_}; }

  template <typename T>
  T Read() {
    if (!Needs(sizeof(T))) return 0;
    T value;
    __builtin_memcpy(&value, reinterpret_cast<const void*>(position_),
                     sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  uint64_t ReadUnsignedLeb() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      const uint8_t byte = Read<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return Fail();
  }

  int64_t ReadSignedLeb() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      const uint8_t byte = Read<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) != 0) continue;
      if ((byte & 0x40) != 0 && shift + 7 < 64)
        value |= ~uint64_t{0} << (shift + 7);
      return static_cast<int64_t>(value);
    }
    return static_cast<int64_t>(Fail());
  }

  // A number in one of the formats, without its base.
  uint64_t ReadFormatted(uint8_t encoding) {
    switch (encoding & kPointerFormat) {
      case 0x00:
        return Read<uintptr_t>();
      case 0x01:
        return ReadUnsignedLeb();
      case 0x02:
        return Read<uint16_t>();
      case 0x03:
        return Read<uint32_t>();
      case 0x04:
      case 0x0c:
        return Read<uint64_t>();
      case 0x09:
        return static_cast<uint64_t>(ReadSignedLeb());
      case 0x0a:
        return static_cast<uint64_t>(int64_t{Read<int16_t>()});
      case 0x0b:
        return static_cast<uint64_t>(int64_t{Read<int32_t>()});
      default:
        return Fail();
    }
  }

  // An absolute pointer, or one relative to itself.
  uintptr_t ReadPointer(uint8_t encoding) {
    const uintptr_t self = position_;
    const uintptr_t value = ReadFormatted(encoding);
    switch (encoding & (kPointerBase | kPointerIndirect)) {
      case 0x00:
        return value;
      case 0x10:
        return self + value;
      default:
        return Fail();
    }
  }

  void Skip(uint64_t size) {
    if (Needs(size)) position_ += size;
  }

  // A range of that many bytes, and over it.
  ByteRange ReadBlock(uint64_t size) {
    const uintptr_t start = position_;
    Skip(size);
    return {start, position_};
  }

  uint64_t Fail() {
    failed_ = true;
    position_ = end_;
    return 0;
  }

 private:
  bool Needs(uint64_t size) {
    if (size <= end_ - position_) return true;
    Fail();
    return false;
  }

  uintptr_t position_;
  uintptr_t end_;
  bool failed_ = false;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_BYTE_READER_H_
