#!/usr/bin/env python3
"""conformance.py finds what is wrong, and writes what is right."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

import conformance

RULES = """\
# 1 First
1.1.1\tone thing
1.1.2\tanother | <thing>
1.1.3\ta third\tabsent: nobody wants it
"""
LAYER = conformance.Layer("fish", "test-fish-*.js", 80)
FOWL = conformance.Layer("fowl", "test-*.js", 1)
NODE = " ".join(f"node-{number}" for number in range(LAYER.node_tests_min))
BACKENDS = ("epoll", "io_uring", "io_uring_tiny_ring", "sim")


def entry(name, backend="", rules="", node="", result="COMPLETED", failure=""):
    """A test as GoogleTest's JSON has it."""
    made = {"name": name, "result": result, "time": "0.1s"}
    if backend:
        made |= {"name": f"{name}/{backend}", "value_param": backend}
    made |= {"rules": rules} if rules else {}
    made |= {"node": node} if node else {}
    made |= {"failures": [{"failure": failure, "type": ""}]} if failure else {}
    return made


def report(*suites):
    """Of pairs: the suite's name and its entries."""
    return {"testsuites": [{"name": name, "testsuite": list(tests)} for name, tests in suites]}


def on(backends, name, rules="", node="", **more):
    return [entry(name, backend, rules, node, **more) for backend in backends]


def good():
    """Entries of Backends/WriteTest with which nothing is wrong."""
    return on(BACKENDS, "Says", "1.1.1", NODE) + on(BACKENDS, "Does", "1.1.2 1.1.1")


def judged(*suites, rules=RULES):
    known, problems = conformance.read_rules(rules)
    cases = list(conformance.read_cases(report(*suites)))
    return problems + conformance.problems_of(LAYER, known, cases)


def judged_with(*tests, rules=RULES):
    return judged(("Backends/WriteTest", [*good(), *tests]), rules=rules)


class Reading(unittest.TestCase):
    def test_rules(self):
        rules, problems = conformance.read_rules(RULES)
        self.assertEqual([rule.id for rule in rules], ["1.1.1", "1.1.2", "1.1.3"])
        self.assertEqual([rule.absent for rule in rules], ["", "", "nobody wants it"])
        self.assertEqual(problems, [])

    def test_a_duplicate_id(self):
        _, problems = conformance.read_rules("1.1\ta\n1.1\tb\n")
        self.assertEqual(problems, ["rules, line 2: 1.1 is there twice"])

    def test_malformed_lines(self):
        for line in ("1.1", "1.1\t", "1.1 a", "1.1\ta\tno reason", "1.1\ta\tabsent: ",
                     "1.1\ta\tabsent: b\tc"):
            rules, problems = conformance.read_rules(line)
            self.assertEqual((rules, len(problems)), ([], 1), line)

    def test_names_and_backends(self):
        cases = list(conformance.read_cases(report(
            ("Backends/WriteTest", [entry("Says", "io_uring_tiny_ring", "1.1 1.2", "a b")]),
            ("Tables/IpTest", [entry("Is", "3")]),
            ("IpTest", [entry("Is")]),
            ("Kind/0", [entry("Is") | {"type_param": "int"}]))))
        self.assertEqual([(case.test, case.backend) for case in cases],
                         [("WriteTest.Says", "io_uring_tiny_ring"), ("IpTest.Is", "pure"),
                          ("IpTest.Is", "pure"), ("Kind.Is", "pure")])
        self.assertEqual((cases[0].rules, cases[0].node), (("1.1", "1.2"), ("a", "b")))

    def test_outcomes(self):
        cases = list(conformance.read_cases(report(
            ("T", [entry("A"), entry("B", failure="t.cc:6\nmore"), entry("C", result="SKIPPED"),
                   entry("D", result="SUPPRESSED"), entry("E", result="SKIPPED", failure="f")]))))
        self.assertEqual([case.outcome for case in cases],
                         ["passed", "failed", "skipped", "skipped", "failed"])
        self.assertEqual(cases[1].reason, "t.cc:6 | more")


