// The control group that counts this process's memory.
//
// Place:    os/.
// Purpose:  How much memory the process may have before the kernel throttles
//           or kills it, in a container or under systemd; and whether it is
//           already waiting for memory (pressure.h).
// Not here: what is in use now: the group holds other processes, too.
//
// There are two generations, and a system may have both mounted. The kernel
// says in /proc/self/cgroup which group of each we are in, as a path below the
// root of our cgroup namespace, and in /proc/self/mountinfo where, and from
// which group down, each hierarchy can be seen:
//
//   path in cgroup   mount shows   the folder is
//   /a/b             /             <mount>/a/b
//   /a/b             /a            <mount>/b
//   /                /..           <mount>, whose names below we don't know
//   /../c            /             nowhere: the group lies outside of the mount
//
// A mount that shows some other group is taken to show ours, as it does where
// containers are nested without namespaces. Folders that are not there are left
// out, and so are files: the root has no limit, and a group has one only if its
// controller is on.
//
// Concurrency: pure reads of the system; from any thread, and in a signal
//              handler. Nothing is allocated; about 8 KiB of stack.
// Cost:        FindMemoryCgroup two files of /proc, one of them as long as
//              there are mounts; the limit two small files a level. Processes
//              are seldom moved to another group: find once, ask often.
// Failure:     what cannot be read is no limit. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_CGROUP_H_
#define SPANMALLOC_ALLOCATOR_OS_CGROUP_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// One group's folder, and how much of the path is the mount point: the folders
// above that aren't groups.
struct CgroupFolder {
  static constexpr size_t kMaxPath = 1024;

  bool found() const { return path[0] != '\0'; }

  size_t mount_length = 0;
  char path[kMaxPath] = {};
};

struct MemoryCgroup {
  CgroupFolder v1;  // Of the hierarchy with the controller "memory".
  CgroupFolder v2;
};

// False if there is neither. `root` stands before every absolute path, for
// tests.
bool FindMemoryCgroup(MemoryCgroup* cgroup, const char* root = "");

// The least of memory.max and memory.high of the group and of those above it,
// and the first generation's memory.limit_in_bytes. UINT64_MAX if none is set.
uint64_t CgroupMemoryLimit(const MemoryCgroup& cgroup);

// Of this process. Finds the group first.
uint64_t CgroupMemoryLimit();

// A line of /proc/<pid>/cgroup, without its end. True for the hierarchies that
// MemoryCgroup names.
struct CgroupMembership {
  bool is_v1 = false;
  const char* path = nullptr;  // In the line.
};
bool ParseCgroupMembership(const char* line, CgroupMembership* membership);

// A line of /proc/<pid>/mountinfo, without its end. True for the mounts of such
// hierarchies. Writes in the line.
struct CgroupMount {
  bool is_v1 = false;
  const char* shown = nullptr;  // The path of the group that it shows.
  const char* mount_point = nullptr;
};
bool ParseCgroupMount(char* line, CgroupMount* mount);

// Where `mount` shows the group with that path. `exactly` tells whether it is
// known to. False if it doesn't, or if the path is too long.
bool LocateCgroup(const char* root, const CgroupMount& mount, const char* path,
                  CgroupFolder* folder, bool* exactly);

// The text of a file with a limit: a number, or "max". UINT64_MAX if none;
// also the first generation's way to say so, the largest number of bytes in
// pages that a kernel counts.
uint64_t ParseCgroupLimit(const char* text);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_CGROUP_H_
