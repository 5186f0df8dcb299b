#!/usr/bin/env python3
"""Each file and each test that src/SECURITY.md names exists.

Usage: security_page.py SOURCE
"""
import pathlib
import re
import sys


def missing(source):
    text = (source / "src/SECURITY.md").read_text(encoding="utf-8")
    unit = "".join(path.read_text(encoding="utf-8") for path in (source / "tests/unit").rglob("*.cpp"))
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|") or " (e/" in line)
    for name, cases in re.findall(r"\be/(\w+)((?: \w+)?(?:, (?!fuzz|tests)\w+(?![\w/]))*)", rows):
        path = source / f"tests/e2e/test_{name}.py"
        tests = path.read_text(encoding="utf-8") if path.exists() else ""
        if not tests:
            yield f"e/{name}"
        for case in re.findall(r"\w+", cases):
            if tests and not re.search(rf"def test_\w*{case}|class {case}\b", tests):
                yield f"e/{name} {case}"
    yield from (f'"{case}"' for case in re.findall(r'"([^"]+)"', rows) if case not in unit and case not in ("any", "trust", "none"))
    for path in re.findall(r"`((?:ftp|gateway|net|server|observe|cli|deploy)/[\w/.]+)`|\b(tests/[\w/.]*\w)", rows):
        if not any((source / root / "".join(path)).exists() for root in ("", "src")):
            yield "".join(path)


def main():
    found = list(missing(pathlib.Path(sys.argv[1])))
    print("\n".join(f"src/SECURITY.md: there is no {name}" for name in found) or "src/SECURITY.md names what is there")
    return 1 if found else 0


sys.exit(main())
