// Where in a file spanmalloc_stat_root is. Remembered, for many processes have
// the same files mapped, and to read a symbol table takes its time.
//
// Not here: where the file is mapped (target.h).
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_ROOT_FILES_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_ROOT_FILES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/spanmalloc/elf_file.h"

namespace spanmalloc_tool {

// The root, and the segments that say where it comes to lie, by addresses as
// they are in the file.
struct RootInFile {
  bool found = false;
  uint64_t address = 0;
  std::vector<Elf64_Phdr> segments;
};

// By the symbol; in a program that has been stripped of its symbols, by the
// root's magic words. (A library keeps the symbol, for others can use it.)
RootInFile FindRootInFile(const ElfFile& file);

class RootFiles {
 public:
  // What is known about the file; null if nothing is.
  const RootInFile* Find(const std::string& key) const;
  const RootInFile& Add(const std::string& key, const RootInFile& root);

 private:
  std::map<std::string, RootInFile> files_;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_ROOT_FILES_H_
