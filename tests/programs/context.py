"""What a program's function gets: a folder, an environment, and ways to run commands in both.

Not here: the programs (scripting.py, tools.py, servers.py) and the comparison (run.py).
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

INPUTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs")
LIMIT = 120  # Seconds after which a hanging program is a failure.


class Missing(Exception):
    """The program is not installed, or cannot run here."""


class Context:
    """One run of one program: with the library preloaded, or without (`preload` is None)."""

    def __init__(self, name, preload):
        self.preload = preload
        self.folder = tempfile.mkdtemp(prefix=f"spanmalloc-{name}-")
        self.user = None  # Set by as_other_user().
        self._seen = False
        self._servers = []
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
            "HOME": self.folder,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        if preload:
            self.environment["LD_PRELOAD"] = preload

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for server in reversed(self._servers):
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Files.

    def path(self, *parts):
        """A path in the run's own folder."""
        return os.path.join(self.folder, *parts)

    def write(self, name, contents):
        """Writes text or bytes to a file in the folder; returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(contents, str):
            contents = contents.encode()
        with open(path, "wb") as file:
            file.write(contents)
        return path

    def normalise(self, text):
        """Without what differs between any two runs."""
        return text.replace(self.folder, "FOLDER").strip() or "(nothing)"

    # Programs.

    def need(self, *programs):
        """Skips the case unless all are installed; returns the path of the first."""
        found = [shutil.which(program, path=self.environment["PATH"]) for program in programs]
        for program, path in zip(programs, found):
            if path is None:
                raise Missing(f"{program} is not installed")
        return found[0]

    def as_other_user(self):
        """From now on commands run as an unprivileged user, where we are root."""
        if os.geteuid() != 0:
            return
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            self.user = entry.pw_uid
            try:
                os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            except OSError as error:  # A sandbox may know no other user.
                raise Missing(f"cannot run as {name}: {error}") from error
            return
        raise Missing("no unprivileged user to run as")

    def start(self, arguments, stdin=subprocess.PIPE):
        """Starts a command in the folder; its stderr goes to a file that is looked at later."""
        errors = open(self.path("stderr"), "ab")
        extra = {} if self.user is None else {"user": self.user, "group": self.user}
        if self.user is not None:
            os.chown(errors.name, self.user, -1)
        with errors:
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                **extra,
            )
        self._look_for_library(process)
        return process

    def run(self, *arguments, stdin=b"", status=0):
        """Runs a command to its end; returns its stdout as text."""
        if isinstance(stdin, str):
            stdin = stdin.encode()
        process = self.start(list(arguments))
        try:
            output, _ = process.communicate(stdin, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if process.returncode != status:
            raise RuntimeError(
                f"{arguments} ended with {process.returncode}\n"
                + output.decode(errors="replace")[-2000:]
                + self.errors()[-4000:]
            )
        return output.decode(errors="replace")

    def serve(self, *arguments):
        """Starts a server that __exit__ stops; returns it."""
        server = Server(self.start(list(arguments), stdin=subprocess.DEVNULL))
        self._servers.append(server)
        return server

    def until(self, condition):
        """Waits until condition() is true."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("server does not answer: " + self.errors()[-4000:])
            time.sleep(0.01)

    def errors(self):
        """Everything that the commands wrote to stderr so far."""
        try:
            with open(self.path("stderr"), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # The library.

    def _look_for_library(self, process):
        """Waits until the library is mapped or the process has ended. Its stdin is still open."""
        while self.preload and process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/maps", errors="replace") as file:
                    maps = file.read()
            except OSError:  # Ended between the two calls.
                return
            if os.path.realpath(self.preload) in maps:
                self._seen = True
                return
            if "libc.so" in maps and "[heap]" in maps:
                return  # Started without it: an allocator is at work already.
            time.sleep(0.001)

    def check_preloaded(self):
        """Fails if the library never took part, or had something to say."""
        errors = self.errors()
        if "ld.so: object" in errors or "\nspanmalloc: " in "\n" + errors:
            raise RuntimeError("unexpected on stderr:\n" + errors[-4000:])
        if self.preload and not self._seen:
            raise RuntimeError(f"{self.preload} was never seen in the memory map")


class Server:
    """A process that runs until it is told to stop."""

    def __init__(self, process):
        self.process = process

    def stop(self):
        """Ends it politely; fails if it ends badly."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
