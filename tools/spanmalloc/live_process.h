// A process, read from outside: it is neither stopped nor traced, and does not
// notice.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_LIVE_PROCESS_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_LIVE_PROCESS_H_

#include <sys/types.h>

#include <string>

#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

class LiveProcess : public Target {
 public:
  ~LiveProcess() override;

  // False, with a line that says why, if it is not there or may not be read.
  bool Open(pid_t pid, std::string* error);

  bool Read(uint64_t address, void* out, size_t n) override;
  bool OpenFile(const Mapping& mapping, ElfFile* file) override;
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
