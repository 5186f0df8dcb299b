#!/bin/bash
# Which lines of src/ftp and src/gateway their unit tests reach, by file and in all; fails below 95 %.
#   tests/coverage.sh              the table
#   tests/coverage.sh --missing    and the lines that aren't reached
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
  "" | --missing) ;;
  *) sed -n '2,4s/^# \?//p' "$0" >&2; exit 2 ;;
esac

. deploy/packages.sh
install_packages "${build_packages[@]}" python3

folder=build-coverage
tests=(tests/unit/unit_ftp tests/unit/unit_gateway)
[ -f $folder/build.ninja ] || meson setup $folder -Dtests=true -Db_coverage=true -Doptimization=0 -Ddebug=false >/dev/null
ninja -C $folder "${tests[@]}" >$folder/compile.log 2>&1 || { tail -60 $folder/compile.log; exit 1; }
# The counts of an earlier run would be added to.
find $folder -name '*.gcda' -delete
for test in "${tests[@]}"; do $folder/"$test" --minimal; done

python3 - $folder "${1:-}" <<'PYTHON'
import collections, json, pathlib, subprocess, sys

LEAST = 95
folder, show_missing = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2] == "--missing"
layers = [pathlib.Path("src", layer) for layer in ("ftp", "gateway")]
# By file: each line of code and how often it was run, in whatever program and, of a header, in whatever unit.
counts = collections.defaultdict(collections.Counter)
for notes in sorted(folder.glob("**/*.gcda")):
    told = subprocess.run(["gcov", "--json-format", "--stdout", notes], cwd=folder, check=True, capture_output=True).stdout
    for file in json.loads(told)["files"]:
        source = pathlib.Path(file["file"])
        source = (folder / source).resolve()
        if not source.is_relative_to(pathlib.Path.cwd()):
            continue
        source = source.relative_to(pathlib.Path.cwd())
        if source.parent in layers:
            for line in file["lines"]:
                counts[source][line["line_number"]] += line["count"]


def row(name, reached, lines):
    print(f"{name:40} {reached:5} {lines:5} {100 * reached / lines:6.1f} %")


def runs(numbers):
    """[3, 4, 5, 9] as "3-5 9"."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{a}-{b}" if a < b else str(a) for a, b in found)


reached = lines = 0
print(f"{'file':40} {'run':>5} {'lines':>5}")
for source, counted in sorted(counts.items()):
    ran = sum(count > 0 for count in counted.values())
    row(str(source), ran, len(counted))
    missing = sorted(number for number, count in counted.items() if count == 0)
    if show_missing and missing:
        print(f"    {runs(missing)}")
    reached, lines = reached + ran, lines + len(counted)
row("in all", reached, lines)
untested = [str(file) for layer in layers for file in sorted(layer.glob("*.cpp")) if file not in counts]
if untested:
    sys.exit("no unit test links " + ", ".join(untested))
if 100 * reached < LEAST * lines:
    sys.exit(f"below {LEAST} %")
PYTHON
