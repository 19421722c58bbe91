"""Bugs planted in the library, each of which a swarm of simulated worlds must find."""

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
