#!/usr/bin/env python3
"""Holds the tests of a layer against its rules, and writes down which test stands for which rule.

  conformance.py (--check | --write) (--layer NAME RULES DOCUMENT BINARY...)...

such as --layer net net/rules.txt net/CONFORMANCE.md tests/contract_write_test. A line of the rules
is "id<TAB>rule" or "id<TAB>rule<TAB>absent: reason"; '#' begins a comment. Each BINARY is a
GoogleTest program whose tests name their rules by RULES() and Node's tests by NODE_TEST() of
tests/rules.h; it is run here. A test of a program with "contract_" in its name must name a rule; of
other programs only the tests that do so count. Prints a line for each problem on stderr and exits
with 1 when there is one; then the layer's document is not written.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import html
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SIM = "sim"
KERNEL = ("io_uring", "epoll")
COLUMNS = (*KERNEL, SIM)
VIRTUAL = "Virtual"  # begins the names of suites in virtual time, for the simulator only
PURE = "pure"  # of a test that is not instantiated for backends
INSTANTIATION = "Backends/"  # of WEIR_ON_ALL_BACKENDS and WEIR_ON_KERNEL_BACKENDS
ABSENT = "absent: "
CONTRACT = "contract_"  # in the name of a program whose every test names a rule
PARALLEL = 2
TAIL_LINES = 20
RUN_SECONDS_MAX = 240  # of one program
# With these, Bazel would make the programs run some of their tests only, or write to its files.
HIDDEN = ("GTEST_", "TEST_SHARD", "TEST_TOTAL_SHARDS", "TESTBRIDGE_", "XML_OUTPUT_FILE",
          "TEST_PREMATURE_EXIT_FILE")

INTRODUCTION = """\
# Conformance of {layer}

Written by `bazel run //tests:write_conformance`; a test fails when it is out of date, and when a
rule has no test or a test no rule. The rules are those of `rules.txt`.

