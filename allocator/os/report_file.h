// Files that we write for the user: reports, not data of the program.
//
// Place:    os/.
// Purpose:  A file that appears whole or not at all, and a way to stderr that
//           outlives the program's own.
// Not here: what is written, and when.
//
// Concurrency: each ReportFile belongs to one thread; two of the same name, of
//              any process, do not disturb each other. May be used in a signal
//              handler. Nothing is allocated.
// Failure:     an error as in errno, which itself is kept; what was there
//              before stays there.
#ifndef SPANMALLOC_ALLOCATOR_OS_REPORT_FILE_H_
#define SPANMALLOC_ALLOCATOR_OS_REPORT_FILE_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// Open() -> write to descriptor() -> Close().
//
// Writes beside the file, and renames at the end; the new file is readable for
// all that the umask admits. What is there already and no regular file (a
// device, a pipe) is written to directly.
class ReportFile {
 public:
  static constexpr size_t kMaxPath = 512;

  // `pattern` is the path, in which %p stands for the process's number and %%
  // for %. 0, or an error.
  int Open(const char* pattern);
  int descriptor() const { return fd_; }
  // With `ok` false the new file is thrown away. 0, or an error.
  int Close(bool ok);
  // After Open, also if that failed.
  const char* path() const { return path_; }

 private:
  int OpenBeside();

  int fd_ = -1;
  bool renames_ = false;
  char path_[kMaxPath] = {};
  char beside_[kMaxPath + 32] = {};
};

// Programs close their stderr when they end, some of them before the last word
// is spoken; and then its number may become that of another file.
class KeptStandardError {
 public:
  constexpr KeptStandardError() = default;

  // Once, while stderr is what the user wants it to be. False if it is closed.
  bool Keep();
  // A descriptor of what Keep saw, or -1.
  int descriptor() const;

 private:
  int fd_ = -1;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_REPORT_FILE_H_
