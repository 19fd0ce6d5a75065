// A process started with its standard files closed: the first files it opens
// are numbered 0 to 2, and whatever the allocator has to say must not land in
// them.
//
// The program runs itself a second time with the files closed, options that
// deserve a warning, and finally a double free; then it looks into the file
// that got number 2.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "tests/process/harness.h"

namespace {

constexpr char kContents[] = "the user's bytes";

// The second run. Exit status 1 if anything fails before the misuse.
int RunWithFilesClosed(const char* path) {
  process::Churn(1, 3000);
  for (int expected = 0; expected <= 2; expected++) {
    if (open(path, O_WRONLY | O_APPEND) != expected) _exit(1);
  }
  process::Churn(2, 3000);
  if (write(2, kContents, strlen(kContents)) !=
      static_cast<ssize_t>(strlen(kContents)))
    _exit(1);
  if (!process::OnSpanmalloc()) return 0;
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  void* const block = process::Allocate(48, 1);
  free(block);
  free(block);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) return RunWithFilesClosed(argv[2]);
  process::Begin(60);
  char path[] = "/tmp/spanmalloc-closed-files-XXXXXX";
  const int file = mkstemp(path);
  CHECK(file >= 0);
  const pid_t child = fork();
  if (child == 0) {
    setenv("SPANMALLOC_OPTIONS", "no_such_option=1,another", 1);
    for (int i = 0; i <= 2; i++) close(i);
    fcntl(file, F_SETFD, FD_CLOEXEC);
    execl("/proc/self/exe", argv[0], "closed", path, nullptr);
    _exit(1);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  char contents[4096] = {};
  const ssize_t size = pread(file, contents, sizeof(contents) - 1, 0);
  unlink(path);
  if (process::OnSpanmalloc()) {
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  } else {
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  CHECK(size == static_cast<ssize_t>(strlen(kContents)));
  CHECK(strcmp(contents, kContents) == 0);
  return 0;
}
