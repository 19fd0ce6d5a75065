#include "allocator/os/pressure.h"

#include <string.h>

#include "allocator/os/small_file.h"

namespace spanmalloc {
namespace {

bool ReadPressure(const char* folder, const char* name, uint32_t* some_avg10) {
  char path[CgroupFolder::kMaxPath + 32];
  const size_t folder_length = strlen(folder);
  const size_t name_size = strlen(name) + 1;
  if (folder_length + name_size > sizeof(path)) return false;
  memcpy(path, folder, folder_length);
  memcpy(path + folder_length, name, name_size);
  char text[256];
  return ReadSmallFile(path, text, sizeof(text)) &&
         ParsePressure(text, some_avg10);
}

}  // namespace

bool ParsePressure(const char* text, uint32_t* some_avg10) {
  static constexpr char kKey[] = "some avg10=";
  if (strncmp(text, kKey, sizeof(kKey) - 1) != 0) return false;
  const char* at = text + sizeof(kKey) - 1;
  uint64_t percent;
  if (!ParseDecimal(&at, &percent) || *at != '.') return false;
  ++at;
  const char* const digits = at;
  uint64_t hundredths;
  if (!ParseDecimal(&at, &hundredths) || at - digits != 2) return false;
  if (percent > 100) percent = 100;
  const uint32_t value = static_cast<uint32_t>(percent * 100 + hundredths);
  *some_avg10 = value < 10000 ? value : 10000;
  return true;
}

bool ReadMemoryPressure(const MemoryCgroup& cgroup, uint32_t* some_avg10,
                        const char* root) {
  return (cgroup.v2.found() &&
          ReadPressure(cgroup.v2.path, "/memory.pressure", some_avg10)) ||
         ReadPressure(root, "/proc/pressure/memory", some_avg10);
}

bool ReadMemoryPressure(uint32_t* some_avg10) {
  MemoryCgroup cgroup;
  FindMemoryCgroup(&cgroup);
  return ReadMemoryPressure(cgroup, some_avg10);
}

}  // namespace spanmalloc
