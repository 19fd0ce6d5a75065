// What is to be read: a process or a core file, and the root in it.
//
// Purpose:  One face for both, and the search for spanmalloc_stat_root.
// Not here: how each of them is read (live_process.h, core_file.h).
//
// The root is found in each file that is mapped (root_files.h); if it is in
// none (a stripped program that is gone from the disk), by its magic words in
// the memory that those files are mapped to.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TARGET_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/spanmalloc/elf_file.h"
#include "tools/spanmalloc/root_files.h"
#include "tools/spanmalloc/stat_reader.h"

namespace spanmalloc_tool {

// A part of a file that is mapped.
struct Mapping {
  uint64_t start;
  uint64_t end;
  uint64_t offset;   // In the file.
  std::string file;  // Equal for all mappings of one file.
  std::string path;  // For messages.
};

class Target {
 public:
  virtual ~Target() = default;

  virtual bool Read(uint64_t address, void* out, size_t n) = 0;
  // Opens the file of a mapping; false if that is not to be had any more.
  virtual bool OpenFile(const Mapping& mapping, ElfFile* file) = 0;
  // The mappings as /proc/PID/maps has them: a line for each, by address.
  virtual std::vector<std::string> MapLines() = 0;
  // What to say if Read failed though the address should be there.
  virtual std::string WhyUnreadable() = 0;
  // Whether a part of it is known to be missing.
  virtual bool IsIncomplete() const { return false; }
  // What it is called in messages.
  virtual std::string Name() const = 0;

  Memory memory();
  // Files only, by address.
  const std::vector<Mapping>& mappings() const { return mappings_; }

 protected:
  bool may_change_ = false;
  std::vector<Mapping> mappings_;
};

struct FoundRoot {
  spanmalloc::StatRoot root;
  std::string path;  // Of the file that it is in.
};

// The root of the copy of spanmalloc that the process uses, or a line that says
// why there is none.
bool FindRoot(Target* target, FoundRoot* found, std::string* error);

// The same for those who look at many processes, often: what `files` knows is
// not read again, and memory is searched in no more than small files that are
// not to be had any more. To read what a process has never touched would make
// it resident.
enum class RootSearch { kFound, kNone, kOtherVersion };
RootSearch FindRootQuietly(Target* target, RootFiles* files, FoundRoot* found);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TARGET_H_
