// What the kernel says of the memory of a process: its mappings, and which of
// their pages are resident.
//
// Purpose:  /proc/PID/smaps and /proc/PID/pagemap.
// Not here: what the pages are for (heap_map.h, resident_memory.h).
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_MEMORY_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_MEMORY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace spanmalloc_tool {

struct MappedMemory {
  uint64_t start;
  uint64_t end;
  uint64_t offset;  // In the file.
  bool readable;
  bool executable;
  bool shared;
  std::string file;  // Equal for all mappings of one file, empty without one.
  std::string path;  // Of the file, or the kernel's name, such as [stack].
  // Bytes:
  uint64_t resident;
  uint64_t swapped;
  uint64_t huge;  // Of the resident ones, in huge pages of anonymous memory.
};

// All mappings, by address. False, with errno, if they can't be read; none if
// the process has no memory.
bool ReadMappedMemory(pid_t pid, std::vector<MappedMemory>* mappings);

// The same out of the text of a file smaps, or of a file maps, which has no
// figures.
std::vector<MappedMemory> ParseMappedMemory(std::istream& maps);

// Which pages are resident.
class Residency {
 public:
  Residency() = default;
  virtual ~Residency();
  Residency(const Residency&) = delete;
  Residency& operator=(const Residency&) = delete;

  // False, with errno, if that can't be read.
  bool Open(pid_t pid);

  // Of the system.
  virtual uint64_t page_bytes() const;
  // Whether the `count` pages from a page's address on are. False if that can't
  // be read.
  virtual bool Read(uint64_t address, size_t count,
                    std::vector<bool>* is_resident);

 private:
  int descriptor_ = -1;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_MEMORY_H_
