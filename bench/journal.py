"""What was measured so far, on disk: one JSON object a line.

Format:  The first line is the header {"format", "started", "configuration"};
         each further line is a run, as execution.py returns it, and
         {"finished": true} follows the last run that was asked for.
Writing: A run is appended and forced to disk before the next one starts, so an
         interruption of any kind loses at most the run under way. A line that
         was cut off by a crash is cut off again when the file is read.
Resume:  Runs are comparable only under one configuration, so a journal of
         another one is never continued; `differences` names what changed.
"""

import fcntl
import json
import os

FORMAT = 2


class JournalError(Exception):
    """A journal that cannot be read or must not be continued."""


def _parse(data, path):
    """(header, runs, finished, length of the whole lines) of a journal's bytes."""
    end = data.rfind(b"\n") + 1
    try:
        records = [json.loads(line) for line in data[:end].splitlines()]
    except ValueError as error:
        raise JournalError(f"{path} is damaged: {error}") from error
    if not records:
        return None, [], False, 0
    header = records[0]
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise JournalError(f"{path} is not a journal of this version")
    runs = [record for record in records[1:] if "finished" not in record]
    return header, runs, "finished" in records[-1], end


def read(path):
    """(header, runs, finished) of a journal; header is None if there is none."""
    try:
        with open(path, "rb") as file:
            return _parse(file.read(), path)[:3]
    except FileNotFoundError:
        return None, [], False


def differences(old, new, prefix=""):
    """The names of all values in which two configurations differ."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [prefix]
    names = []
    for key in {**old, **new}:
        name = f"{prefix}.{key}" if prefix else key
        names += (differences(old[key], new[key], name) if key in old and key in new else [name])
    return names


class Journal:
    """An open journal, which no other process can open at the same time."""

    def __init__(self, path):
        """Opens the file and reads what it holds; makes an empty one."""
        self.path = path
        self._file = open(path, "a+b")
        try:
            self._read()
        except JournalError:
            self._file.close()
            raise

    def _read(self):
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalError(f"another run writes to {self.path}") from error
        self._file.seek(0)
        self.header, self.runs, self.finished, end = _parse(self._file.read(), self.path)
        self._file.truncate(end)

    def start(self, header):
        """Writes the header of a new journal.

        REQUIRES: nothing has been written since the file was made.
        """
        self.header = {"format": FORMAT, **header}
        self._append(self.header)

    def start_over(self, header):
        """Keeps the file as PATH.previous and begins a new one."""
        os.replace(self.path, self.path + ".previous")
        self._file.close()
        self._file = open(self.path, "a+b")
        self._read()
        self.start(header)

    def add(self, run):
        self.runs.append(run)
        self._append(run)

    def finish(self):
        self.finished = True
        self._append({"finished": True})

    def close(self):
        self._file.close()

    def _append(self, record):
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