class Judging(unittest.TestCase):
    def test_nothing_is_wrong(self):
        self.assertEqual(judged_with(), [])

    def test_a_rule_without_a_test(self):
        self.assertEqual(judged_with(rules=RULES + "1.2.1\tnew\n"), ["rule 1.2.1 has no test: new"])

    def test_an_absent_rule_with_a_test(self):
        self.assertEqual(judged_with(*on(BACKENDS, "Third", "1.1.3")),
                         ["rule 1.1.3 is marked absent and has a test: WriteTest.Third"])

    def test_a_test_without_a_rule(self):
        self.assertEqual(judged_with(*on(BACKENDS, "Idle")), ["WriteTest.Idle names no rule"])

    def test_a_failed_test_that_came_to_no_rule_has_failed_only(self):
        self.assertEqual(judged_with(entry("Idle", "epoll", failure="t.cc:6")),
                         ["WriteTest.Idle failed on epoll: t.cc:6"])

    def test_of_other_programs_only_tests_with_rules_count(self):
        suite = ("Backends/T", [*on(["epoll", "sim"], "A", "1.1.1"), *on(BACKENDS, "B", "", "n"),
                                entry("A", "io_uring", result="SKIPPED"),
                                entry("C", "sim", result="SKIPPED"),
                                entry("D", "sim", failure="t.cc:6")])
        kept = conformance.without_nameless(list(conformance.read_cases(report(suite))))
        self.assertEqual([(case.test, case.backend) for case in kept],
                         [("T.A", "epoll"), ("T.A", "sim"), ("T.A", "io_uring"), ("T.D", "sim")])

    def test_an_unknown_rule(self):
        self.assertEqual(judged_with(*on(BACKENDS, "Odd", "9.9")),
                         ["there is no rule 9.9, which is named by WriteTest.Odd"])

    def test_a_failed_test(self):
        self.assertEqual(judged_with(entry("Says", "epoll", "1.1.1", failure="t.cc:6\nx")),
                         ["WriteTest.Says failed on epoll: t.cc:6 | x"])

    def test_a_skipped_test(self):
        for backend in ("epoll", "io_uring", "io_uring_tiny_ring", "sim"):
            self.assertEqual(judged_with(entry("Does", backend, result="SKIPPED")),
                             [f"WriteTest.Does was skipped on {backend}"])

    def test_a_skipped_or_disabled_pure_test(self):
        for result in ("SKIPPED", "SUPPRESSED"):
            self.assertEqual(
                judged(("Backends/WriteTest", good()), ("T", [entry("A", result=result)])),
                ["T.A was skipped on pure"])

    def test_too_few_of_nodes_tests(self):
        tests = [test | {"node": "a b"} for test in good()]
        self.assertEqual(judged(("Backends/WriteTest", tests)),
                         ["only 2 of Node's tests are stood for, at least 80 must be"])

    def test_a_rule_that_lacks_a_backend(self):
        rules = RULES + "1.2.1\tnew\n"
        for backends, missing in ((["sim"], "io_uring, epoll"), (["epoll"], "io_uring, sim"),
                                  (["epoll", "sim"], "io_uring"),
                                  (["epoll", "io_uring_tiny_ring"], "io_uring, sim")):
            self.assertEqual(judged_with(*on(backends, "New", "1.2.1"), rules=rules),
                             [f"rule 1.2.1 is not tested on {missing}: WriteTest.New"])

    def test_a_rule_that_is_named_on_some_backends_only(self):
        tests = (*on(["epoll", "sim"], "New", "1.2.1"), *on(["io_uring"], "New", "1.1.1"))
        self.assertEqual(judged_with(*tests, rules=RULES + "1.2.1\tnew\n"),
                         ["rule 1.2.1 is not tested on io_uring: WriteTest.New"])

    def test_a_kernel_only_rule_that_is_named_on_one_backend_only(self):
        tests = (entry("New", "epoll", "1.2.1"), entry("New", "io_uring", "1.1.1"))
        self.assertEqual(judged_with(*tests, rules=RULES + "1.2.1\tnew\n"),
                         ["rule 1.2.1 is not tested on io_uring: WriteTest.New"])

    def test_a_rule_for_kernels_only_needs_no_simulator(self):
        self.assertEqual(judged_with(*on(["epoll", "io_uring"], "New", "1.2.1"),
                                     rules=RULES + "1.2.1\tnew\n"), [])

    def test_a_pure_rule_needs_no_backend(self):
        self.assertEqual(judged(("Backends/WriteTest", good()), ("T", [entry("A", rules="1.2.1")]),
                                rules=RULES + "1.2.1\tnew\n"), [])

    def test_two_tests_cover_the_backends_together(self):
        tests = (*on(["epoll", "io_uring"], "New", "1.2.1"), *on(["sim"], "Newer", "1.2.1"))
        self.assertEqual(judged_with(*tests, rules=RULES + "1.2.1\tnew\n"), [])

    def test_io_uring_may_be_missing_altogether(self):
        tests = [{**test, "result": "SKIPPED", "rules": "", "node": ""}
                 if "io_uring" in test["name"] else test for test in good()]
        cases = list(conformance.read_cases(report(("Backends/WriteTest", tests))))
        self.assertTrue(conformance.uring_is_missing(cases))
        self.assertEqual(judged(("Backends/WriteTest", tests)), [])

    def test_without_any_case_for_it_io_uring_is_not_missing(self):
        self.assertFalse(conformance.uring_is_missing([]))

    def test_a_document_that_differs(self):
        for there in (None, "", "text\n\n"):
            self.assertEqual(list(conformance.problems_of_document("c.md", there, "text\n")),
                             ["c.md is not what the tests say: run "
                              "`bazel run //tests:write_conformance`"])
        self.assertEqual(list(conformance.problems_of_document("c.md", "text\n", "text\n")), [])


