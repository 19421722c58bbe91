#!/usr/bin/env python3
"""Counts the test cases of one `bazel test`.

  count_tests.py CONSOLE_OUTPUT TESTLOGS

Which targets ran, and with what result, is what Bazel's closing summary says; how many cases each one
has is read from its test.xml. Prints what failed and what was skipped on stderr, and
"PASSED FAILED SKIPPED" as three numbers on stdout.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

SUMMARY = re.compile(
    r"^//(?P<package>[^:\s]*):(?P<name>\S+)\s+(?:\(cached\) )?"
    r"(?P<status>PASSED|FLAKY|FAILED TO BUILD|FAILED|TIMEOUT|INCOMPLETE|NO STATUS)\b")
TAIL_LINES = 40


def cases(xml_file):
    """Yields (name, outcome, reason) for each case of a test.xml, nothing if it cannot be read."""
    try:
        root = ElementTree.parse(xml_file).getroot()
    except (OSError, ElementTree.ParseError):
        return
    for case in root.iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield name, "failed", ""
        elif skipped is not None:
            yield name, "skipped", (skipped.get("message") or "no reason").split("\n")[-1]
        elif case.get("status") == "notrun":
            yield name, "skipped", "disabled"
        else:
            yield name, "passed", ""


def main(console, testlogs):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    targets = {}
    for line in pathlib.Path(console).read_text(errors="replace").splitlines():
        if match := SUMMARY.match(line):
            targets[(match["package"], match["name"])] = match["status"]

    for (package, name), status in sorted(targets.items()):
        label = f"//{package}:{name}"
        if status in ("NO STATUS", "INCOMPLETE"):
            print(f"NOT RUN {label}: the build failed or was stopped", file=sys.stderr)
            continue
        logs = pathlib.Path(testlogs, package, name)
        shards = sorted(logs.glob("shard_*")) or [logs]
        results = [case for shard in shards for case in cases(shard / "test.xml")]
        outcomes = [outcome for _, outcome, _ in results]

        passed = status in ("PASSED", "FLAKY")
        if passed and not results:
            results.append((label, "passed", ""))
        if not passed and "failed" not in outcomes:  # It crashed, leaked, hung or did not build.
            results.append((status.lower(), "failed", ""))

        for case, outcome, reason in results:
            counts[outcome] += 1
            if outcome != "passed":
                print(f"{outcome.upper()} {label} {case} {reason}".rstrip(), file=sys.stderr)
        if not passed:
            for shard in shards:
                if (shard / "test.log").exists():
                    log = (shard / "test.log").read_text(errors="replace").splitlines()
                    print(f"---- the end of {label}'s log", *log[-TAIL_LINES:], "----", sep="\n",
                          file=sys.stderr)

    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main(*sys.argv[1:])
