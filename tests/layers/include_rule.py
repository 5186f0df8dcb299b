#!/usr/bin/env python3
"""The include rule of the design: a folder of src/ sees only what stands behind its arrow, and the core is pure.

Usage: include_rule.py SRC [--self-test]
"""
import re
import sys
from pathlib import Path

MAY_INCLUDE = {
    "ftp": set(),
    "config": {"ftp"},
    "gateway": {"ftp", "config"},
    "net": {"ftp"},
    "observe": {"gateway", "config", "ftp"},
    "server": {"gateway", "net", "observe", "config", "ftp"},
    "cli": {"server", "observe", "net", "gateway", "config", "ftp"},
    "main.cpp": {"cli"},
}
PURE = {"ftp", "gateway"}
OUTSIDE = re.compile(r"uv\.h|openssl/|spdlog/|prometheus/|nlohmann/|civetweb|CLI/|sys/|netinet/|arpa/|netdb|unistd\.h|time\.h|"
                     r"ctime|thread|mutex|atomic|condition_variable|future|iostream|fstream")


def violations(layer, name, lines):
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s*([<"])(.+)[>"]', line)
        if not found:
            continue
        ours, target = found[1] == '"', found[2]
        # A name without a folder is one that the build makes from the layer's own files.
        folder = target.split("/")[0] if "/" in target else layer
        if ours and folder != layer and folder not in MAY_INCLUDE.get(layer, set()):
            yield f"{name}:{number}: {layer} may not include {target}"
        if layer in PURE and not ours and OUTSIDE.match(target):
            yield f"{name}:{number}: {layer} is pure and may not include <{target}>"
    if layer in PURE:
        for number, line in enumerate(lines, 1):
            if re.search(r"_clock::now|\bgetenv\b", line):
                yield f"{name}:{number}: {layer} is pure and reads no clock and no environment"


def self_test():
    assert list(violations("ftp", "x", ['#include "gateway/session.h"']))
    assert list(violations("gateway", "x", ["#include <uv.h>"]))
    assert list(violations("gateway", "x", ["#include <thread>"]))
    assert list(violations("net", "x", ['#include "gateway/session.h"']))
    assert list(violations("gateway", "x", ["auto t = std::chrono::steady_clock::now();"]))
    assert not list(violations("observe", "x", ['#include "page.h"']))
    assert not list(violations("gateway", "x", ['#include "ftp/line.h"', "#include <chrono>", '#include "gateway/event.h"']))


def main():
    self_test()
    src = Path(sys.argv[1])
    bad, files = [], 0
    for file in sorted(src.rglob("*")):
        if file.suffix not in {".h", ".cpp"}:
            continue
        files += 1
        layer = file.relative_to(src).parts[0]
        if layer not in MAY_INCLUDE:
            bad.append(f"{file}: no such layer in the design: {layer}")
            continue
        bad += violations(layer, file, file.read_text().splitlines())
    print("\n".join(bad) if bad else f"{files} files keep the include rule")
    return 1 if bad or files == 0 else 0


sys.exit(main())