class Writing(unittest.TestCase):
    def document(self, *suites):
        rules, _ = conformance.read_rules(RULES)
        cases = list(conformance.read_cases(report(*suites)))
        return conformance.document_of(LAYER, rules, cases)

    def test_rows(self):
        lines = self.document(("Backends/WriteTest", good())).splitlines()
        self.assertIn(
            "| 1.1.1 | one thing | `WriteTest.Does`, `WriteTest.Says` | yes | yes | yes |", lines)
        self.assertIn("| 1.1.2 | another \\| &lt;thing&gt; | `WriteTest.Does` | yes | yes | yes |",
                      lines)
        self.assertIn("| 1.1.3 | a third | nobody wants it |", lines)
        self.assertIn("| node-7 | `WriteTest.Says` |", lines)
        self.assertIn("2 rules, held by 2 tests.", lines)
        self.assertIn("80 of Node's files `test-fish-*.js` have a test here that means the same.",
                      lines)
        self.assertEqual(lines[0], "# Conformance of fish")

    def test_marks_of_kernel_only_and_pure_tests(self):
        text = self.document(("Backends/K", on(["epoll", "io_uring"], "A", "1.1.1")),
                             ("T", [entry("B", rules="1.1.2")]))
        self.assertIn("| `K.A` | yes | yes | - |", text)
        self.assertIn("| `T.B` | - | - | - |", text)

    def test_order_of_cases_and_times_do_not_matter(self):
        later = [test | {"time": "9s", "timestamp": "2026"} for test in reversed(good())]
        self.assertEqual(self.document(("Backends/WriteTest", good())),
                         self.document(("Backends/WriteTest", later)))


