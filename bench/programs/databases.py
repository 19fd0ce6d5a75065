"""Databases: in the program's own memory, in files of its own, and behind a socket."""

import csv
import glob
import random
import re
import subprocess
import time

from .program import (FILES, SECONDS, Program, checksum_of_stdout, digest, find, find_binary,
                      make_once, nothing_to_prepare, run_tool, size)

# SQLite's shell runs inputs/work.sql on a database in memory.


def sqlite3_command(inputs, scratch, quick):
    rows = 75000 if quick else 250000
    return [find_binary("sqlite3"), "-batch", ":memory:",
            f"CREATE TABLE size(rows); INSERT INTO size VALUES({rows});",
            f'.read "{FILES / "work.sql"}"']


# RocksDB's own benchmark, two threads: writes, one compaction, reads, scans.
# Nothing is compacted on the side, so that the work does not depend on time.


def rocksdb_command(inputs, scratch, quick):
    count = 50000 if quick else 200000
    return [find_binary("db_bench"), "--db=database", "--seed=7", "--threads=2",
            "--benchmarks=fillrandom,flush,compact,readrandom,seekrandom",
            f"--num={count}", f"--reads={count // 2}", "--value_size=150",
            "--write_buffer_size=8388608", "--cache_size=16777216", "--compression_type=lz4",
            "--disable_wal=1", "--disable_auto_compactions=1",
            "--level0_slowdown_writes_trigger=1000", "--level0_stop_writes_trigger=1000",
            "--enable_write_thread_adaptive_yield=false", "--stats_interval=1000000000"]


def rocksdb_checksum(inputs, scratch, stdout):
    """How many keys were found; everything else that is printed has to do with time."""
    found = re.findall(rb"^(\w+) +:.*?(\(\d+ of \d+ found\))", stdout, re.MULTILINE)
    if len(found) != 2:
        raise ValueError(f"not what db_bench prints: {stdout[-300:]}")
    return digest(repr(found).encode())


# Redis on a socket in the scratch folder: first commands that are the same in
# every run, and a digest of all keys; then the load of redis-benchmark, whose
# keys are random.
#
# Debian's server is linked with jemalloc, which a preloaded library precedes.
# So that without one it runs on the system's malloc, the loader is told to put
# libc before jemalloc, and after what is in LD_PRELOAD. The server's binary is
# part of redis-tools under another name; the package redis-server would only
# add a link and a service, which would be running from then on.

SOCKET = "redis.sock"  # Relative: the length of a socket's path is limited.
ANSWERS = "answers"


def redis_prepare(inputs, quick):
    def write_commands(path):
        numbers = random.Random(11)
        count = 10000 if quick else 40000
        with open(path, "wb") as out:
            for number in range(count):
                key = numbers.randrange(count)
                text = "v" * numbers.randint(1, 1200)
                for command in (("SET", f"string:{key}", text),
                                ("APPEND", f"string:{key // 2}", text[:100]),
                                ("HSET", f"hash:{key % 1000}", f"field{number}", text[:60]),
                                ("RPUSH", f"list:{key % 300}", text[:200]),
                                ("ZADD", f"sorted:{key % 200}", str(number), f"member{key}"),
                                ("DEL", f"string:{numbers.randrange(count)}")):
                    words = [word.encode() for word in command]
                    out.write(b"*%d\r\n" % len(words))
                    out.writelines(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    make_once(inputs / f"commands-{size(quick)}", write_commands)


def redis_command(inputs, scratch, quick):
    loaders = glob.glob("/lib64/ld-linux-*.so.*") + glob.glob("/lib/ld-linux-*.so.*")
    if not loaders:
        raise FileNotFoundError("no dynamic loader of glibc where it usually is")
    return [loaders[0], "--argv0", "redis-server", "--preload", "libc.so.6",
            find_binary("redis-check-rdb"), "--port", "0", "--unixsocket", SOCKET,
            "--save", "", "--appendonly", "no", "--loglevel", "warning",
            "--jemalloc-bg-thread", "no", "--enable-debug-command", "local"]


def _client(scratch, *arguments, program="redis-cli", **keywords):
    return run_tool([find(program), "-s", SOCKET, *arguments], cwd=scratch, **keywords)


def _wait_for_server(scratch):
    """Until it answers: that its socket is there does not mean that it listens."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            _client(scratch, "PING", stderr=subprocess.DEVNULL)
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def redis_drive(inputs, scratch, quick):
    _wait_for_server(scratch)
    with open(inputs / f"commands-{size(quick)}", "rb") as commands:
        _client(scratch, "--pipe", stdin=commands)
    answers = _client(scratch, "DBSIZE") + _client(scratch, "DEBUG", "DIGEST")
    (scratch / ANSWERS).write_bytes(answers)
    requests = 30000 if quick else 100000
    seconds = []
    for length, tests in (("200", "set,get,incr,lpush,rpop,sadd,hset,spop,zadd,zpopmin"),
                          ("1000", "set,get")):
        table = _client(scratch, "--csv", "-n", str(requests), "-r", str(requests // 4),
                        "-d", length, "-c", "20", "-P", "16", "-t", tests,
                        program="redis-benchmark")
        rates = [float(line["rps"]) for line in csv.DictReader(table.decode().splitlines())]
        seconds += [requests / rate for rate in rates]
    _client(scratch, "SHUTDOWN", "NOSAVE")
    return {"requests_per_second": round(requests * len(seconds) / sum(seconds))}


def redis_checksum(inputs, scratch, stdout):
    return digest((scratch / ANSWERS).read_bytes())


PROGRAMS = (
    Program("sqlite3", ("sqlite3",), ("sqlite3",), nothing_to_prepare, sqlite3_command,
            checksum_of_stdout),
    Program("rocksdb", ("rocksdb-tools",), ("db_bench",), nothing_to_prepare, rocksdb_command,
            rocksdb_checksum),
    Program("redis", ("redis-tools",), ("redis-check-rdb", "redis-cli", "redis-benchmark"),
            redis_prepare, redis_command, redis_checksum, (), redis_drive),
)
