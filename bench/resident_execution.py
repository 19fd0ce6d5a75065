"""Runs the programs of resident/ beside each other, as far as they only wait.

Place:   resident.py -> [resident_execution] -> resident/
A program works first and is idle for minutes then. While it works it holds one of
    the seats; it gives the seat up by printing `idle`, or by its end. So many
    programs can be idle at once and few compete for the cores. A row that wants
    to be alone takes all the seats. Programs start in the order given; one that
    has to wait for memory lets none pass.
A record is
    row, allocator, round    names, and a number from 1 on
    problem                  None, or a sentence on why the run does not count
    figures                  what was printed as `KEY NUMBER`
    samples                  what was printed as `sample X KIB`: [[X, KIB]]
    user_ns, system_ns       CPU time of the whole run
No launcher stands in between: VmHWM, which the programs print, belongs to what
    was executed last, and begins there.
"""

import os
import re
import selectors
import subprocess
import tempfile
import time

import execution
import machine

SEATS = 2
RESERVE_MIB = 2048  # of the machine's memory, which nobody may use
GRACE_SECONDS = 600  # how much longer than it should a program may take
TICK_SECONDS = 0.5


def available_mebibytes():
    """Memory that programs could have now; None where the system does not tell."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", machine.read_text("/proc/meminfo") or "",
                      re.MULTILINE)
    return int(match.group(1)) // 1024 if match else None


def parse_output(text):
    """(figures, samples, whether the program is idle) of what was printed so far."""
    figures = {key: int(value) for key, value in re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)}
    samples = [[int(at), int(kib)] for at, kib in
               re.findall(r"^sample (\d+) (\d+)$", text, re.MULTILINE)]
    return figures, samples, re.search(r"^idle$", text, re.MULTILINE) is not None


class _Run:
    """One program that has been started."""

    def __init__(self, cell, command, scratch):
        self.number, self.row, self.allocator = cell
        self.output = b""
        self.idle = False
        self.unused_library = False
        self._checked = False
        self._deadline = time.monotonic() + self.row.seconds + GRACE_SECONDS
        self._late = False
        self._errors = tempfile.TemporaryFile()
        environment = {**os.environ, **dict(self.allocator.environment)}
        environment.pop("LD_PRELOAD", None)
        if self.allocator.library:
            environment["LD_PRELOAD"] = self.allocator.library
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self._errors, cwd=scratch, env=environment,
                                        **execution.OWN_GROUP)

    @property
    def seats(self):
        return 0 if self.idle else SEATS if self.row.alone else 1

    def read(self):
        """Takes what was printed; False at the end of the output."""
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if data and not self._checked:
            # Whoever prints has been loaded, and runs still or is a zombie without maps.
            self._checked = True
            maps = machine.read_text(f"/proc/{self.process.pid}/maps")
            library = self.allocator.library and os.path.realpath(self.allocator.library)
            self.unused_library = bool(maps and library) and library not in maps
        self.output += data
        self.idle = self.idle or parse_output(self.output.decode(errors="replace"))[2]
        return bool(data)

    def check_time(self):
        if time.monotonic() > self._deadline:
            self._late = True
            self.process.kill()

    def end(self):
        """Waits for the program; its record."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        figures, samples, _ = parse_output(self.output.decode(errors="replace"))
        return {"row": self.row.name, "allocator": self.allocator.name, "round": self.number,
                "problem": self._problem(), "figures": figures, "samples": samples,
                "user_ns": int(usage.ru_utime * 1e9), "system_ns": int(usage.ru_stime * 1e9)}

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def _problem(self):
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        reason = lines[0][:300] if lines else "no message"
        code = self.process.returncode
        if self._late:
            return f"not finished after {self.row.seconds + GRACE_SECONDS} s"
        if code < 0:
            return f"killed by signal {-code}: {reason}"
        if code > 0:
            return f"exit status {code}: {reason}"
        if self.unused_library or (self.allocator.library and "cannot be preloaded" in reason):
            return f"the loader did not use the library: {reason}"
        return None


class Runner:
    """Runs cells, (round, row, allocator), at most `jobs` at once."""

    def __init__(self, programs_directory, scratch, jobs):
        self._programs_directory = programs_directory
        self._scratch = scratch
        self._jobs = jobs
        self._running = []
        self.stopped = False

    def stop(self):
        """From a signal handler: run_all kills what runs and returns."""
        self.stopped = True

    def run_all(self, cells, add, say=lambda text: None):
        """Calls add(record) for each cell as it ends; True if none is left."""
        os.makedirs(self._scratch, exist_ok=True)
        left = list(cells)
        selector = selectors.DefaultSelector()
        try:
            while (left or self._running) and not self.stopped:
                while left and self._may_start(left[0][1]):
                    run = self._start(left.pop(0))
                    selector.register(run.process.stdout, selectors.EVENT_READ, run)
                self._collect(selector, add, lambda: say(
                    f"{len(left)} to come, {len(self._running)} running, of these "
                    f"{sum(run.idle for run in self._running)} idle"))
            return not self.stopped
        finally:
            for run in self._running:
                run.kill()
            self._running = []
            selector.close()

    def _may_start(self, row):
        """Whether there are seats and memory. A row that nothing is beside may always."""
        if not self._running:
            return True
        taken = sum(run.seats for run in self._running)
        if len(self._running) >= self._jobs or taken + (SEATS if row.alone else 1) > SEATS:
            return False
        # Those that work may be about to take all that they may.
        promised = sum(run.row.mebibytes for run in self._running if not run.idle)
        available = available_mebibytes()
        return available is None or row.mebibytes + promised + RESERVE_MIB < available

    def _start(self, cell):
        _, row, _ = cell
        command = [os.path.join(self._programs_directory, row.program), *row.arguments]
        run = _Run(cell, command, self._scratch)
        self._running.append(run)
        return run

    def _collect(self, selector, add, say):
        """Waits for a moment and takes in what the programs say."""
        for key, _ in selector.select(TICK_SECONDS):
            run = key.data
            if not run.read():
                selector.unregister(run.process.stdout)
                self._running.remove(run)
                record = run.end()
                if not self.stopped:  # Otherwise its end is not to be trusted.
                    add(record)
                    say()
        for run in self._running:
            run.check_time()
