#include "tools/spanmalloc/target.h"

#include <errno.h>

#include <algorithm>
#include <cstring>

namespace spanmalloc_tool {
namespace {

using spanmalloc::StatRoot;

// Offsets in files and addresses of segments agree in their low bits, whatever
// the size of pages is; this is the smallest.
constexpr uint64_t kPage = 4096;
constexpr size_t kScanBytes = 1 << 20;
// Of a mapping that is read as a whole though nobody asked for this process.
constexpr uint64_t kMaxQuietScan = 4 << 20;

class Search {
 public:
  Search(Target* target, RootFiles* files)
      : target_(target), memory_(target->memory()), files_(files) {}

  // In files, and if they say nothing in memory: all of it or, quietly, the
  // small mappings of files that cannot be opened.
  void Run(bool quietly) {
    std::vector<std::string> seen, unopened;
    for (const Mapping& mapping : target_->mappings()) {
      if (Contains(seen, mapping.file)) continue;
      seen.push_back(mapping.file);
      if (!LookUp(mapping)) unopened.push_back(mapping.file);
    }
    if (!roots_.empty() || other_version_ != 0) return;
    for (const Mapping& mapping : target_->mappings()) {
      if (!quietly || (mapping.end - mapping.start <= kMaxQuietScan &&
                       Contains(unopened, mapping.file))) {
        Scan(mapping);
      }
    }
  }

  // That of the copy that serves the process: the others have done nothing.
  bool Best(FoundRoot* found) const {
    uint64_t most = 0;
    bool any = false;
    for (const FoundRoot& root : roots_) {
      Snapshot snapshot;
      const uint64_t mallocs = ReadSnapshot(memory_, root.root, &snapshot)
                                   ? snapshot.stats.mallocs
                                   : 0;
      if (any && mallocs <= most) continue;
      any = true;
      most = mallocs;
      *found = root;
    }
    return any;
  }

  uint32_t other_version() const { return other_version_; }
  const std::string& other_path() const { return other_path_; }
  bool unreadable() const { return unreadable_; }

 private:
  static bool Contains(const std::vector<std::string>& list,
                       const std::string& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
  }

  // By what is in the file; false if that is not to be had.
  bool LookUp(const Mapping& mapping) {
    const std::string key = mapping.file + " " + mapping.path;
    const RootInFile* root = files_->Find(key);
    if (root == nullptr) {
      ElfFile file;
      errno = 0;
      if (target_->OpenFile(mapping, &file)) {
        root = &files_->Add(key, FindRootInFile(file));
      } else if (errno == ENOEXEC || errno == EINVAL) {  // Data, a device.
        root = &files_->Add(key, {});
      } else {
        return false;
      }
    }
    if (root->found) TryAll(*root, mapping);
    return true;
  }

  void TryAll(const RootInFile& root, const Mapping& mapping) {
    for (const Elf64_Phdr& segment : root.segments) {
      if (segment.p_type != PT_LOAD) continue;
      for (const Mapping& other : target_->mappings()) {
        if (other.file != mapping.file ||
            other.offset != segment.p_offset / kPage * kPage) {
          continue;
        }
        // What was added to all addresses in the file.
        const uint64_t bias = other.start - segment.p_vaddr / kPage * kPage;
        if (Try(bias + root.address, mapping)) return;
      }
    }
  }

  bool Try(uint64_t address, const Mapping& mapping) {
    StatRoot root;
    switch (ReadRoot(memory_, address, &root)) {
      case RootStatus::kValid:
        roots_.push_back({root, mapping.path});
        return true;
      case RootStatus::kOtherVersion:
        other_version_ = root.version;
        other_path_ = mapping.path;
        return true;
      case RootStatus::kUnreadable:
        unreadable_ = true;
        return false;
      case RootStatus::kNone:
        return false;
    }
    return false;
  }

  // By the magic words. A root is aligned, so no words lie on both sides of the
  // end of a block.
  void Scan(const Mapping& mapping) {
    if (!IsElf(mapping)) return;
    std::vector<uint64_t> block;
    for (uint64_t at = mapping.start; at < mapping.end; at += kScanBytes) {
      const uint64_t bytes = std::min<uint64_t>(kScanBytes, mapping.end - at);
      block.resize(bytes / sizeof(uint64_t));
      if (!target_->Read(at, block.data(), bytes)) continue;
      for (size_t i = 0; i < block.size(); ++i) {
        if (block[i] == spanmalloc::kStatRootMagic0) {
          Try(at + i * sizeof(uint64_t), mapping);
        }
      }
    }
  }

  // Whether the mapping belongs to a program or library. Others are left alone:
  // they may be large, or devices.
  bool IsElf(const Mapping& mapping) {
    for (const Mapping& other : target_->mappings()) {
      if (other.file != mapping.file || other.offset != 0) continue;
      char magic[SELFMAG];
      return target_->Read(other.start, magic, sizeof(magic)) &&
             std::memcmp(magic, ELFMAG, SELFMAG) == 0;
    }
    return false;
  }

  Target* const target_;
  const Memory memory_;
  RootFiles* const files_;
  std::vector<FoundRoot> roots_;
  uint32_t other_version_ = 0;
  std::string other_path_;
  bool unreadable_ = false;
};

}  // namespace

Memory Target::memory() {
  return {[](void* target, uint64_t address, void* out, size_t n) {
            return static_cast<Target*>(target)->Read(address, out, n);
          },
          this, may_change_};
}

bool FindRoot(Target* target, FoundRoot* found, std::string* error) {
  RootFiles files;
  Search search(target, &files);
  search.Run(false);
  if (search.Best(found)) return true;
  if (search.other_version() != 0) {
    *error = target->Name() + ": " + search.other_path() +
             " has statistics of layout version " +
             std::to_string(search.other_version()) +
             ", this program reads version " +
             std::to_string(spanmalloc::kStatRootVersion);
  } else if (search.unreadable() || target->IsIncomplete()) {
    *error = target->Name() + ": " + target->WhyUnreadable();
  } else {
    *error = target->Name() + " does not use spanmalloc";
  }
  return false;
}

RootSearch FindRootQuietly(Target* target, RootFiles* files, FoundRoot* found) {
  Search search(target, files);
  search.Run(true);
  if (search.Best(found)) return RootSearch::kFound;
  return search.other_version() != 0 ? RootSearch::kOtherVersion
                                     : RootSearch::kNone;
}

}  // namespace spanmalloc_tool
