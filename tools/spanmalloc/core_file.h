// A core file, with the program that it is of.
//
// A core has what the process had changed; what it had only mapped is read from
// the files, which the core knows by name.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_CORE_FILE_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_CORE_FILE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

class CoreFile : public Target {
 public:
  // `program`: where the executable is now; empty if where it was. False, with
  // a line that says why, if the core cannot be read.
  bool Open(const std::string& core, const std::string& program,
            std::string* error);

  bool Read(uint64_t address, void* out, size_t n) override;
  bool OpenFile(const Mapping& mapping, ElfFile* file) override;
  std::vector<std::string> MapLines() override;
  std::string WhyUnreadable() override;
  std::string Name() const override;

  // Whether the end of the core is missing.
  bool IsIncomplete() const override { return needed_ > core_.file().size(); }

 private:
  void ReadNotes(const Elf64_Phdr& segment);
  void ReadFileNote(const std::vector<char>& note);
  void ReadAuxiliaryNote(const std::vector<char>& note);
  bool IsExecutable(const Mapping& mapping);
  std::string PathOf(const Mapping& mapping) const;
  bool ReadFromFile(uint64_t address, void* out, size_t n);
  // The segment of the core that has the byte at the address, or null.
  const Elf64_Phdr* SegmentOf(uint64_t address) const;

  std::string name_;
  std::string program_;
  std::string program_file_;  // Its name in the core.
  ElfFile core_;
  uint64_t needed_ = 0;  // Bytes that the core should have.
  uint64_t entry_ = 0;   // The program's entry point.
  std::map<std::string, std::unique_ptr<File>> files_;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_CORE_FILE_H_
