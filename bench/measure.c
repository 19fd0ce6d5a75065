// Runs one program under one allocator and reports what it cost, as JSON.
//
// Usage:    measure [--library=PATH] [--repeat=N] [--result-fd=N] PROGRAM
// ARGS... Purpose:  A launcher small enough that nothing of it shows in the
// figures. A
//           large launcher (an interpreter) would pass its own resident memory
//           on to the child's peak, which counts from fork and not from exec.
//
// The library is preloaded into the program only, never into this helper;
// without --library the program runs on the system's malloc. The first spawn is
// traced and stops once, on its way out, while its memory is still there: then
// /proc/PID/maps tells whether the loader really used the library,
// /proc/PID/status gives peak address space and resident memory at the end, and
// /proc/PID/smaps_rollup what of it is in huge pages and what is its own share.
// Its remaining course is not disturbed. With --repeat, N more spawns follow
// untraced, and the times are those of the untraced ones alone.
//
// Counted: wall_ns  from before fork to after the last wait, less the reading
//          of /proc
//          user_ns, system_ns, peak_rss_kib, faults, context switches: wait4,
//          the program with the children it waited for; the peak is the larger
//          of wait4's, which the kernel rounds down by some pages for each
//          core, and the exact one in /proc
// Result:  One JSON object on the result descriptor, standard error otherwise.
//          `library_mapped` and the /proc figures are null where the system
//          allows no tracing. The program's output passes through (silenced
//          with --repeat). Status 0 if the program could be run at all.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kMaxRepeat = 10000, kExecFailed = 126 };

typedef struct {
  char library[PATH_MAX];  // resolved; empty for the system's malloc
  int repeat;
  int result_fd;
  char** command;
} Options;

typedef struct {
  bool inspected;  // the fields from /proc are valid
  bool library_mapped;
  long peak_virtual_kib;
  long peak_rss_kib;
  long end_rss_kib;
  long end_pss_kib;   // negative where the kernel does not tell
  long end_huge_kib;  // the same
  uint64_t cost_ns;   // what reading all this took
} Inspection;

typedef struct {
  uint64_t wall_ns;
  int status;
  struct rusage usage;
  Inspection inspection;
} Outcome;

_Noreturn static void Fail(const char* what, const char* detail) {
  fprintf(stderr, "measure: %s%s%s\n", what, *detail ? ": " : "", detail);
  exit(2);
}

static uint64_t NowNs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static Options ParseOptions(int argc, char** argv) {
  Options options = {.repeat = 0, .result_fd = STDERR_FILENO};
  int i = 1;
  for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
    if (strncmp(argv[i], "--library=", 10) == 0) {
      if (realpath(argv[i] + 10, options.library) == NULL)
        Fail("no such library", argv[i] + 10);
    } else if (sscanf(argv[i], "--repeat=%d", &options.repeat) == 1) {
      if (options.repeat < 1 || options.repeat > kMaxRepeat)
        Fail("bad count", argv[i]);
    } else if (sscanf(argv[i], "--result-fd=%d", &options.result_fd) != 1) {
      Fail("unknown option", argv[i]);
    }
  }
  if (i == argc) Fail("no program given", "");
  options.command = argv + i;
  return options;
}

// In the child: never returns.
_Noreturn static void Exec(const Options* options, bool traced) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (options->result_fd != STDERR_FILENO)
    fcntl(options->result_fd, F_SETFD, FD_CLOEXEC);
  if (options->repeat > 0) {
    int sink = open("/dev/null", O_WRONLY);
    if (sink >= 0) dup2(sink, STDOUT_FILENO);
  }
  if (options->library[0] != '\0') {
    setenv("LD_PRELOAD", options->library, 1);
  } else {
    unsetenv("LD_PRELOAD");
  }
  if (traced) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  execvp(options->command[0], options->command);
  _exit(kExecFailed);
}

static Inspection Inspect(pid_t pid, const char* library) {
  Inspection seen = {.inspected = false, .end_pss_kib = -1, .end_huge_kib = -1};
  uint64_t start = NowNs();
  char path[64];
  char line[PATH_MAX + 128];
  snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
  FILE* maps = fopen(path, "r");
  if (maps == NULL) return seen;
  while (fgets(line, sizeof(line), maps) != NULL) {
    char* name = strchr(line, '/');
    if (name == NULL) continue;
    name[strcspn(name, "\n")] = '\0';
    if (strcmp(name, library) == 0) seen.library_mapped = true;
  }
  fclose(maps);
  snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
  FILE* status = fopen(path, "r");
  if (status == NULL) return seen;
  while (fgets(line, sizeof(line), status) != NULL) {
    sscanf(line, "VmPeak: %ld", &seen.peak_virtual_kib);
    sscanf(line, "VmHWM: %ld", &seen.peak_rss_kib);
    sscanf(line, "VmRSS: %ld", &seen.end_rss_kib);
  }
  fclose(status);
  snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
  FILE* rollup = fopen(path, "r");
  while (rollup != NULL && fgets(line, sizeof(line), rollup) != NULL) {
    sscanf(line, "Pss: %ld", &seen.end_pss_kib);
    sscanf(line, "AnonHugePages: %ld", &seen.end_huge_kib);
  }
  if (rollup != NULL) fclose(rollup);
  seen.inspected = true;
  seen.cost_ns = NowNs() - start;
  return seen;
}