`yes`: a test of the rule has passed on the backend, on io_uring also with every forced fallback it
runs with. `-`: not applicable, because all tests of the rule need a kernel, or no backend at all, or a clock
that can be turned (Virtual...): hours pass in them.
"""


@dataclasses.dataclass(frozen=True)
class Layer:
    name: str
    node_files: str  # those of Node's tests that are told here again
    node_tests_min: int


LAYERS = {layer.name: layer for layer in (
    Layer("net", "test-net-*.js", 80),
    Layer("http", "test-*.js", 200),
)}


@dataclasses.dataclass(frozen=True)
class Rule:
    id: str
    what: str
    absent: str = ""  # the reason


@dataclasses.dataclass(frozen=True)
class Case:
    """One run of a test, on one backend."""
    test: str
    backend: str
    outcome: str  # "passed", "failed", "skipped"
    rules: tuple = ()
    node: tuple = ()
    reason: str = ""


# ---- Reading ----


def read_rules(text):
    """Returns the rules, and problems with their form."""
    rules, problems, seen = [], [], set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split("\t")
        reason = columns[2].removeprefix(ABSENT) if len(columns) == 3 else ""
        if (len(columns) not in (2, 3) or not all(column.strip() for column in columns)
                or len(columns) == 3 and (not reason or reason == columns[2])):
            problems.append(f"rules, line {number}: not id<TAB>rule[<TAB>{ABSENT}reason]")
            continue
        if columns[0] in seen:
            problems.append(f"rules, line {number}: {columns[0]} is there twice")
            continue
        seen.add(columns[0])
        rules.append(Rule(columns[0], columns[1], reason))
    return rules, problems


def read_cases(report):
    """Yields the cases of what --gtest_output=json has written."""
    for suite in report.get("testsuites", []):
        for test in suite.get("testsuite", []):
            suite_name, name, backend = suite["name"], test["name"], PURE
            if "value_param" in test:  # Backends/Suite, Test/backend
                name, _, parameter = name.partition("/")
                if suite_name.startswith(INSTANTIATION):
                    backend = parameter
                suite_name = suite_name.rpartition("/")[2]
            elif "type_param" in test:  # Suite/0
                suite_name = suite_name.partition("/")[0]
            failures = test.get("failures", [])
            outcome = ("failed" if failures else
                       "passed" if test.get("result") == "COMPLETED" else "skipped")
            yield Case(f"{suite_name}.{name}", backend, outcome,
                       tuple(test.get("rules", "").split()), tuple(test.get("node", "").split()),
                       " | ".join(failures[0]["failure"].splitlines()) if failures else "")


# ---- Judging ----


def uring_is_missing(cases):
    """True when there are cases for io_uring and every one was skipped: not available here."""
    outcomes = {case.outcome for case in cases if case.backend.startswith("io_uring")}
    return outcomes == {"skipped"}


def by_test(cases):
    """Test name -> its cases."""
    tests = collections.defaultdict(list)
    for case in cases:
        tests[case.test].append(case)
    return tests


def by_word(cases, words):
    """Each word that `words(case)` has -> the names of its tests, sorted."""
    named = collections.defaultdict(set)
    for case in cases:
        for word in words(case):
            named[word].add(case.test)
    return {word: sorted(named[word]) for word in sorted(named)}


def covered(rule, cases):
    """Where a rule was held, given the cases of its tests. A skipped case never came to name its
    rules; whether it may be skipped is not judged here."""
    return {case.backend for case in cases if rule in case.rules or case.outcome == "skipped"}


def wanted(tests):
    """The columns in which a rule must be held, given for each of its tests the cases: none when
    all are pure, the simulator's when all are pure or in virtual time, the kernel's when all are
    pure or for the kernel only."""
    tests = list(tests)
    backends = [{case.backend for case in cases} for cases in tests]
    if all(each == {PURE} for each in backends):
        return ()
    if all(each == {PURE} or each == {SIM} and cases[0].test.startswith(VIRTUAL)
           for each, cases in zip(backends, tests)):
        return (SIM,)
    kernel_only = all(each == {PURE} or (each.issuperset(KERNEL) and SIM not in each)
                      for each in backends)
    return tuple(column for column in COLUMNS if column in KERNEL or not kernel_only)


def without_nameless(cases):
    """Leaves out the tests that passed or were skipped and name no rule."""
    named = {case.test for case in cases if case.rules}
    return [case for case in cases if case.test in named or case.outcome == "failed"]


def problems_of_runs(cases):
    may_skip = "io_uring" if uring_is_missing(cases) else None
    for case in cases:
        if case.outcome == "failed":
            yield f"{case.test} failed on {case.backend}: {case.reason}"
        elif case.outcome == "skipped" and not (may_skip and case.backend.startswith(may_skip)):
            yield f"{case.test} was skipped on {case.backend}"
    for name, runs in by_test(cases).items():
        if not any(run.rules or run.outcome in ("skipped", "failed") for run in runs):
            yield f"{name} names no rule"


def problems_of_rules(rules, cases):
    tests = by_test(cases)
    tests_of = by_word(cases, lambda case: case.rules)
    for rule in rules:
        names = tests_of.get(rule.id, [])
        if rule.absent:
            if names:
                yield f"rule {rule.id} is marked absent and has a test: {', '.join(names)}"
            continue
        if not names:
            yield f"rule {rule.id} has no test: {rule.what}"
            continue
        places = covered(rule.id, [case for name in names for case in tests[name]])
        missing = [column for column in wanted(tests[name] for name in names)
                   if column not in places]
        if missing:
            yield f"rule {rule.id} is not tested on {', '.join(missing)}: {', '.join(names)}"
    known = {rule.id for rule in rules}
    for unknown in sorted(tests_of.keys() - known):
        yield f"there is no rule {unknown}, which is named by {', '.join(tests_of[unknown])}"


def problems_of_document(path, there, text):
    """`there` is what the document says, None when there is none; `text` what it should say."""
    if there != text:
        yield f"{path} is not what the tests say: run `bazel run //tests:write_conformance`"


def problems_of(layer, rules, cases):
    """Everything that is wrong, one line each."""
    problems = [*problems_of_runs(cases), *problems_of_rules(rules, cases)]
    node_tests = len(by_word(cases, lambda case: case.node))
    if node_tests < layer.node_tests_min:
        problems.append(f"only {node_tests} of Node's tests are stood for, at least "
                        f"{layer.node_tests_min} must be")
    return problems


# ---- Writing ----


def table(heads, rows):
    """Lines of Markdown."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def names_in_code(names):
    return ", ".join(f"`{name}`" for name in names)


