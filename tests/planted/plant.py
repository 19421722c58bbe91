"""Writes a source file with one bug planted in it.

  plant.py BUG SOURCE OUT

BUG has a line "file: NAME", then lines that begin with - (what the source must have, exactly once)
and + (what is there instead), in one piece.
"""

import sys


def halves(bug):
    """The text to find and the text to put, of a bug's lines."""
    old = [line[1:] for line in bug if line.startswith("-")]
    new = [line[1:] for line in bug if line.startswith("+")]
    return "\n".join(old), "\n".join(new)


def main():
    bug, source, out = sys.argv[1:]
    with open(bug, encoding="utf-8") as lines:
        old, new = halves(lines.read().splitlines())
    with open(source, encoding="utf-8") as file:
        text = file.read()
    if not old or text.count(old) != 1:
        sys.exit(f"{bug}: what it replaces is {text.count(old)} times in {source}, not once")
    with open(out, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


if __name__ == "__main__":
    main()
