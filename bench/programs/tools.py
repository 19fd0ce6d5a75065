"""Programs that turn an input into an output and end."""

import random

from .program import (FILES, Program, checksum_of_stdout, digest, find, find_binary,
                      make_once, nothing_to_prepare, run_tool, size)

# The compiler: cc1plus alone, on a file that went through the preprocessor.


def gcc_prepare(inputs, quick):
    def preprocess(path):
        run_tool([find("g++"), "-std=c++17", "-E", *(["-DSMALL"] if quick else []),
                  str(FILES / "heavy.cpp"), "-o", str(path)])
    make_once(inputs / f"heavy-{size(quick)}.ii", preprocess)


def gcc_command(inputs, scratch, quick):
    compiler = run_tool([find("g++"), "-print-prog-name=cc1plus"]).decode().strip()
    return [compiler, "-quiet", "-std=c++17", "-O0" if quick else "-O2", "-fpreprocessed",
            str(inputs / f"heavy-{size(quick)}.ii"), "-o", "heavy.s"]


def gcc_checksum(inputs, scratch, stdout):
    return digest((scratch / "heavy.s").read_bytes())


# Ghostscript renders pages of text, curves and gradients, smoothed.


def ghostscript_command(inputs, scratch, quick):
    return [find_binary("gs"), "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pgmraw", "-r72",
            "-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", f"-dPages={4 if quick else 15}",
            "-sOutputFile=pages.pgm", str(FILES / "pages.ps")]


def ghostscript_checksum(inputs, scratch, stdout):
    return digest((scratch / "pages.pgm").read_bytes())


# Git packs a history anew, as `git repack -adf` lets it: all deltas are sought
# again. With one thread, since several of them would share the work by time.

GIT_ENVIRONMENT = (("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"))


def _words(numbers, words):
    return " ".join(numbers.choices(words, k=8))


def _history(commits, files, out):
    """Writes what git fast-import reads: files of words that change little by little."""
    numbers = random.Random(7)
    words = ["".join(numbers.choices("abcdefghijklmnop", k=numbers.randint(2, 10)))
             for _ in range(2000)]
    texts = [[_words(numbers, words) for _ in range(numbers.randint(5, 200))]
             for _ in range(files)]
    for commit in range(commits):
        out.write(b"commit refs/heads/main\n"
                  b"committer Somebody <somebody@example.com> %d +0000\n"
                  b"data 8\nchanges\n\n" % (1600000000 + commit))
        for number in numbers.sample(range(files), 8) if commit else range(files):
            text = texts[number]
            for _ in range(5):
                text[numbers.randrange(len(text))] = _words(numbers, words)
            text.insert(numbers.randrange(len(text)), _words(numbers, words))
            contents = "\n".join(text).encode()
            out.write(b"M 100644 inline %d/%d.txt\ndata %d\n%s\n"
                      % (number % 20, number, len(contents), contents))


def git_prepare(inputs, quick):
    def make_repository(path):
        run_tool([find("git"), "init", "-q", "--bare", str(path)], GIT_ENVIRONMENT)
        history = path / "history"
        with open(history, "wb") as out:
            _history(*((500, 400) if quick else (2300, 800)), out)
        with open(history, "rb") as stream:
            run_tool([find("git"), f"--git-dir={path}", "fast-import", "--quiet"],
                     GIT_ENVIRONMENT, stdin=stream)
        history.unlink()
    make_once(inputs / f"repository-{size(quick)}.git", make_repository)


def git_command(inputs, scratch, quick):
    return [find_binary("git"), f"--git-dir={inputs / f'repository-{size(quick)}.git'}",
            "pack-objects", "--all", "--no-reuse-delta", "--no-reuse-object", "--threads=1", "-q",
            "pack"]


# Z3 shares out machines among jobs (linear arithmetic) and compares terms of a
# large graph (uninterpreted functions).


def _job_shop(jobs, machines, limit, numbers):
    """Lines of SMT-LIB: can all jobs, each on every machine in its own order, end by `limit`?"""
    lines = []
    lengths = {}
    for job in range(jobs):
        order = numbers.sample(range(machines), machines)
        for machine in order:
            length = lengths[job, machine] = numbers.randint(1, 9)
            name = f"t{job}_{machine}"
            lines.append(f"(declare-const {name} Int)")
            lines.append(f"(assert (and (>= {name} 0) (<= (+ {name} {length}) {limit})))")
        for before, after in zip(order, order[1:]):
            lines.append(f"(assert (>= t{job}_{after} (+ t{job}_{before} "
                         f"{lengths[job, before]})))")
    for machine in range(machines):
        for a in range(jobs):
            for b in range(a):
                first, second = f"t{a}_{machine}", f"t{b}_{machine}"
                lines.append(f"(assert (or (>= {first} (+ {second} {lengths[b, machine]})) "
                             f"(>= {second} (+ {first} {lengths[a, machine]}))))")
    starts = " ".join(f"t{job}_{machine}" for job, machine in lengths)
    return ["(push)", *lines, "(check-sat)", f"(get-value ({starts}))", "(pop)"]


def _terms(count, numbers):
    """Lines of SMT-LIB: equations between terms that share their parts."""
    names = [f"c{number}" for number in range(40)]
    lines = ["(declare-sort S 0)", "(declare-fun f (S S) S)", "(declare-fun g (S) S)"]
    lines += [f"(declare-const {name} S)" for name in names]
    for number in range(count):
        a, b = numbers.choices(names, k=2)
        term = f"(f {a} {b})" if number % 3 else f"(g {a})"
        lines.append(f"(define-fun d{number} () S {term})")
        names.append(f"d{number}")
    for _ in range(count):
        a, b, c, d = numbers.choices(names, k=4)
        lines.append(f"(assert (or (= {a} {b}) (= {c} {d}) (distinct {b} {c})))")
    samples = " ".join(numbers.sample(names, 50))
    return ["(push)", *lines, "(check-sat)", f"(get-value ({samples}))", "(pop)"]


def z3_prepare(inputs, quick):
    def write_problems(path):
        numbers = random.Random(5)
        lines = ["(set-option :produce-models true)"]
        lines += _job_shop(*((10, 10, 90) if quick else (11, 10, 90)), numbers)
        lines += _terms(5000 if quick else 20000, numbers)
        path.write_text("\n".join(lines) + "\n")
    make_once(inputs / f"problems-{size(quick)}.smt2", write_problems)


def z3_command(inputs, scratch, quick):
    return [find_binary("z3"), str(inputs / f"problems-{size(quick)}.smt2")]


PROGRAMS = (
    Program("gcc", ("g++",), ("g++",), gcc_prepare, gcc_command, gcc_checksum),
    Program("ghostscript", ("ghostscript",), ("gs",), nothing_to_prepare, ghostscript_command,
            ghostscript_checksum),
    # The name of the pack, which is printed, is a checksum of its contents.
    Program("git", ("git",), ("git",), git_prepare, git_command, checksum_of_stdout,
            GIT_ENVIRONMENT),
    Program("z3", ("z3",), ("z3",), z3_prepare, z3_command, checksum_of_stdout),
)
