#!/usr/bin/env python3
"""The program was compiled and linked with what makes a mistake harder to use: readelf and objdump say so.

Usage: hardened.py PROGRAM FORTIFIED(true|false)
"""
import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def weak_points(program, is_fortified):
    header = output("readelf", "--wide", "--file-header", program)
    segments = output("readelf", "--wide", "--segments", program)
    dynamic = output("readelf", "--wide", "--dynamic", program)
    symbols = output("readelf", "--wide", "--dyn-syms", program)
    if not re.search(r"Type:\s+DYN", header) or "PIE" not in dynamic:
        yield "isn't position-independent"
    if "GNU_RELRO" not in segments:
        yield "has no RELRO segment"
    if not re.search(r"\(FLAGS(_1)?\).*NOW", dynamic):
        yield "binds its symbols late"
    stack = re.search(r"GNU_STACK.* (R[W ]?[E ]?) +0x", segments)
    if not stack or "E" in stack[1]:
        yield "has an executable stack"
    if re.search(r"LOAD.* RWE ", segments):
        yield "has a segment that is written and executed"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "looks for libraries in folders of its own"
    if " __stack_chk_fail" not in symbols:
        yield "has no stack protector"
    if " _ZSt21__glibcxx_assert_fail" not in symbols and " __glibcxx_assert_fail" not in symbols:
        yield "doesn't check the library's preconditions"
    if is_fortified and not re.search(r" __\w+_chk\b(?<!stack_chk)", symbols.replace("__stack_chk_fail", "")):
        yield "calls no fortified function"
    if "X86-64" in header and "endbr64" not in output("objdump", "--disassemble=main", program):
        yield "has no landing pads for indirect calls"


def main():
    program, is_fortified = sys.argv[1], sys.argv[2] == "true"
    found = [f"{program}: {what}" for what in weak_points(program, is_fortified)]
    print("\n".join(found) if found else f"{program} is hardened")
    return 1 if found else 0


sys.exit(main())
