// A small record that one writer at a time replaces and anyone reads, without
// a lock: a sequence lock.
//
// Place:    base/.
// Purpose:  Let statistics be read while the lock that guards the real numbers
//           is somebody else's, by a signal handler, or from another process.
//
// The sequence is odd while a store is going on. A reader that saw the same
// even number before and after has seen one record.
//
// Concurrency: writers exclude each other by a lock of theirs; readers are
// free. Cost:        a store of each word and two of the sequence; a load
// retries while
//              the writer writes.
// Failure:     Load gives up after kMaxTries and returns false: the writer was
//              interrupted by us, or is stopped. What it returns then is a mix
//              of two records.
#ifndef SPANMALLOC_ALLOCATOR_BASE_PUBLISHED_H_
#define SPANMALLOC_ALLOCATOR_BASE_PUBLISHED_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace spanmalloc {

template <typename T>
class Published {
  static_assert(std::is_trivially_copyable<T>::value, "it is copied by words");
  static_assert(sizeof(T) % sizeof(uint64_t) == 0, "it is copied by words");
  static constexpr size_t kWords = sizeof(T) / sizeof(uint64_t);

 public:
  static constexpr int kMaxTries = 1000;

  constexpr Published() = default;

  void Store(const T& record) {
    const uint64_t sequence = sequence_.load(std::memory_order_relaxed);
    sequence_.store(sequence + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    StoreWords(reinterpret_cast<const char*>(&record),
               std::make_index_sequence<kWords>());
    sequence_.store(sequence + 2, std::memory_order_release);
  }

  bool Load(T* record) const {
    for (int i = 0; i < kMaxTries; ++i) {
      if (TryLoad(record)) return true;
    }
    return false;
  }

 private:
  friend struct StatLayout;
  // Without a loop: the page heap stores one with every span.
  template <size_t... kWord>
  void StoreWords(const char* record, std::index_sequence<kWord...>) {
    (words_[kWord].store(Word(record + kWord * sizeof(uint64_t)),
                         std::memory_order_relaxed),
     ...);
  }
  static uint64_t Word(const char* p) {
    uint64_t word;
    __builtin_memcpy(&word, p, sizeof(word));
    return word;
  }
  bool TryLoad(T* record) const {
    uint64_t words[kWords];
    const uint64_t before = sequence_.load(std::memory_order_acquire);
    for (size_t i = 0; i < kWords; ++i) {
      words[i] = words_[i].load(std::memory_order_relaxed);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    const uint64_t after = sequence_.load(std::memory_order_relaxed);
    __builtin_memcpy(record, words, sizeof(T));
    return before == after && before % 2 == 0;
  }

  std::atomic<uint64_t> sequence_{0};
  std::atomic<uint64_t> words_[kWords] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_PUBLISHED_H_
