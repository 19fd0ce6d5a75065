// A file as memory that is only read.
//
// Place:    os/.
// Purpose:  Look at files of any size without memory of ours.
// Not here: what is in them. Files of the kernel's, which have no size
//           (small_file.h).
//
// Who makes the file shorter while it is mapped makes reads beyond its new end
// fault: so this is for files that programs are started from, which nobody
// writes to, and for what the user names.
//
// Concurrency: each object belongs to one thread. Nothing is allocated.
// Failure:     an error as in errno, which itself is kept. What is no regular
//              file is EINVAL.
#ifndef SPANMALLOC_ALLOCATOR_OS_MAPPED_FILE_H_
#define SPANMALLOC_ALLOCATOR_OS_MAPPED_FILE_H_

#include <cstddef>

namespace spanmalloc {

class MappedFile {
 public:
  constexpr MappedFile() = default;
  ~MappedFile() { Close(); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // 0, or an error. What was open before is closed.
  int Open(const char* path);
  void Close();

  // Null if the file is empty, or none is open.
  const char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_MAPPED_FILE_H_
