// What a program says as it dies, and of what: code that runs in a forked
// child, with its standard error in a pipe.
#ifndef SPANMALLOC_TESTS_SUPPORT_CRASH_H_
#define SPANMALLOC_TESTS_SUPPORT_CRASH_H_

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace spanmalloc {

struct Crash {
  int signal = 0;   // That killed it, or 0.
  int status = -1;  // What it returned if not.
  std::vector<std::string> lines;

  // Those that say where code is, for instance, are another each time.
  std::string line(size_t i) const {
    return i < lines.size() ? lines[i] : "(no such line)";
  }
};

template <typename F>
Crash InCrashingChild(F body) {
  Crash crash;
  int ends[2];
  if (pipe(ends) != 0) return crash;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    alarm(120);  // Rather than hang.
    // A sanitizer has handlers of its own.
    for (const int number : {SIGSEGV, SIGABRT}) signal(number, SIG_DFL);
    _exit(body());
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  ssize_t got;
  while ((got = read(ends[0], part, sizeof(part))) > 0) {
    text.append(part, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return crash;
  if (WIFSIGNALED(status)) {
    crash.signal = WTERMSIG(status);
  } else {
    crash.status = WEXITSTATUS(status);
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    crash.lines.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return crash;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_CRASH_H_
