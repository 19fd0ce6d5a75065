// Text that the kernel writes: the files of /proc, /sys and the cgroups.
//
// Place:    os/.
// Purpose:  Read them whole, or line by line where they may be long, and the
//           numbers in them.
// Not here: what they mean.
//
// Concurrency: pure reads; from any thread, and in a signal handler. Nothing is
//              allocated: the caller brings the memory.
// Failure:     false. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_SMALL_FILE_H_
#define SPANMALLOC_ALLOCATOR_OS_SMALL_FILE_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// Up to `size` - 1 bytes and a zero. False if there are none.
bool ReadSmallFile(const char* path, char* text, size_t size);

// The digits at *text, of which there must be one, and *text moves behind them.
// A number too large is UINT64_MAX.
bool ParseDecimal(const char** text, uint64_t* value);

// A file of any length, as lines. One longer than kMaxLine is left out.
class LineReader {
 public:
  static constexpr size_t kMaxLine = 4095;

  explicit LineReader(const char* path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line, with a zero in place of its end; null after the last. The
  // caller may write in it; it is good until the next call.
  char* Next();

 private:
  bool Fill();

  int fd_;
  size_t start_ = 0;  // What has been read and not handed out:
  size_t end_ = 0;    // [start_, end_) of text_.
  char text_[kMaxLine + 1];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_SMALL_FILE_H_
