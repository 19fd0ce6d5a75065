#include "allocator/os/cgroup.h"

#include <string.h>

#include "allocator/os/small_file.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;

// Copies `text` to the end of a string in a buffer of kMaxPath. False if it is
// too long.
bool Append(const char* text, size_t length, char* path) {
  const size_t before = strlen(path);
  if (before + length >= CgroupFolder::kMaxPath) return false;
  memcpy(path + before, text, length);
  path[before + length] = '\0';
  return true;
}

bool Append(const char* text, char* path) {
  return Append(text, strlen(text), path);
}

bool JoinPath(const char* folder, size_t length, const char* name, char* path) {
  path[0] = '\0';
  return Append(folder, length, path) && Append("/", path) &&
         Append(name, path);
}

// Whether `list` has `word`, between commas.
bool HasWord(const char* list, size_t length, const char* word) {
  const size_t size = strlen(word);
  const char* const end = list + length;
  for (const char* at = list; at < end;) {
    const void* const comma = memchr(at, ',', static_cast<size_t>(end - at));
    const char* const stop =
        comma != nullptr ? static_cast<const char*>(comma) : end;
    if (static_cast<size_t>(stop - at) == size && memcmp(at, word, size) == 0) {
      return true;
    }
    at = stop + 1;
  }
  return false;
}

bool HasParentFolder(const char* path) {
  for (const char* at = strstr(path, "/.."); at != nullptr;
       at = strstr(at + 1, "/..")) {
    if (at[3] == '\0' || at[3] == '/') return true;
  }
  return false;
}

// The kernel writes spaces and the like as a backslash and three octal digits.
void Unescape(char* text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  char* to = text;
  for (const char* at = text; *at != '\0';) {
    if (at[0] == '\\' && is_octal(at[1]) && is_octal(at[2]) &&
        is_octal(at[3])) {
      *to++ = static_cast<char>((at[1] - '0') * 64 + (at[2] - '0') * 8 +
                                (at[3] - '0'));
      at += 4;
    } else {
      *to++ = *at++;
    }
  }
  *to = '\0';
}

// The word at *line, which gets a zero behind it; *line moves to the next.
char* NextField(char** line) {
  char* const field = *line;
  if (field == nullptr) return nullptr;
  char* const space = strchr(field, ' ');
  if (space != nullptr) *space = '\0';
  *line = space != nullptr ? space + 1 : nullptr;
  return field;
}

uint64_t Least(uint64_t a, uint64_t b) { return a < b ? a : b; }

// A file with one limit. kNoLimit if it isn't there.
uint64_t ReadLimit(const CgroupFolder& folder, size_t length,
                   const char* name) {
  char path[CgroupFolder::kMaxPath];
  char text[32];
  if (!JoinPath(folder.path, length, name, path) ||
      !ReadSmallFile(path, text, sizeof(text))) {
    return kNoLimit;
  }
  return ParseCgroupLimit(text);
}

// The kernel's own answer for a group and those above, of which some may be
// outside of the mount, and some may not count (memory.use_hierarchy). False if
// there is no such group.
bool ReadHierarchicalLimit(const CgroupFolder& folder, size_t length,
                           uint64_t* limit) {
  static constexpr char kKey[] = "hierarchical_memory_limit ";
  char path[CgroupFolder::kMaxPath];
  if (!JoinPath(folder.path, length, "memory.stat", path)) return false;
  LineReader lines(path);
  while (const char* const line = lines.Next()) {
    if (strncmp(line, kKey, sizeof(kKey) - 1) == 0) {
      *limit = ParseCgroupLimit(line + sizeof(kKey) - 1);
      return true;
    }
  }
  return false;
}

// The length of the path of the folder above. False if that is no group.
bool GoUp(const CgroupFolder& folder, size_t* length) {
  size_t up = *length;
  while (up > folder.mount_length && folder.path[up - 1] != '/') --up;
  if (up <= folder.mount_length) return false;
  *length = up - 1;
  return true;
}

uint64_t LimitV1(const CgroupFolder& folder) {
  size_t length = strlen(folder.path);
  do {
    uint64_t hierarchical;
    if (ReadHierarchicalLimit(folder, length, &hierarchical)) {
      return Least(hierarchical,
                   ReadLimit(folder, length, "memory.limit_in_bytes"));
    }
  } while (GoUp(folder, &length));
  return kNoLimit;
}

uint64_t LimitV2(const CgroupFolder& folder) {
  uint64_t least = kNoLimit;
  size_t length = strlen(folder.path);
  do {
    least = Least(least, ReadLimit(folder, length, "memory.max"));
    least = Least(least, ReadLimit(folder, length, "memory.high"));
  } while (GoUp(folder, &length));
  return least;
}

}  // namespace

