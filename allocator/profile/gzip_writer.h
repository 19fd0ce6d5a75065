// A gzip file, as it is written.
//
// Place:    profile/, between the encoder of profiles and the file.
// Purpose:  Readers of profiles expect gzip (RFC 1952).
// Not here: compression: the blocks are stored as they are (RFC 1951, 3.2.4).
//           What links nothing but libc has no compressor, and a tool that
//           copies a profile can have one.
//
// Concurrency: one thread. Nothing is allocated; the writer is 32 KiB large, so
//              put it where there is room.
// Cost:        a table look-up for each byte, 5 bytes for each 32 KiB.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_GZIP_WRITER_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_GZIP_WRITER_H_

#include <cstddef>
#include <cstdint>

#include "allocator/profile/byte_sink.h"

namespace spanmalloc {

// The checksum of gzip of some bytes, behind others that had `crc` (0: none).
uint32_t Crc32(uint32_t crc, const void* data, size_t n);

class GzipWriter {
 public:
  // Writes the head of the file.
  explicit GzipWriter(const ByteSink& out);

  void Write(const void* data, size_t n);
  // Writes what is left and the end of the file. Once, after all else.
  void Finish();

  // What writes to this writer.
  ByteSink sink();

 private:
  static constexpr size_t kBlock = 32 << 10;
  void WriteBlock(bool is_last);

  const ByteSink out_;
  uint32_t crc_ = 0;
  uint32_t total_ = 0;  // Modulo 2^32, as the format has it.
  size_t filled_ = 0;
  unsigned char block_[kBlock];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_GZIP_WRITER_H_
