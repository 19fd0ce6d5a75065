// Memory between two pages that nobody may touch.
#ifndef SPANMALLOC_TESTS_SUPPORT_GUARDED_PAGES_H_
#define SPANMALLOC_TESTS_SUPPORT_GUARDED_PAGES_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

#include "allocator/base/bits.h"
#include "allocator/base/config.h"

namespace spanmalloc {

class GuardedPages {
 public:
  explicit GuardedPages(size_t size)
      : size_(AlignUp(size, kMaxSystemPageSize)) {
    void* const all = mmap(nullptr, size_ + 2 * kMaxSystemPageSize, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    start_ = static_cast<char*>(all) + kMaxSystemPageSize;
    if (all == MAP_FAILED ||
        mprotect(start_, size_, PROT_READ | PROT_WRITE) != 0) {
      abort();
    }
  }
  ~GuardedPages() {
    munmap(start_ - kMaxSystemPageSize, size_ + 2 * kMaxSystemPageSize);
  }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;

  char* start() const { return start_; }
  char* end() const { return start_ + size_; }
  size_t size() const { return size_; }

 private:
  const size_t size_;
  char* start_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_GUARDED_PAGES_H_
