#!/usr/bin/env python3
"""`spanmalloc top` on a terminal, which is one of tmux.

Usage: top_terminal_test.py TOOL LIBRARY

  TOOL     the command spanmalloc
  LIBRARY  libspanmalloc.so

Exit codes: 0 passed, 1 failed, 77 skipped (no tmux, or no ncurses in TOOL).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SKIPPED = 77
# For what should come at once; a loaded machine takes its time.
DEADLINE = 60
TOOL = LIBRARY = None


def environment():
    """Without what would make the tool or the terminal another one."""
    keep = {
        key: value
        for key, value in os.environ.items()
        if key not in ("LD_PRELOAD", "TMUX", "TMUX_PANE", "LC_ALL")
    }
    return {**keep, "LC_ALL": "C"}


class Terminal:
    """A shell of our own in a tmux of our own."""

    def __init__(self, width, height, term="screen"):
        self.folder = tempfile.mkdtemp(prefix="top")
        self.socket = os.path.join(self.folder, "tmux")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width),
                  "-y", str(height), f"exec env -i PATH=$PATH TERM={term} "
                  "PS1='ready> ' sh")
        self.wait_for("ready>")

    def close(self):
        self.tmux("kill-server", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tmux(self, *arguments, check=True):
        return subprocess.run(["tmux", "-S", self.socket, *arguments],
                              check=check, timeout=DEADLINE, text=True,
                              env=environment(), capture_output=True).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def run(self, command):
        self.tmux("send-keys", "-l", command)
        self.keys("Enter")

    def wait_until(self, holds, what):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            screen = self.screen()
            if holds(screen):
                return screen
            time.sleep(0.05)
        raise AssertionError(f"not {what}:\n{screen}")

    def wait_for(self, text):
        return self.wait_until(lambda screen: text in screen, text)

    def wait_for_no(self, text):
        return self.wait_until(lambda screen: text not in screen, f"no {text}")


def start_child():
    """A process on spanmalloc that waits."""
    return subprocess.Popen(["sleep", "600"],
                            env={**environment(), "LD_PRELOAD": LIBRARY})


class TopTest(unittest.TestCase):

    def setUp(self):
        self.child = start_child()
        self.addCleanup(self.end_child)
        self.pid = str(self.child.pid)

    def end_child(self):
        self.child.kill()
        self.child.wait()

    def terminal(self, width=80, height=24, **more):
        terminal = Terminal(width, height, **more)
        self.addCleanup(terminal.close)
        return terminal

    def start(self, terminal, arguments=""):
        """The tool, between two questions about the state of the terminal."""
        terminal.run("clear; before=$(stty -g)")
        terminal.run(f"{TOOL} top --interval 0.2 {arguments}; status=$?; "
                     '[ "$before" = "$(stty -g)" ] && '
                     "echo ended with $status, as before")

    def expect_end(self, terminal, status):
        # The table is gone, for it was on the terminal's other screen.
        screen = terminal.wait_for(f"ended with {status}, as before")
        self.assertNotIn("IN USE", screen)
        self.assertNotIn("Memory", screen)

    def test_list_and_detail(self):
        terminal = self.terminal()
        self.start(terminal)
        terminal.wait_for(f"{self.pid} ")
        screen = terminal.wait_for("RSS v")
        self.assertIn("sleep", screen)
        terminal.keys("p")
        terminal.wait_for("PID ^")
        terminal.keys("p")
        terminal.wait_for("PID v")
        terminal.keys("?")
        terminal.wait_for("Ctrl-C")
        terminal.keys("Escape")
        terminal.wait_for("PID v")
        # Ours has the highest PID or is near it.
        for _ in range(50):
            terminal.keys("Enter")
            screen = terminal.wait_for("Fragmentation")
            if f"process {self.pid}: sleep" in screen:
                break
            terminal.keys("BSpace")
            terminal.wait_for("IN USE")
            terminal.keys("Down")
        terminal.wait_for(f"process {self.pid}: sleep")
        terminal.wait_for("LIVE BYTES v")
        terminal.keys("Escape")
        terminal.wait_for("IN USE")
        terminal.keys("q")
        self.expect_end(terminal, 0)

    def test_process_that_ends(self):
        terminal = self.terminal()
        self.start(terminal, self.pid)
        terminal.wait_for(f"process {self.pid}: sleep")
        self.end_child()
        terminal.wait_for(f"process {self.pid} has ended")
        terminal.keys("Escape")
        terminal.wait_for("IN USE")
        terminal.wait_for_no(f" {self.pid} ")
        terminal.keys("C-c")
        self.expect_end(terminal, 0)

    def test_resize(self):
        terminal = self.terminal()
        self.start(terminal)
        terminal.wait_for("MALLOC/s")
        self.assertNotIn("FREE/s", terminal.screen())
        terminal.tmux("resize-window", "-x", "160", "-y", "40")
        terminal.wait_for("FREE/s")
        terminal.tmux("resize-window", "-x", "40", "-y", "10")
        terminal.wait_for_no("HELD")
        terminal.wait_for("COMMAND")
        terminal.tmux("resize-window", "-x", "5", "-y", "1")
        terminal.tmux("resize-window", "-x", "80", "-y", "24")
        terminal.wait_for("MALLOC/s")
        terminal.keys("q")
        self.expect_end(terminal, 0)

    def start_shell(self, script, **variables):
        """A shell that does the rest of the script when it gets a line."""
        shell = subprocess.Popen(["sh", "-c", f"read line; {script}"],
                                 stdin=subprocess.PIPE,
                                 env={**environment(), **variables})

        def end():
            shell.kill()
            shell.communicate()

        self.addCleanup(end)
        return shell

    def test_exec(self):
        goes = self.start_shell("exec env -u LD_PRELOAD sleep 600",
                                LD_PRELOAD=LIBRARY)
        comes = self.start_shell(f"LD_PRELOAD={LIBRARY} exec sleep 600")
        terminal = self.terminal(height=100)
        self.start(terminal)
        screen = terminal.wait_for(f" {goes.pid} ")
        self.assertNotIn(f" {comes.pid} ", screen)
        for shell in (comes, goes):
            shell.stdin.write(b"now\n")
            shell.stdin.flush()
        terminal.wait_for(f" {comes.pid} ")
        terminal.wait_for_no(f" {goes.pid} ")
        terminal.keys("q")
        self.expect_end(terminal, 0)

    def top_process(self, terminal):
        shell = terminal.tmux("display", "-p", "#{pane_pid}").strip()
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", shell],
                               check=True, text=True, capture_output=True)
        return int(found.stdout.split()[0])

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            terminal = self.terminal()
            self.start(terminal)
            terminal.wait_for("IN USE")
            os.kill(self.top_process(terminal), number)
            self.expect_end(terminal, 128 + number)

    def test_stop_and_go_on(self):
        terminal = self.terminal()
        terminal.run("set -m")
        terminal.run(f"{TOOL} top --interval 0.2")
        terminal.wait_for("IN USE")
        terminal.keys("C-z")
        terminal.wait_for("ready>")
        terminal.run("fg")
        terminal.wait_for("IN USE")
        terminal.keys("q")
        terminal.wait_for("ready>")

    def test_other_terminals(self):
        terminal = self.terminal(term="vt100")
        self.start(terminal)
        terminal.wait_for("RSS v")
        terminal.keys("q")
        terminal.wait_for("ended with 0, as before")
        terminal = self.terminal(term="none-such")
        self.start(terminal)
        terminal.wait_for("the terminal none-such (TERM) is not known")
        terminal.wait_for("ended with 2, as before")


class TextTest(unittest.TestCase):

    def run_top(self, *arguments):
        return subprocess.run([TOOL, "top", *arguments], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env=environment(), timeout=DEADLINE, check=False)

    def test_once(self):
        child = start_child()
        try:
            end = time.monotonic() + DEADLINE
            rows = []
            while not rows and time.monotonic() < end:
                result = self.run_top("--once", "--interval", "0.1")
                self.assertEqual(result.returncode, 0, result.stderr)
                lines = result.stdout.splitlines()
                self.assertIn("COMMAND", lines[0])
                rows = [line for line in lines
                        if line.split()[0] == str(child.pid)]
            self.assertTrue(rows, result.stdout)
            self.assertEqual(rows[0].split()[-1], "sleep")
            result = self.run_top("--once", "--interval=0.1", str(child.pid))
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("LIVE BYTES", result.stdout)
            self.assertIn("Fragmentation", result.stdout)
            self.assertNotIn("\x1b", result.stdout)
        finally:
            child.kill()
            child.wait()

    def test_wrong_usage(self):
        for arguments, status, words in (
            ([], 2, "stdout is no terminal; use --once"),
            (["--interval", "0"], 2, "0.1 to 3600"),
            (["--interval", "nan"], 2, "0.1 to 3600"),
            (["--interval", "x"], 2, "is no value for it"),
            (["--once", "me"], 2, "me is no PID"),
            (["--once", "1", "2"], 2, "too many arguments"),
            (["--once", str(os.getpid())], 1, "does not use spanmalloc"),
        ):
            result = self.run_top(*arguments)
            self.assertEqual(result.returncode, status, result.stderr)
            self.assertIn(words, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
            self.assertEqual(result.stdout, "")


def main():
    global TOOL, LIBRARY
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    TOOL, LIBRARY = (os.path.abspath(path) for path in sys.argv[1:3])
    del sys.argv[1:3]
    if shutil.which("tmux") is None:
        print("tmux is not installed")
        return SKIPPED
    result = subprocess.run([TOOL, "top"], stdin=subprocess.DEVNULL, text=True,
                            capture_output=True, check=False)
    if "no ncurses" in result.stderr:
        print("the tool has no ncurses")
        return SKIPPED
    return 0 if unittest.main(exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
