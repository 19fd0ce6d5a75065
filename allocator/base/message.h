// One line on stderr, composed without allocating.
//
// Place:    base/.
// Purpose:  Everything the allocator itself has to say to a person: warnings
//           about options, one line before it aborts.
// Not here: statistics (observe/).
//
// Concurrency: each Message belongs to one thread; Print is one write(2).
// Failure:     text that does not fit is cut; if stderr was closed when the
//              program started nothing is written, because the descriptor may
//              now be a file of the program's.
#ifndef SPANMALLOC_ALLOCATOR_BASE_MESSAGE_H_
#define SPANMALLOC_ALLOCATOR_BASE_MESSAGE_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

class Message {
 public:
  // Starts the line with "spanmalloc: ".
  Message();
  // Starts it with `start` alone: for a line that belongs to the one before.
  explicit Message(const char* start);
  Message& Text(const char* text);
  Message& Text(const char* text, size_t length);
  Message& Decimal(uint64_t value);
  Message& Hex(uintptr_t value);
  Message& Pointer(const void* p) {
    return Hex(reinterpret_cast<uintptr_t>(p));
  }

  // Ends the line and writes it to stderr. Keeps errno.
  void Print();
  // Print, then abort().
  [[noreturn]] void Abort();

  // The text so far, for tests.
  const char* data() const { return buffer_; }
  size_t size() const { return size_; }

  // Decides, once, whether stderr may be written to. Before the call it may.
  static void CheckStandardError();

 private:
  static constexpr size_t kCapacity = 384;
  char buffer_[kCapacity];
  size_t size_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_MESSAGE_H_
