#include "allocator/profile/frame_names.h"

#include <string.h>

#include <algorithm>

namespace spanmalloc {
namespace {

uintptr_t WithinCall(const void* frame) {
  return reinterpret_cast<uintptr_t>(frame) - 1;
}

bool IsBefore(const FrameName& a, const FrameName& b) {
  return a.address < b.address;
}

// Whether the file is the one that was mapped, as far as that can be told.
bool IsSame(const MappedFile& file, const Mapping& mapping) {
  const MemoryReader reader = {
      [](void* context, uint64_t offset, void* out, size_t n) {
        const MappedFile& opened = *static_cast<const MappedFile*>(context);
        if (offset > opened.size() || n > opened.size() - offset) return false;
        memcpy(out, opened.data() + offset, n);
        return true;
      },
      const_cast<MappedFile*>(&file)};
  unsigned char id[Mapping::kMaxBuildId];
  return ReadBuildId(reader, 0, &id) == mapping.build_id_bytes &&
         memcmp(id, mapping.build_id, mapping.build_id_bytes) == 0;
}

}  // namespace

FrameNames::FrameNames(const MappingTable* mappings, size_t frames)
    : mappings_(mappings),
      names_(frames),
      codes_(frames),
      files_(mappings->size()) {}

FrameNames::~FrameNames() {
  for (MappedFile& file : files_) file.Close();
}

bool FrameNames::Add(const void* const* frames, size_t depth) {
  for (size_t i = 0; i < depth; ++i) {
    FrameName* const name = names_.Add();
    if (name == nullptr) return false;
    name->address = WithinCall(frames[i]);
  }
  return true;
}

void FrameNames::Resolve() {
  std::sort(names_.begin(), names_.end(), IsBefore);
  FrameName* const end = std::unique(
      names_.begin(), names_.end(), [](const FrameName& a, const FrameName& b) {
        return a.address == b.address;
      });
  names_.Shrink(static_cast<size_t>(end - names_.begin()));
  FrameName* next = names_.begin();
  for (const Mapping& mapping : *mappings_) {
    while (next != end && next->address < mapping.start) ++next;
    FrameName* const first = next;
    while (next != end && next->address < mapping.limit) {
      next->mapping = &mapping;
      next->code.address = next->address - mapping.start + mapping.offset;
      ++next;
    }
    if (first != next) ResolveIn(mapping, first, next);
  }
}

void FrameNames::ResolveIn(const Mapping& mapping, FrameName* begin,
                           FrameName* end) {
  constexpr size_t kMaxPath = 4096;
  char path[kMaxPath];
  if (mapping.name.bytes == 0 || mapping.name.bytes >= kMaxPath ||
      mapping.name.start[0] != '/') {
    return;
  }
  memcpy(path, mapping.name.start, mapping.name.bytes);
  path[mapping.name.bytes] = '\0';
  MappedFile* const file = files_.Add();
  if (file == nullptr || file->Open(path) != 0 || !IsSame(*file, mapping)) {
    return;
  }
  ElfSymbols symbols;
  if (!symbols.Open(file->data(), file->size())) return;
  codes_.Shrink(0);
  for (FrameName* name = begin; name != end; ++name) {
    symbols.AddressOf(name->code.address, &name->code.address);
    CodeAddress* const code = codes_.Add();
    if (code == nullptr) return;
    *code = name->code;
  }
  symbols.Find(codes_.begin(), codes_.size());
  for (const CodeAddress& code : codes_) (begin++)->code = code;
}

const FrameName* FrameNames::Find(const void* frame) const {
  FrameName wanted;
  wanted.address = WithinCall(frame);
  const FrameName* const found =
      std::lower_bound(names_.begin(), names_.end(), wanted, IsBefore);
  return found != names_.end() && found->address == wanted.address ? found
                                                                   : nullptr;
}

}  // namespace spanmalloc
