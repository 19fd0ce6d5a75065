#include "tools/spanmalloc/process_memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace spanmalloc_tool {
namespace {

// Documentation/admin-guide/mm/pagemap.rst of the kernel.
constexpr uint64_t kPresent = uint64_t{1} << 63;

// Whether it is the first line about a mapping.
bool ParseMapping(const std::string& line, MappedMemory* mapping) {
  char access[8], device[32];
  uint64_t inode;
  int path = 0;
  if (std::sscanf(line.c_str(),
                  "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %31s %" SCNu64 " %n",
                  &mapping->start, &mapping->end, access, &mapping->offset,
                  device, &inode, &path) < 6) {
    return false;
  }
  mapping->readable = access[0] == 'r';
  mapping->executable = access[2] == 'x';
  mapping->shared = access[3] == 's';
  if (path > 0) mapping->path = line.substr(static_cast<size_t>(path));
  if (inode != 0) {
    mapping->file = std::string(device) + " " + std::to_string(inode);
  }
  return true;
}

void ParseFigure(const std::string& line, MappedMemory* mapping) {
  uint64_t kilobytes;
  if (std::sscanf(line.c_str(), "Rss: %" SCNu64, &kilobytes) == 1) {
    mapping->resident = kilobytes * 1024;
  } else if (std::sscanf(line.c_str(), "Swap: %" SCNu64, &kilobytes) == 1) {
    mapping->swapped = kilobytes * 1024;
  } else if (std::sscanf(line.c_str(), "AnonHugePages: %" SCNu64, &kilobytes) ==
             1) {
    mapping->huge = kilobytes * 1024;
  }
}

}  // namespace

std::vector<MappedMemory> ParseMappedMemory(std::istream& maps) {
  std::vector<MappedMemory> mappings;
  std::string line;
  while (std::getline(maps, line)) {
    MappedMemory mapping = {};
    if (ParseMapping(line, &mapping)) {
      mappings.push_back(mapping);
    } else if (!mappings.empty()) {
      ParseFigure(line, &mappings.back());
    }
  }
  return mappings;
}

bool ReadMappedMemory(pid_t pid, std::vector<MappedMemory>* mappings) {
  std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps");
  if (!smaps) return false;
  *mappings = ParseMappedMemory(smaps);
  return true;
}

Residency::~Residency() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool Residency::Open(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/pagemap";
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  return descriptor_ >= 0;
}

uint64_t Residency::page_bytes() const {
  return static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

bool Residency::Read(uint64_t address, size_t count,
                     std::vector<bool>* is_resident) {
  std::vector<uint64_t> entries(count);
  const size_t bytes = count * sizeof(uint64_t);
  const uint64_t offset = address / page_bytes() * sizeof(uint64_t);
  if (pread(descriptor_, entries.data(), bytes, static_cast<off_t>(offset)) !=
      static_cast<ssize_t>(bytes)) {
    return false;
  }
  is_resident->resize(count);
  for (size_t i = 0; i < count; ++i) {
    (*is_resident)[i] = (entries[i] & kPresent) != 0;
  }
  return true;
}

}  // namespace spanmalloc_tool
