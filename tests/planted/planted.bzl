"""Bugs planted in the library, each of which a swarm of simulated worlds or a test must find."""

def _plant(name, package, source, changed):
    """Writes `changed`: the file with the bug in it."""
    original = "//{}:{}".format(package, source)
    native.genrule(
        name = name + "_source",
        testonly = True,
        srcs = [
            name + ".bug",
            original,
        ],
        outs = [changed],
        cmd = "python3 $(execpath plant.py) $(execpath {}.bug) $(execpath {}) $@".format(name, original),
        tools = ["plant.py"],
    )

def planted_bug(name, package, source, swarm):
    """A test that passes when the swarm finds the bug within 1000 seeds.

    The changed file is compiled with the test, so that the linker does not take the library's.

    Args:
      name: of the bug; NAME.bug says what it is.
      package: of the file that is changed, such as "net".
      source: the file's name in it.
      swarm: the library that has swarm().
    """
    changed = "changed/{}/{}".format(name, source)
    _plant(name, package, source, changed)
    native.cc_test(
        name = name,
        srcs = [
            changed,
            "//{}:headers".format(package),
        ],
        linkstatic = True,
        tags = ["no-sanitizer"],
        deps = [
            ":hunt",
            swarm,
            "//" + package,
        ],
    )

def _trial(name, srcs, case, copts = []):
    native.cc_test(
        name = name,
        size = "small",
        srcs = srcs,
        args = ["--gtest_filter=" + case],
        copts = copts,
        # A bug shows mostly as something that never comes; it is not waited for as usual.
        env = {"WEIR_PATIENCE": "2"},
        linkstatic = True,
        tags = ["no-sanitizer"],
        deps = [
            ":trial",
            "//http",
            "//http/websocket",
            "//net",
            "//reactor",
        ],
    )

def _planted_in(name, source, changed, rest, case, copts = []):
    package, _, file = source.rpartition("/")
    changed = "changed/{}/{}".format(name, changed or file)
    _plant(name, package, file, changed)
    _trial(name, [changed] + rest, case, copts)

def planted_for_test(name, source, test, case):
    """A test that passes when a test of the suite fails because of the bug.

    What was compiled for that test is linked with the changed file, see trial.cc.

    Args:
      name: of the bug; NAME.bug says what it is.
      source: the path of the file that is changed, such as "reactor/signals.cc".
      test: a target in //tests, with its NAME_object.
      case: the filter for what must fail.
    """
    headers = "//{}:headers".format(source.rpartition("/")[0])
    _planted_in(name, source, None, [headers, "//tests:{}_object".format(test)], case)

def planted_in_header(name, source, test, case):
    """The same for a header, with which the test is compiled anew.

    Args:
      name: of the bug; NAME.bug says what it is.
      source: the path of the header, such as "reactor/slab.h".
      test: a target in //tests, of one source.
      case: the filter for what must fail.
    """
    copts = ["-iquote$(GENDIR)/tests/planted/changed/" + name]
    _planted_in(name, source, "weir/" + source, ["//tests:{}.cc".format(test)], case, copts)