def document_of(layer, rules, cases):
    """The text of CONFORMANCE.md."""
    tests = by_test(cases)
    tests_of = by_word(cases, lambda case: case.rules)
    node = by_word(cases, lambda case: case.node)

    def row(rule):
        names = tests_of.get(rule.id, [])
        places = covered(rule.id, [case for name in names for case in tests[name]])
        marks = ["yes" if column in places else "-" for column in COLUMNS]
        return [rule.id, html.escape(rule.what, quote=False), names_in_code(names), *marks]

    def absent_row(rule):
        return [rule.id, html.escape(rule.what, quote=False), rule.absent]

    present = [rule for rule in rules if not rule.absent]
    absent = [rule for rule in rules if rule.absent]
    return "\n".join([
        INTRODUCTION.format(layer=layer.name),
        "## Rules", "",
        f"{len(present)} rules, held by {len(tests)} tests.", "",
        *table(("rule", "what", "test", *COLUMNS), map(row, present)), "",
        "## Deliberately absent", "",
        *table(("rule", "what", "reason"), map(absent_row, absent)), "",
        "## Node's tests", "",
        f"{len(node)} of Node's files `{layer.node_files}` have a test here that means the same.",
        "",
        *table(("Node", "test"), ([name, names_in_code(node[name])] for name in node)), ""])


# ---- Running ----


def run(binary):
    """Runs a GoogleTest program. Returns its cases, and problems with the run as such."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(HIDDEN)}
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory, "results.json")
        try:
            done = subprocess.run(
                [pathlib.Path(binary).absolute(), f"--gtest_output=json:{output}"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False,
                timeout=RUN_SECONDS_MAX)
        except OSError as error:
            return [], [f"{binary} cannot be run: {error.strerror}"]
        except subprocess.TimeoutExpired:
            return [], [f"{binary} was not ready after {RUN_SECONDS_MAX} s"]
        try:
            cases = list(read_cases(json.loads(output.read_text())))
        except (OSError, ValueError):
            cases = []
    if not cases:
        tail = done.stdout.decode(errors="replace").splitlines()[-TAIL_LINES:]
        print(f"---- the end of {binary}'s output", *tail, "----", sep="\n", file=sys.stderr)
        return [], [f"{binary} gave no results, exit code {done.returncode}"]
    if done.returncode != 0 and not any(case.outcome == "failed" for case in cases):
        return cases, [f"{binary} passed its tests, yet its exit code is {done.returncode}"]
    return cases, []


def run_all(binaries):
    """Returns the cases that count, and problems with the runs as such."""
    cases, problems = [], []
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        for binary, (found, wrong) in zip(binaries, pool.map(run, binaries)):
            cases += found if CONTRACT in pathlib.Path(binary).name else without_nameless(found)
            problems += wrong
    return cases, problems


def treat(layer, rules_path, document, binaries, write):
    """Checks or writes the document of one layer. Returns whether all is well."""
    rules, problems = read_rules(rules_path.read_text())
    cases, wrong = run_all(binaries)
    problems += wrong + problems_of(layer, rules, cases)
    if uring_is_missing(cases):
        print("NOTE: io_uring is not available here; all its tests were skipped")
        if write:
            problems.append("the document can be written only where io_uring is available")
    text = document_of(layer, rules, cases)
    if not write:
        there = document.read_text() if document.exists() else None
        problems += problems_of_document(document, there, text)
    elif not problems:
        # `bazel run` starts programs elsewhere.
        workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")
        pathlib.Path(workspace, document).write_text(text)

    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{layer.name}: {len(rules)} rules, {len(by_test(cases))} tests, "
          f"{len(problems)} problems")
    return not problems


def main():
    parser = argparse.ArgumentParser(
        description="Holds the tests of a layer against its rules.",
        usage="%(prog)s (--check | --write) (--layer NAME RULES DOCUMENT BINARY...)...")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--write", action="store_true")
    parser.add_argument("--layer", required=True, action="append", nargs="+", dest="layers")
    arguments = parser.parse_args()
    for name, *files in arguments.layers:
        if name not in LAYERS:
            parser.error(f"there is no layer '{name}', only {', '.join(LAYERS)}")
        if len(files) < 3:
            parser.error(f"--layer {name} needs rules, a document and programs")

    well = [treat(LAYERS[name], pathlib.Path(rules), pathlib.Path(document), binaries,
                  arguments.write)
            for name, rules, document, *binaries in arguments.layers]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
