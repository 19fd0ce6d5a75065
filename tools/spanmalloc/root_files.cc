#include "tools/spanmalloc/root_files.h"

#include <algorithm>
#include <cstddef>

#include "allocator/observe/stat_root.h"

namespace spanmalloc_tool {
namespace {

constexpr char kRootSymbol[] = "spanmalloc_stat_root";
constexpr size_t kBlockBytes = 1 << 20;
// More files than that are not those of one day.
constexpr size_t kMaxFiles = 1 << 16;

// The magic words in the part of the file that a segment is made of. The root
// is aligned, and what is mapped keeps its place in a page.
bool FindMagic(const ElfFile& file, const Elf64_Phdr& segment,
               uint64_t* address) {
  std::vector<uint64_t> block;
  const uint64_t size = file.file().size();
  const uint64_t start = std::min(segment.p_offset, size);
  const uint64_t end = start + std::min(segment.p_filesz, size - start);
  const uint64_t first =
      (start + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t);
  // Blocks share a word, so that no pair lies in two of them.
  for (uint64_t at = first; at + 2 * sizeof(uint64_t) <= end;
       at += kBlockBytes - sizeof(uint64_t)) {
    const uint64_t bytes = std::min<uint64_t>(kBlockBytes, end - at);
    block.resize(bytes / sizeof(uint64_t));
    if (!file.file().Read(at, block.data(), block.size() * sizeof(uint64_t))) {
      return false;
    }
    for (size_t i = 0; i + 1 < block.size(); ++i) {
      if (block[i] == spanmalloc::kStatRootMagic0 &&
          block[i + 1] == spanmalloc::kStatRootMagic1) {
        *address =
            segment.p_vaddr + (at + i * sizeof(uint64_t) - segment.p_offset);
        return true;
      }
    }
  }
  return false;
}

}  // namespace

RootInFile FindRootInFile(const ElfFile& file) {
  RootInFile root;
  root.found = file.FindSymbol(kRootSymbol, &root.address);
  if (!root.found && !file.HasSymbolTable() && file.IsProgram()) {
    for (const Elf64_Phdr& segment : file.segments()) {
      // Data, of which code is none.
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) != 0) continue;
      root.found = FindMagic(file, segment, &root.address);
      if (root.found) break;
    }
  }
  if (root.found) root.segments = file.segments();
  return root;
}

const RootInFile* RootFiles::Find(const std::string& key) const {
  const auto found = files_.find(key);
  return found == files_.end() ? nullptr : &found->second;
}

const RootInFile& RootFiles::Add(const std::string& key,
                                 const RootInFile& root) {
  if (files_.size() >= kMaxFiles) files_.clear();
  return files_[key] = root;
}

}  // namespace spanmalloc_tool
