// A process, read from outside: it is neither stopped nor traced, and does not
// notice. Nothing in it changes but by Write.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_LIVE_PROCESS_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_LIVE_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

class LiveProcess : public Target {
 public:
  ~LiveProcess() override;

  // False, with a line that says why, if it is not there or may not be read.
  bool Open(pid_t pid, std::string* error);

  bool Read(uint64_t address, void* out, size_t n) override;
  // Changes its memory. False if not all of it could be.
  bool Write(uint64_t address, const void* data, size_t n);
  bool OpenFile(const Mapping& mapping, ElfFile* file) override;
  std::vector<std::string> MapLines() override;
  std::string WhyUnreadable() override;
  std::string Name() const override;

 private:
  std::string Proc(const std::string& file) const;
  bool ReadMappings(std::string* error);
  std::string WhyDenied() const;

  pid_t pid_ = 0;
  int memory_ = -1;  // /proc/PID/mem, if it could be opened.
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_LIVE_PROCESS_H_
