#include "tools/spanmalloc/gzip.h"

#include <memory>

#include "allocator/profile/gzip_writer.h"

#ifdef SPANMALLOC_TOOL_ZLIB
#include <zlib.h>

#include <algorithm>
#include <climits>
#endif

namespace spanmalloc_tool {
namespace {

std::string Stored(const std::string& content) {
  std::string file;
  const auto writer = std::make_unique<spanmalloc::GzipWriter>(
      spanmalloc::ByteSink{[](void* context, const void* data, size_t n) {
                             static_cast<std::string*>(context)->append(
                                 static_cast<const char*>(data), n);
                           },
                           &file});
  writer->Write(content.data(), content.size());
  writer->Finish();
  return file;
}

#ifdef SPANMALLOC_TOOL_ZLIB
constexpr int kLevel = 6;
constexpr int kGzip = 16;  // Added to the bits of the window.
constexpr int kMemoryLevel = 8;

// False if zlib has no memory.
bool Deflate(const std::string& content, std::string* file) {
  z_stream stream = {};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, MAX_WBITS + kGzip, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return false;
  }
  char part[32 << 10];
  size_t at = 0;
  int result = Z_OK;
  while (result == Z_OK) {
    if (stream.avail_in == 0) {
      // Its numbers are of 32 bits.
      const size_t bytes = std::min<size_t>(content.size() - at, INT_MAX);
      stream.next_in = reinterpret_cast<unsigned char*>(
          const_cast<char*>(content.data() + at));
      stream.avail_in = static_cast<unsigned int>(bytes);
      at += bytes;
    }
    stream.next_out = reinterpret_cast<unsigned char*>(part);
    stream.avail_out = sizeof(part);
    result = deflate(&stream, at == content.size() ? Z_FINISH : Z_NO_FLUSH);
    file->append(part, sizeof(part) - stream.avail_out);
  }
  deflateEnd(&stream);
  return result == Z_STREAM_END;
}
#else
bool Deflate(const std::string&, std::string*) { return false; }
#endif

}  // namespace

std::string Gzip(const std::string& content) {
  std::string file;
  return Deflate(content, &file) ? file : Stored(content);
}

}  // namespace spanmalloc_tool
