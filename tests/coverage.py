#!/usr/bin/env python3
"""Reads the counters of a build with --config=coverage: see coverage.sh.

    coverage.py EXECUTION_ROOT COUNTERS REASONS

Lines count as gcov has them, over all that includes them. Branches are those of conditions that are
written in the library; left out are those of exceptions, and of WEIR_ASSERT, whose other side ends
the process. REASONS has a line "FILE: FUNCTION: why no test reaches some of it" for each function
with lines that nothing reaches. A line without one is an error, and so is a reason without a line.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

DIRECTORIES = ("reactor", "net", "http", "http/websocket", "http/status")
GOAL = 95.0


class File:
    """What has been counted in one file of the library."""

    def __init__(self):
        self.lines = collections.Counter()
        self.functions = {}  # of a line
        self.branches = collections.Counter()  # (line, how many it has, which one)

    def add(self, other):
        self.lines.update(other.lines)
        self.functions.update(other.functions)
        self.branches.update(other.branches)

    def missed_lines(self):
        return sorted(line for line, count in self.lines.items() if count == 0)

    def missed_branches(self):
        return sorted({key[0] for key, count in self.branches.items() if count == 0})


def name_in_tree(path):
    """The file of the library that a compiler has called so, or None."""
    path = re.sub(r"^.*/execroot/[^/]+/", "", path)
    path = re.sub(r"^.*/_virtual_includes/[^/]+/weir/", "", path)
    return path if os.path.dirname(path) in DIRECTORIES else None


def short_name(demangled):
    """'net::Channel::flush' of 'void weir::v1::net::Channel::flush(int)::{lambda()#1}::...'."""
    name = demangled.replace("(anonymous namespace)::", "").replace("weir::v1::", "")
    while re.search(r"<[^<>]*>", name) and "operator<" not in name:
        name = re.sub(r"<[^<>]*>", "", name)
    operator = re.match(r"(.*?operator ?\(\))", name)
    name = operator.group(1) if operator else name.split("(")[0]
    return name.split(" ")[-1] if "operator" not in name else name


def read_counts(data):
    """One object file's counts: {file: File}."""
    done = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", data],
                          capture_output=True, check=True)
    files = {}
    for part in json.loads(done.stdout)["files"] if done.stdout else ():
        name = name_in_tree(part["file"])
        if name is None:
            continue
        file = files.setdefault(name, File())
        names = {each["name"]: short_name(each["demangled_name"]) for each in part["functions"]}
        for line in part["lines"]:
            number = line["line_number"]
            file.lines[number] += line["count"]
            file.functions[number] = names.get(line.get("function_name"), "?")
            branches = [each for each in line["branches"] if not each["throw"]]
            for index, branch in enumerate(branches):
                file.branches[(number, len(branches), index)] += branch["count"]
    return files


def object_files(root, counters):
    """The notes of all objects, with the counters beside them, as gcov wants it."""
    beside = pathlib.Path(f"{counters}/proc/self/cwd")
    for counted in beside.glob("bazel-out/**/*.gcda"):
        notes = (root / counted.relative_to(beside)).with_suffix(".gcno")
        if notes.exists():
            counted.with_suffix(".gcno").symlink_to(notes)
    yield from map(str, beside.glob("bazel-out/**/*.gcno"))
    # What no test has run at all has lines, too.
    for directory in DIRECTORIES:
        for notes in root.glob(f"bazel-out/*-coverage/bin/{directory}/_objs/*/*.gcno"):
            if not (beside / notes.relative_to(root)).exists():
                yield str(notes)


def without_assertions(file, source):
    """Forgets the branches of WEIR_ASSERT, which may have several lines."""
    asserted = set()
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        if not re.search(r"\bWEIR_ASSERT\(", line):
            continue
        while number <= len(lines):
            asserted.add(number)
            if lines[number - 1].rstrip().endswith(";"):
                break
            number += 1
    for key in [key for key in file.branches if key[0] in asserted]:
        del file.branches[key]


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def row(name, files):
    lines = sum(len(file.lines) for file in files)
    branches = sum(len(file.branches) for file in files)
    hit_lines = sum(count > 0 for file in files for count in file.lines.values())
    hit_branches = sum(count > 0 for file in files for count in file.branches.values())
    return (f"{name:36} {hit_lines:6} /{lines:6} {percent(hit_lines, lines):6.1f} %"
            f" {hit_branches:6} /{branches:6} {percent(hit_branches, branches):6.1f} %")


def spans(numbers):
    """'3-5, 9' of [3, 4, 5, 9]."""
    texts = []
    for number in numbers:
        if texts and texts[-1][1] == number - 1:
            texts[-1][1] = number
        else:
            texts.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in texts)


def read_reasons(path):
    reasons = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, function, reason = line.split(": ", 2)
        reasons[(name, function)] = reason
    return reasons


def check_reasons(files, reasons):
    """Prints what nothing reaches; the number of errors."""
    missed = collections.defaultdict(list)
    for name in sorted(files):
        for line in files[name].missed_lines():
            missed[(name, files[name].functions[line])].append(line)
    errors = 0
    for key, lines in missed.items():
        reason = reasons.get(key)
        errors += reason is None
        print(f"{key[0]}:{spans(lines)}: {key[1]}: {reason or 'NO REASON'}")
    for key in reasons.keys() - missed.keys():
        print(f"{key[0]}: {key[1]}: all of it is reached, and there is a reason why not")
        errors += 1
    return errors


def main():
    root, counters, reasons = sys.argv[1:]
    files = collections.defaultdict(File)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for counts in pool.map(read_counts, object_files(pathlib.Path(root), counters)):
            for name, file in counts.items():
                files[name].add(file)
    for name, file in files.items():
        without_assertions(file, pathlib.Path(name).read_text())
    print(f"{'':36} {'lines':>14} {'':8} {'branches':>14}")
    for directory in DIRECTORIES:
        names = sorted(name for name in files if os.path.dirname(name) == directory)
        for name in names:
            print(row(name, [files[name]]))
        print(row(f"all of {directory}/", [files[name] for name in names]) + "\n")
    print(row("all", list(files.values())) + "\n")
    if os.environ.get("COVERAGE_BRANCHES"):
        for name in sorted(files):
            if files[name].missed_branches():
                print(f"{name}:{spans(files[name].missed_branches())}: branches")
    errors = check_reasons(files, read_reasons(reasons))
    print(f"{errors} errors")
    sys.exit(errors != 0)


if __name__ == "__main__":
    main()
