#include "allocator/profile/gzip_writer.h"

#include <string.h>

namespace spanmalloc {
namespace {

// What each value of a byte does to the checksum.
struct CrcTable {
  uint32_t entries[256] = {};
  constexpr CrcTable() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) {
        crc = crc >> 1 ^ (crc & 1) * 0xedb88320;
      }
      entries[i] = crc;
    }
  }
};
constexpr CrcTable kCrcTable;

void PutLittleEndian(uint32_t value, size_t bytes, unsigned char* out) {
  for (size_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<unsigned char>(value >> (8 * i));
  }
}

}  // namespace

uint32_t Crc32(uint32_t crc, const void* data, size_t n) {
  const unsigned char* const bytes = static_cast<const unsigned char*>(data);
  crc = ~crc;
  for (size_t i = 0; i < n; ++i) {
    crc = crc >> 8 ^ kCrcTable.entries[(crc ^ bytes[i]) & 0xff];
  }
  return ~crc;
}

GzipWriter::GzipWriter(const ByteSink& out) : out_(out) {
  // Magic, deflate, no flags, no time, no level, Unix.
  const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
  out_.Write(head, sizeof(head));
}

void GzipWriter::Write(const void* data, size_t n) {
  const char* bytes = static_cast<const char*>(data);
  while (n != 0) {
    if (filled_ == kBlock) WriteBlock(false);
    const size_t room = kBlock - filled_;
    const size_t part = n < room ? n : room;
    memcpy(block_ + filled_, bytes, part);
    filled_ += part;
    bytes += part;
    n -= part;
  }
}

void GzipWriter::WriteBlock(bool is_last) {
  static_assert(kBlock <= 0xffff);
  unsigned char head[5] = {is_last};  // And the type, stored, is 0.
  PutLittleEndian(static_cast<uint32_t>(filled_), 2, head + 1);
  PutLittleEndian(~static_cast<uint32_t>(filled_), 2, head + 3);
  out_.Write(head, sizeof(head));
  out_.Write(block_, filled_);
  crc_ = Crc32(crc_, block_, filled_);
  total_ += static_cast<uint32_t>(filled_);
  filled_ = 0;
}

void GzipWriter::Finish() {
  WriteBlock(true);
  unsigned char tail[8];
  PutLittleEndian(crc_, 4, tail);
  PutLittleEndian(total_, 4, tail + 4);
  out_.Write(tail, sizeof(tail));
}

ByteSink GzipWriter::sink() {
  return {[](void* context, const void* data, size_t n) {
            static_cast<GzipWriter*>(context)->Write(data, n);
          },
          this};
}

}  // namespace spanmalloc