// Waits for the end of a traced child, letting it run through every stop.
static void FollowTraced(pid_t pid, const Options* options, Outcome* outcome) {
  bool started = false;
  while (wait4(pid, &outcome->status, 0, &outcome->usage) == pid &&
         WIFSTOPPED(outcome->status)) {
    int signal_number = WSTOPSIG(outcome->status);
    if (outcome->status >> 16 == PTRACE_EVENT_EXIT) {
      outcome->inspection = Inspect(pid, options->library);
      signal_number = 0;
    } else if (!started && signal_number == SIGTRAP) {  // the stop after exec
      // Without TRACEEXEC, a program that execs another gets a SIGTRAP for it.
      ptrace(
          PTRACE_SETOPTIONS, pid, NULL,
          (void*)(PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
      started = true;
      signal_number = 0;
    } else if (outcome->status >> 16 != 0) {
      signal_number = 0;
    }
    ptrace(PTRACE_CONT, pid, NULL, (void*)(intptr_t)signal_number);
  }
}

static Outcome Spawn(const Options* options, bool traced) {
  Outcome outcome = {0};
  uint64_t start = NowNs();
  pid_t pid = fork();
  if (pid < 0) Fail("cannot fork", strerror(errno));
  if (pid == 0) Exec(options, traced);
  if (traced) {
    FollowTraced(pid, options, &outcome);
  } else {
    wait4(pid, &outcome.status, 0, &outcome.usage);
  }
  outcome.wall_ns = NowNs() - start - outcome.inspection.cost_ns;
  return outcome;
}

static int CompareNumbers(const void* left, const void* right) {
  uint64_t a = *(const uint64_t*)left;
  uint64_t b = *(const uint64_t*)right;
  return (a > b) - (a < b);
}

static struct timeval MeanTime(struct timeval before, struct timeval after,
                               int count) {
  int64_t microseconds = (int64_t)(after.tv_sec - before.tv_sec) * 1000000 +
                         after.tv_usec - before.tv_usec;
  microseconds /= count;
  return (struct timeval){microseconds / 1000000, microseconds % 1000000};
}

static uint64_t TimevalNs(struct timeval time) {
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

static void WriteKib(FILE* out, const char* name, bool known, long kib) {
  if (known) {
    fprintf(out, ", \"%s\": %ld", name, kib);
  } else {
    fprintf(out, ", \"%s\": null", name);
  }
}

// The figures that come from /proc, or nulls.
static void WriteInspection(FILE* out, const Inspection* seen, bool preloaded) {
  bool known = seen->inspected;
  fprintf(out, ", \"library_mapped\": %s",
          !known || !preloaded   ? "null"
          : seen->library_mapped ? "true"
                                 : "false");
  WriteKib(out, "peak_virtual_kib", known, seen->peak_virtual_kib);
  WriteKib(out, "end_rss_kib", known, seen->end_rss_kib);
  WriteKib(out, "end_pss_kib", known && seen->end_pss_kib >= 0,
           seen->end_pss_kib);
  WriteKib(out, "end_huge_kib", known && seen->end_huge_kib >= 0,
           seen->end_huge_kib);
}

static void WriteResult(const Options* options, const Outcome* outcome) {
  FILE* out = fdopen(options->result_fd, "w");
  if (out == NULL) Fail("cannot write the result", strerror(errno));
  const struct rusage* usage = &outcome->usage;
  long peak_rss_kib = outcome->inspection.peak_rss_kib;
  if (usage->ru_maxrss > peak_rss_kib) peak_rss_kib = usage->ru_maxrss;
  int status = outcome->status;
  fprintf(out, "{\"exit_status\": %d, \"signal\": %d, \"wall_ns\": %" PRIu64,
          WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          WIFSIGNALED(status) ? WTERMSIG(status) : 0, outcome->wall_ns);
  fprintf(out,
          ", \"user_ns\": %" PRIu64 ", \"system_ns\": %" PRIu64
          ", \"peak_rss_kib\": %ld",
          TimevalNs(usage->ru_utime), TimevalNs(usage->ru_stime), peak_rss_kib);
  fprintf(out, ", \"minor_faults\": %ld, \"major_faults\": %ld",
          usage->ru_minflt, usage->ru_majflt);
  fprintf(out, ", \"voluntary_switches\": %ld, \"involuntary_switches\": %ld",
          usage->ru_nvcsw, usage->ru_nivcsw);
  WriteInspection(out, &outcome->inspection, options->library[0] != '\0');
  fprintf(out, "}\n");
  fclose(out);
}

// Repeats untraced; the times become the median wall time and the mean CPU
// time of one spawn, everything else stays that of the traced one.
static void Repeat(const Options* options, Outcome* outcome) {
  static uint64_t walls[kMaxRepeat];
  struct rusage before;
  struct rusage after;
  getrusage(RUSAGE_CHILDREN, &before);
  for (int i = 0; i < options->repeat && outcome->status == 0; i++) {
    Outcome one = Spawn(options, false);
    walls[i] = one.wall_ns;
    outcome->status = one.status;
  }
  if (outcome->status != 0) return;
  getrusage(RUSAGE_CHILDREN, &after);
  qsort(walls, (size_t)options->repeat, sizeof(walls[0]), CompareNumbers);
  outcome->wall_ns = walls[options->repeat / 2];
  outcome->usage.ru_utime =
      MeanTime(before.ru_utime, after.ru_utime, options->repeat);
  outcome->usage.ru_stime =
      MeanTime(before.ru_stime, after.ru_stime, options->repeat);
}

int main(int argc, char** argv) {
  Options options = ParseOptions(argc, argv);
  Outcome outcome = Spawn(&options, true);
  if (options.repeat > 0) Repeat(&options, &outcome);
  WriteResult(&options, &outcome);
  return WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == kExecFailed
             ? 1
             : 0;
}
