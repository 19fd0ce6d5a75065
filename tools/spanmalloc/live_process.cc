#include "tools/spanmalloc/live_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

#include "tools/spanmalloc/process_memory.h"

namespace spanmalloc_tool {
namespace {

// The number behind a key of a file of /proc, or of the whole file if the key
// is empty; -1 if there is none.
long NumberIn(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  long number;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size(), key) == 0 &&
        std::sscanf(line.c_str() + key.size(), "%ld", &number) == 1) {
      return number;
    }
  }
  return -1;
}

}  // namespace

LiveProcess::~LiveProcess() {
  if (memory_ >= 0) close(memory_);
}

std::string LiveProcess::Proc(const std::string& file) const {
  return "/proc/" + std::to_string(pid_) + "/" + file;
}

std::string LiveProcess::Name() const {
  return "process " + std::to_string(pid_);
}

bool LiveProcess::Open(pid_t pid, std::string* error) {
  pid_ = pid;
  may_change_ = true;
  if (!ReadMappings(error)) return false;
  memory_ = open(Proc("mem").c_str(), O_RDONLY | O_CLOEXEC);
  char byte;
  for (const Mapping& mapping : mappings_) {
    if (Read(mapping.start, &byte, 1)) return true;
  }
  *error = Name() + ": " + WhyUnreadable();
  return false;
}

bool LiveProcess::ReadMappings(std::string* error) {
  std::ifstream maps(Proc("maps"));
  if (!maps) {
    *error = errno == ENOENT || errno == ESRCH
                 ? "no such process: " + std::to_string(pid_)
             : errno == EACCES || errno == EPERM
                 ? Name() + ": " + WhyDenied()
                 : Name() + ": " + Proc("maps") + ": " + std::strerror(errno);
    return false;
  }
  const std::vector<MappedMemory> all = ParseMappedMemory(maps);
  for (const MappedMemory& mapping : all) {
    if (mapping.file.empty() || !mapping.readable || mapping.path.empty()) {
      continue;
    }
    mappings_.push_back({mapping.start, mapping.end, mapping.offset,
                         mapping.file, mapping.path});
  }
  if (!all.empty()) return true;
  // That is how it looks to those who may open the file but not read it.
  if (kill(pid_, 0) != 0 && errno == EPERM) {
    *error = Name() + ": " + WhyDenied();
  } else {
    *error = Name() +
             " has no memory: it has ended and waits for its parent, or is a "
             "thread of the kernel";
  }
  return false;
}

bool LiveProcess::Read(uint64_t address, void* out, size_t n) {
  iovec local = {out, n};
  iovec remote = {reinterpret_cast<void*>(address), n};
  if (process_vm_readv(pid_, &local, 1, &remote, 1, 0) ==
      static_cast<ssize_t>(n)) {
    return true;
  }
  return memory_ >= 0 && pread(memory_, out, n, static_cast<off_t>(address)) ==
                             static_cast<ssize_t>(n);
}

bool LiveProcess::Write(uint64_t address, const void* data, size_t n) {
  iovec local = {const_cast<void*>(data), n};
  iovec remote = {reinterpret_cast<void*>(address), n};
  return process_vm_writev(pid_, &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(n);
}

std::vector<std::string> LiveProcess::MapLines() {
  std::ifstream maps(Proc("maps"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(maps, line);) lines.push_back(line);
  return lines;
}

// The kernel's link to the very file, if we may use it; else by its name as the
// process sees it.
bool LiveProcess::OpenFile(const Mapping& mapping, ElfFile* file) {
  char range[64];
  std::snprintf(range, sizeof(range), "map_files/%" PRIx64 "-%" PRIx64,
                mapping.start, mapping.end);
  return file->Open(Proc(range)) || file->Open(Proc("root") + mapping.path);
}

std::string LiveProcess::WhyUnreadable() {
  char byte;
  iovec local = {&byte, 1};
  for (const Mapping& mapping : mappings_) {
    iovec remote = {reinterpret_cast<void*>(mapping.start), 1};
    if (process_vm_readv(pid_, &local, 1, &remote, 1, 0) == 1) {
      return "its memory makes no sense";
    }
    if (errno == EPERM || errno == EACCES) return WhyDenied();
    if (errno == ESRCH) return "it ended while it was read";
  }
  return "its memory cannot be read";
}

std::string LiveProcess::WhyDenied() const {
  const std::string denied = "permission denied: ";
  const long owner = NumberIn(Proc("status"), "Uid:");
  const long me = static_cast<long>(geteuid());
  if (me != 0 && owner >= 0 && owner != me) {
    return denied + "it belongs to uid " + std::to_string(owner) +
           ", this is uid " + std::to_string(me) +
           "; run this as that user or as root";
  }
  const std::string yama = "/proc/sys/kernel/yama/ptrace_scope";
  const long scope = NumberIn(yama, "");
  if (scope == 3) return denied + yama + " is 3: nobody may read processes";
  if (me == 0) {
    return denied +
           "this is root, but without the capability SYS_PTRACE "
           "there (a container, or another user namespace)";
  }
  if (scope > 0) {
    return denied + yama + " is " + std::to_string(scope) + ": only root" +
           (scope == 1 ? " and its ancestors" : "") +
           " may read it; run this as root";
  }
  return denied +
         "it does not let itself be read (set-user-id, or not dumpable); run "
         "this as root";
}

}  // namespace spanmalloc_tool