bool ParseCgroupMembership(const char* line, CgroupMembership* membership) {
  // <number of the hierarchy>:<controllers>:<path>
  const char* const first = strchr(line, ':');
  if (first == nullptr) return false;
  const char* const controllers = first + 1;
  const char* const second = strchr(controllers, ':');
  if (second == nullptr || second[1] != '/') return false;
  const size_t length = static_cast<size_t>(second - controllers);
  const bool is_v2 = length == 0 && strncmp(line, "0:", 2) == 0;
  if (!is_v2 && !HasWord(controllers, length, "memory")) return false;
  membership->is_v1 = !is_v2;
  membership->path = second + 1;
  return true;
}

bool ParseCgroupMount(char* line, CgroupMount* mount) {
  // <id> <parent> <device> <shown> <mount point> <options> <any number of
  // fields> - <type> <source> <options of the file system>
  char* fields[6];
  for (char*& field : fields) {
    field = NextField(&line);
    if (field == nullptr) return false;
  }
  const char* field;
  do {
    field = NextField(&line);
    if (field == nullptr) return false;
  } while (strcmp(field, "-") != 0);
  const char* const type = NextField(&line);
  const char* const source = NextField(&line);
  const char* const options = NextField(&line);
  if (source == nullptr || options == nullptr) return false;
  const bool is_v1 = strcmp(type, "cgroup") == 0;
  if (is_v1) {
    if (!HasWord(options, strlen(options), "memory")) return false;
  } else if (strcmp(type, "cgroup2") != 0) {
    return false;
  }
  Unescape(fields[3]);
  Unescape(fields[4]);
  mount->is_v1 = is_v1;
  mount->shown = fields[3];
  mount->mount_point = fields[4];
  return true;
}

bool LocateCgroup(const char* root, const CgroupMount& mount, const char* path,
                  CgroupFolder* folder, bool* exactly) {
  // "/" is the empty path, so that all that is below starts with a slash.
  const char* const shown = strcmp(mount.shown, "/") == 0 ? "" : mount.shown;
  const char* below = strcmp(path, "/") == 0 ? "" : path;
  const size_t length = strlen(shown);
  *exactly = strncmp(below, shown, length) == 0 &&
             (below[length] == '\0' || below[length] == '/');
  below = *exactly ? below + length : "";
  if (HasParentFolder(below)) return false;
  *folder = CgroupFolder();
  if (!Append(root, folder->path) || !Append(mount.mount_point, folder->path)) {
    return false;
  }
  folder->mount_length = strlen(folder->path);
  return Append(below, folder->path);
}

uint64_t ParseCgroupLimit(const char* text) {
  // Kernels round LONG_MAX down to a page, of whatever size theirs is.
  constexpr uint64_t kUnlimited = uint64_t{1} << 62;
  uint64_t limit;
  if (!ParseDecimal(&text, &limit) || limit >= kUnlimited) return kNoLimit;
  return limit;
}

bool FindMemoryCgroup(MemoryCgroup* cgroup, const char* root) {
  *cgroup = MemoryCgroup();
  // The paths of our groups first, to compare the mounts with.
  char paths[2][CgroupFolder::kMaxPath] = {};
  char file[CgroupFolder::kMaxPath] = {};
  if (!JoinPath(root, strlen(root), "proc/self/cgroup", file)) return false;
  {
    LineReader lines(file);
    while (const char* const line = lines.Next()) {
      CgroupMembership membership;
      if (!ParseCgroupMembership(line, &membership)) continue;
      char* const path = paths[membership.is_v1];
      path[0] = '\0';
      Append(membership.path, path);
    }
  }
  if (!JoinPath(root, strlen(root), "proc/self/mountinfo", file)) return false;
  bool exact[2] = {};
  LineReader lines(file);
  while (char* const line = lines.Next()) {
    CgroupMount mount;
    if (!ParseCgroupMount(line, &mount)) continue;
    CgroupFolder* const folder = mount.is_v1 ? &cgroup->v1 : &cgroup->v2;
    const char* const path = paths[mount.is_v1];
    if (path[0] == '\0' || exact[mount.is_v1]) continue;
    CgroupFolder candidate;
    bool exactly;
    // The first of those that show ours for sure, or else the first.
    if (LocateCgroup(root, mount, path, &candidate, &exactly) &&
        (exactly || !folder->found())) {
      *folder = candidate;
      exact[mount.is_v1] = exactly;
    }
  }
  return cgroup->v1.found() || cgroup->v2.found();
}

uint64_t CgroupMemoryLimit(const MemoryCgroup& cgroup) {
  // Only one of them has the controller; the other one has no such files.
  const uint64_t v1 = cgroup.v1.found() ? LimitV1(cgroup.v1) : kNoLimit;
  const uint64_t v2 = cgroup.v2.found() ? LimitV2(cgroup.v2) : kNoLimit;
  return Least(v1, v2);
}

uint64_t CgroupMemoryLimit() {
  MemoryCgroup cgroup;
  return FindMemoryCgroup(&cgroup) ? CgroupMemoryLimit(cgroup) : kNoLimit;
}

}  // namespace spanmalloc