class Running(unittest.TestCase):
    """The whole program, with scripts in the place of GoogleTest programs."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)
        (self.path / "rules.txt").write_text(RULES)
        layers = mock.patch.object(conformance, "LAYERS", {"fish": LAYER, "fowl": FOWL})
        layers.start()
        self.addCleanup(layers.stop)

    def binary(self, results, code=0, name="contract_test"):
        made = self.path / name
        made.write_text("#!/usr/bin/env python3\nimport os, pathlib, sys\n"
                        "assert 'GTEST_FILTER' not in os.environ\n"
                        f"text = {json.dumps(results)!r}\n"
                        "output = sys.argv[1].removeprefix('--gtest_output=json:')\n"
                        "if text != 'null': pathlib.Path(output).write_text(text)\n"
                        f"sys.exit({code})\n")
        made.chmod(0o755)
        return str(made)

    def layer(self, *binaries, name="fish", document="c.md"):
        return ["--layer", name, str(self.path / "rules.txt"), str(self.path / document), *binaries]

    def run_it(self, *arguments):
        """Returns the exit code and what was printed."""
        printed = io.StringIO()
        with (mock.patch.object(sys, "argv", ["conformance.py", *arguments]),
              mock.patch.dict("os.environ", {"GTEST_FILTER": "Nothing"}),
              contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)):
            try:
                code = conformance.main()
            except SystemExit as left:
                code = left.code
        return code, printed.getvalue()

    def check(self, binary):
        return self.run_it("--check", *self.layer(binary))

    def write(self, binary):
        return self.run_it("--write", *self.layer(binary))

    def test_written_then_checked(self):
        binary = self.binary(report(("Backends/WriteTest", good())))
        self.assertEqual(self.check(binary)[0], 1)
        self.assertEqual(self.write(binary), (0, "fish: 3 rules, 2 tests, 0 problems\n"))
        self.assertEqual(self.check(binary)[0], 0)

    def test_two_layers_at_once(self):
        well = self.binary(report(("Backends/WriteTest", good())))
        ill = self.binary(report(("Backends/WriteTest", on(BACKENDS, "Says", "1.1.1"))),
                          name="contract_ill_test")
        code, printed = self.run_it("--write", *self.layer(ill, document="ill.md"),
                                    *self.layer(well, name="fowl"))
        self.assertEqual(code, 1)
        self.assertIn("fowl: 3 rules, 2 tests, 0 problems", printed)
        self.assertFalse((self.path / "ill.md").exists())
        self.assertTrue((self.path / "c.md").exists())

    def test_a_program_that_is_no_contract(self):
        contract = self.binary(report(("Backends/WriteTest", good())))
        other = self.binary(report(("T", [entry("A", rules="1.1.1"), entry("B")])),
                            name="other_test")
        self.assertEqual(self.run_it("--write", *self.layer(contract, other)),
                         (0, "fish: 3 rules, 3 tests, 0 problems\n"))

    def test_wrong_command_lines(self):
        for arguments, message in (((), "required"), (("--check",), "required"),
                                   (("--check", *self.layer("b", name="x")), "no layer 'x'"),
                                   (("--check", *self.layer()), "needs rules")):
            code, printed = self.run_it(*arguments)
            self.assertEqual(code, 2)
            self.assertIn(message, printed)

    def test_with_problems_nothing_is_written(self):
        binary = self.binary(report(("Backends/WriteTest", on(BACKENDS, "Says", "1.1.1"))))
        self.assertEqual(self.write(binary)[0], 1)
        self.assertFalse((self.path / "c.md").exists())

    def test_without_io_uring_it_checks_but_does_not_write(self):
        whole = self.binary(report(("Backends/WriteTest", good())))
        self.assertEqual(self.write(whole)[0], 0)
        tests = [{**test, "result": "SKIPPED", "rules": "", "node": ""}
                 if "io_uring" in test["name"] else test for test in good()]
        binary = self.binary(report(("Backends/WriteTest", tests)))
        code, printed = self.check(binary)
        self.assertEqual(code, 0)
        self.assertIn("io_uring is not available here", printed)
        self.assertEqual(self.write(binary)[0], 1)

    def test_a_program_that_crashes(self):
        code, printed = self.check(self.binary(None, 3))
        self.assertEqual(code, 1)
        self.assertIn("gave no results, exit code 3", printed)

    def test_a_program_that_hangs(self):
        hanging = self.path / "contract_test"
        hanging.write_text("#!/bin/sh\nexec sleep 60\n")
        hanging.chmod(0o755)
        with mock.patch.object(conformance, "RUN_SECONDS_MAX", 0.2):
            self.assertIn("was not ready after 0.2 s", self.check(str(hanging))[1])

    def test_a_program_that_fails_after_its_tests(self):
        binary = self.binary(report(("Backends/WriteTest", good())), 23)
        self.assertIn("passed its tests, yet its exit code is 23", self.check(binary)[1])

    def test_a_program_that_is_not_there(self):
        self.assertIn("cannot be run", self.check(str(self.path / "nothing"))[1])


if __name__ == "__main__":
    unittest.main()
