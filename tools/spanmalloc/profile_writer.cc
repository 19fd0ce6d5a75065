#include "tools/spanmalloc/profile_writer.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocator/profile/mappings.h"
#include "tools/spanmalloc/gzip.h"

namespace spanmalloc_tool {
namespace {

using spanmalloc::MappingTable;
using spanmalloc::MemoryReader;

// Enough for one pass over the locations of a large profile.
constexpr size_t kLocationBytes = 1 << 20;

size_t WordsFor(size_t bytes) { return bytes / sizeof(uint64_t) + 1; }

}  // namespace

std::string MakeProfile(const spanmalloc::ProfileSource& source,
                        spanmalloc::ProfileType type, Target* target) {
  const std::vector<std::string> lines = target->MapLines();
  size_t bytes = 0;
  for (const std::string& line : lines) {
    bytes += sizeof(spanmalloc::Mapping) + line.size();
  }
  std::vector<uint64_t> for_mappings(WordsFor(bytes));
  MappingTable mappings(for_mappings.data(),
                        for_mappings.size() * sizeof(uint64_t));
  const Memory memory = target->memory();
  for (const std::string& line : lines) {
    mappings.AddLine(line.c_str(), MemoryReader{memory.read, memory.context});
  }
  spanmalloc::ProfileSource with_mappings = source;
  with_mappings.mappings = mappings.begin();
  with_mappings.mapping_count = mappings.size();
  std::vector<uint64_t> work(
      WordsFor(spanmalloc::kLeastProfileMemory + kLocationBytes) +
      mappings.size());
  std::string message;
  const bool written = spanmalloc::WriteProfile(
      with_mappings, type, work.data(), work.size() * sizeof(uint64_t),
      {[](void* context, const void* data, size_t n) {
         static_cast<std::string*>(context)->append(
             static_cast<const char*>(data), n);
       },
       &message});
  // It has all the memory that it can ask for.
  return written ? Gzip(message) : "";
}

}  // namespace spanmalloc_tool
