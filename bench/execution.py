"""One run of one row under one allocator: start it, measure it, judge it.

Place:   run.py -> [execution] -> measure.c -> the workload or program
Each run has an empty working directory of its own, no input, and a process
    group of its own, all of which is killed when the run is over, has taken too
    long or is interrupted. Nothing but the measured program is preloaded.
A record is what measure.c wrote, and
    row, allocator     names
    problem            None, or a sentence on why the run does not count
    unchecked          whether it was used could not be seen (no tracing, or no /proc)
    checksum           equal for every correct allocator
    operations, program_ns, and all others in `extra`: what the workload printed
                       or the program's driver returned
    other_load, steal, cpu_pressure, disturbed: see machine.LoadMeter
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

import machine

# A process group of its own. A session would do as well, but where the kernel
# shares cores among sessions, the runner's nice value would count for nothing.
OWN_GROUP = ({"process_group": 0} if sys.version_info >= (3, 11)
             else {"start_new_session": True})
DRIVER_GRACE_SECONDS = 10  # for a driver whose server has ended
CRASH_GRACE_SECONDS = 1  # for a server whose driver has failed


class _Capture:
    """A temporary file that a child writes into."""

    def __init__(self):
        self.file = tempfile.TemporaryFile()

    def bytes(self):
        self.file.seek(0)
        return self.file.read()

    def first_line(self):
        lines = self.bytes().decode(errors="replace").strip().splitlines()
        return lines[0][:300] if lines else "no message"


def parse_output(text):
    """What a workload printed as `key number` lines, as parts of a record."""
    values = {key: int(value) for key, value in
              re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)}
    record = {key: values.pop(key) for key in ("operations", "checksum") if key in values}
    if "wall_ns" in values:
        record["program_ns"] = values.pop("wall_ns")
    return {**record, "extra": values}


def find_problem(result, allocator, errors):
    """A sentence on why the run does not count, or None."""
    if result["signal"]:
        return f"killed by signal {result['signal']}: {errors}"
    if result["exit_status"] != 0:
        return f"exit status {result['exit_status']}: {errors}"
    if allocator.library and result["library_mapped"] is not True and (
            result["library_mapped"] is False or "cannot be preloaded" in errors):
        return f"the loader did not use the library: {errors}"
    return None


class Executor:
    """Runs one at a time; `stop`, from a signal handler, ends the current one."""

    def __init__(self, build_directory, quick, work_directory, seconds_limit):
        self.programs_directory = os.path.join(build_directory, "bench")
        self.quick = quick
        self.inputs_root = pathlib.Path(work_directory) / "inputs"
        self.scratch_root = os.path.join(work_directory, "scratch")
        self.seconds_limit = seconds_limit
        self.stopped = False
        self._process = None

    def stop(self):
        self.stopped = True
        self._kill()

    def probe(self, allocator):
        """Why no program can run under the allocator, or None."""
        command = [os.path.join(self.programs_directory, "trivial")]
        return self._run({}, allocator, command)["problem"]

    def is_prepared(self, row, version):
        """Whether this version of programs/ has made the inputs of the program."""
        inputs = self._inputs(row)
        return machine.read_text(inputs.with_suffix(".ready")) == version and inputs.is_dir()

    def prepare(self, row, version):
        """Makes the inputs anew."""
        inputs = self._inputs(row)
        marker = inputs.with_suffix(".ready")
        marker.unlink(missing_ok=True)
        shutil.rmtree(inputs, ignore_errors=True)
        inputs.mkdir(parents=True)
        row.program.prepare(inputs, self.quick)
        marker.write_text(version)

    def run(self, row, allocator):
        """The record of one run; after `stop` it does not count."""
        identity = {"row": row.name, "allocator": allocator.name}
        if row.kind == "program":
            return self._run_program(identity, row, allocator)
        command = [os.path.join(self.programs_directory, row.program)]
        command += row.quick_arguments if self.quick else row.arguments
        repeat = row.quick_repeat if self.quick else row.repeat
        return self._run(identity, allocator, command, repeat=repeat,
                         judge=lambda scratch, output: parse_output(output.decode(
                             errors="replace")))

    def _inputs(self, row):
        return self.inputs_root / f"{row.name}-{'quick' if self.quick else 'full'}"

    def _run_program(self, identity, row, allocator):
        program = row.program
        inputs = self._inputs(row)
        drive = program.drive and (lambda scratch: program.drive(inputs, scratch, self.quick))
        return self._run(
            identity, allocator, lambda scratch: program.command(inputs, scratch, self.quick),
            variables=program.environment, drive=drive,
            judge=lambda scratch, output: {"checksum": program.checksum(inputs, scratch, output)})

    def _run(self, identity, allocator, command, repeat=0, variables=(), drive=None, judge=None):
        """Runs a command; `judge` turns its scratch folder and output into parts of the record."""
        os.makedirs(self.scratch_root, exist_ok=True)
        scratch = pathlib.Path(tempfile.mkdtemp(dir=self.scratch_root))
        try:
            if callable(command):
                command = command(scratch)
            environment = {**os.environ, **dict(variables), **dict(allocator.environment)}
            environment.pop("LD_PRELOAD", None)
            record = self._measure(allocator, command, repeat, environment, scratch, drive)
            output = record.pop("output", b"")
            if not record["problem"] and judge:
                judged = judge(scratch, output)
                judged["extra"] = {**judged.get("extra", {}), **record["extra"]}
                record.update(judged)
            return {**identity, **record}
        except Exception as error:  # Whatever a program's own functions raise.
            return {**identity, "problem": f"{type(error).__name__}: {error}"[:300]}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _measure(self, allocator, command, repeat, environment, scratch, drive):
        result, output, errors = _Capture(), _Capture(), _Capture()
        measure = [os.path.join(self.programs_directory, "measure"),
                   f"--result-fd={result.file.fileno()}"]
        measure += [f"--library={allocator.library}"] if allocator.library else []
        measure += [f"--repeat={repeat}"] if repeat else []
        meter = machine.LoadMeter()
        self._process = subprocess.Popen(
            measure + list(command), stdin=subprocess.DEVNULL, stdout=output.file,
            stderr=errors.file, cwd=scratch, env=environment,
            pass_fds=[result.file.fileno()], **OWN_GROUP)
        timed_out = threading.Event()
        watchdog = threading.Timer(self.seconds_limit, lambda: (timed_out.set(), self._kill()))
        watchdog.daemon = True
        watchdog.start()
        try:
            if self.stopped:  # Before there was a process to kill.
                self._kill()
            extra, driver_problem = self._drive(drive, scratch, timed_out) if drive else ({}, None)
            self._process.wait()
        finally:
            watchdog.cancel()
            self._kill()
            self._process.wait()
        load = meter.stop()
        if timed_out.is_set():
            return {"problem": f"not finished after {self.seconds_limit} s", "timed_out": True}
        try:
            record = json.loads(result.bytes())
        except ValueError:
            return {"problem": driver_problem or f"not measured: {errors.first_line()}"}
        record["problem"] = find_problem(record, allocator, errors.first_line()) or driver_problem
        record["unchecked"] = bool(allocator.library) and record["library_mapped"] is None
        return {**record, **load, "extra": extra, "output": output.bytes()}

    def _drive(self, drive, scratch, timed_out):
        """(extra figures, problem) of a program's driver, which runs beside the program."""
        outcome = [{}, "its driver did not return"]

        def call():
            try:
                outcome[:] = [drive(scratch) or {}, None]
            except Exception as error:
                outcome[:] = [{}, f"its driver failed: {type(error).__name__}: {error}"[:300]]
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        grace = DRIVER_GRACE_SECONDS / 0.1
        while thread.is_alive() and not timed_out.is_set() and not self.stopped and grace > 0:
            thread.join(0.1)
            grace -= self._process.poll() is not None
        if outcome[1]:  # A crash of the program itself is the better reason.
            try:
                self._process.wait(timeout=CRASH_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._kill()
        return outcome

    def _kill(self):
        """Ends every process of the current run that is left."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
