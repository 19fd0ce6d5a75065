// Compression by gzip.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_GZIP_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_GZIP_H_

#include <string>

namespace spanmalloc_tool {

// The gzip file that has this content. Where there is no zlib it is one
// nevertheless, but no smaller than the content.
std::string Gzip(const std::string& content);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_GZIP_H_
