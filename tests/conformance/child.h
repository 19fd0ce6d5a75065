// Runs a function in a forked child and tells how the child ended and what it
// wrote to stderr.
//
// Purpose:  Clauses that end the process (misuse), or that spoil it for those
// that follow (limits on
//           address space, new handlers).
// Not here: expectations.

#ifndef SPANMALLOC_TESTS_CONFORMANCE_CHILD_H_
#define SPANMALLOC_TESTS_CONFORMANCE_CHILD_H_

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace conformance {

struct ChildResult {
  bool exited = false;
  int status = -1;  // Exit status, or the signal's number.
  std::string stderr_text;
};

// The child ends with status 0 when `body` returns, and by SIGALRM when it
// hangs.
template <typename Body>
ChildResult RunInChild(const Body& body) {
  ChildResult result;
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return result;
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    dup2(pipe_ends[1], 2);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    body();
    _exit(0);
  }
  close(pipe_ends[1]);
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(pipe_ends[0], buffer, sizeof(buffer));
    if (got > 0) result.stderr_text.append(buffer, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  close(pipe_ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exited = WIFEXITED(status);
  result.status = result.exited ? WEXITSTATUS(status) : WTERMSIG(status);
  return result;
}

}  // namespace conformance

#endif  // SPANMALLOC_TESTS_CONFORMANCE_CHILD_H_
