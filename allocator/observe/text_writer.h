// Text of any length, written piece by piece without allocating.
//
// Place:    observe/, below the renderings.
// Purpose:  Collect the pieces in a buffer of fixed size; hand it on when it is
//           full, and at the end.
// Not here: one line for a person (Message).
//
// Concurrency: each writer belongs to one thread. May be used in a signal
//              handler if its sink may.
// Failure:     after the sink's first error nothing more is handed on, and
//              Finish tells the error.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_TEXT_WRITER_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_TEXT_WRITER_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

class TextWriter {
 public:
  // Takes the text from the writer. 0, or an error as in errno.
  using Sink = int (*)(void* context, const char* data, size_t size);

  TextWriter(Sink sink, void* context) : sink_(sink), context_(context) {}
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;

  // A sink whose context is an int, the descriptor of an open file. Goes on
  // after a signal and after a part; keeps errno.
  static int ToDescriptor(void* descriptor, const char* data, size_t size);

  TextWriter& Text(const char* text);
  TextWriter& Text(const char* text, size_t length);
  TextWriter& Decimal(uint64_t value);
  // value / 100 with two digits behind the point.
  TextWriter& Hundredths(uint64_t value);
  // value / 1,000,000,000 with nine digits behind the point.
  TextWriter& Billionths(uint64_t value);
  // Blanks until the line is that long; none if it already is.
  TextWriter& Column(size_t column);
  // A number that ends at that column.
  TextWriter& DecimalTo(size_t column, uint64_t value);
  // "1.5 MiB", which ends there; whole below 1 KiB.
  TextWriter& HumanTo(size_t column, uint64_t bytes);

  // Hands on the rest. 0, or the first error.
  int Finish();

 private:
  static constexpr size_t kCapacity = 4096;

  TextWriter& TextTo(size_t column, const char* text, const char* end);
  void Flush();

  const Sink sink_;
  void* const context_;
  int error_ = 0;
  size_t size_ = 0;
  size_t column_ = 0;  // Characters in the line so far.
  char buffer_[kCapacity];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_TEXT_WRITER_H_
