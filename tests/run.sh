#!/bin/bash
# Builds and tests everything on a Debian 12, and ends with one line: "N passed, N failed, N skipped".
#   tests/run.sh           plain, address+undefined, thread and fuzzing builds, formatting, clang-tidy
#   tests/run.sh --quick   the plain build only
set -u
cd "$(dirname "$0")/.." || exit 1

case "${1:-}" in
  "" | --quick) ;;
  *) sed -n '2,4s/^# \?//p' "$0" >&2; exit 2 ;;
esac
# The e2e and nat suites make namespaces.
if [ "$(id -u)" != 0 ]; then exec sudo -E "$0" "$@"; fi
quick=${1:+yes}

. deploy/packages.sh
passed=0 failed=0 skipped=0 start=$SECONDS

say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - start)); }
# One counted check: its name, then its command.
check() {
  local name=$1
  shift
  say "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name"; fi
}

# Adds up what `meson test` left in FOLDER's log: the cases of TAP and doctest, else one a program.
count() {
  local counted
  counted=$(python3 - "$1/meson-logs/testlog.json" <<'PYTHON'
import json, re, sys
passed = failed = skipped = 0
for line in open(sys.argv[1], encoding="utf-8"):
    test = json.loads(line)
    output = test.get("stdout", "")
    ok = len(re.findall(r"^ok \d", output, re.M))
    bad = len(re.findall(r"^not ok \d", output, re.M))
    skip = len(re.findall(r"^ok \d.*# SKIP", output, re.M))
    if found := re.search(r"test cases: +\d+ \| +(\d+) passed \| +(\d+) failed", output):
        ok, bad = int(found[1]), int(found[2])
    elif not ok and not bad:
        ok, skip = int(test["result"] in ("OK", "SKIP")), int(test["result"] == "SKIP")
    if test["result"] not in ("OK", "SKIP") and not bad:
        bad = 1
    passed, failed, skipped = passed + ok - skip, failed + bad, skipped + skip
print(passed, failed, skipped)
PYTHON
  ) || counted="0 1 0"
  local ok bad skip
  read -r ok bad skip <<<"$counted"
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

# build FOLDER [meson setup's options …]
build() {
  local folder=$1
  shift
  if [ -f "$folder/build.ninja" ]; then set -- configure "$folder" -Dtests=true; else set -- setup "$folder" "$@"; fi
  meson "$@" >"$folder.setup.log" 2>&1 || { cat "$folder.setup.log"; return 1; }
  rm -f "$folder.setup.log"
  ninja -C "$folder" ${targets:-} >"$folder/compile.log" 2>&1 || { tail -60 "$folder/compile.log"; return 1; }
}

# suites FOLDER SLOWNESS [meson test's options …]
suites() {
  local folder=$1 slow=$2
  shift 2
  say "tests in $folder"
  PASVGATE_TEST_SLOW=$slow meson test -C "$folder" --no-rebuild --print-errorlogs -t "$slow" "$@" || true
  count "$folder"
}

say "packages"
install_packages "${build_packages[@]}" "${test_packages[@]}" && have_package_lists || {
  echo "packages can't be installed" >&2
  exit 1
}
export PYTHONDONTWRITEBYTECODE=1
check "FTP servers" python3 -c 'import sys; sys.path.insert(0, "tests/e2e"); import servers, haproxy; servers.unpacked(); haproxy.unpacked()'

check "build (plain)" build build

if [ -n "$quick" ]; then
  suites build 1
else
  # Reports need lines only, and the rest of the debug information takes as long as compiling.
  lines="-Ddebug=false -Dcpp_args=-g1"
  # The programs alone: pure layers have no threads, and fuzzing needs nothing else.
  build_thread() {
    [ -f build-tsan/build.ninja ] || meson setup build-tsan -Db_sanitize=thread -Doptimization=1 $lines >/dev/null
    local targets
    targets=$(ninja -C build-tsan -t targets all | sed -n 's|^\(src/[^:]*\): .*|\1|p' | grep -E '^src/pasvgate$|^src/cli/documents/')
    build build-tsan
  }
  build_fuzz() {
    local -x CC=clang-19 CXX=clang++-19
    [ -f build-fuzz/build.ninja ] || meson setup build-fuzz -Dfuzzers=true -Db_sanitize=address,undefined \
      -Doptimization=1 $lines >/dev/null
    local targets
    targets=$(ninja -C build-fuzz -t targets all | sed -n 's|^\(tests/fuzz/fuzz_[a-z0-9_]*\):.*|\1|p')
    build build-fuzz
  }
  format() { find src tests -name "*.cpp" -o -name "*.h" | xargs clang-format-19 --dry-run -Werror; }
  tidy() {
    run-clang-tidy-19 -quiet -p build "$PWD/src/.*" >build/clang-tidy.log 2>/dev/null && return
    grep -E "error:|warning:" build/clang-tidy.log | sort -u
    return 1
  }

  # What only computes goes on beside the tests, which mostly wait, in the class that takes no time from them.
  beside=$PWD/build/beside
  rm -rf "$beside" && mkdir "$beside"
  (
    chrt --idle -p 0 $BASHPID || renice -n 19 $BASHPID
    part() {
      local name=$1
      shift
      "$@" >"$beside/$name.log" 2>&1
      echo $? >"$beside/$name"
    }
    # Without vptr: to see whether memory can be read that check opens a pipe, and some tests leave no descriptor.
    part asan build build-asan -Db_sanitize=address,undefined -Doptimization=g -Ddebug=false "-Dcpp_args=-g1 -fno-sanitize=vptr"
    part tsan build_thread
    part fuzz build_fuzz
    part format format
    part tidy tidy
  ) >/dev/null 2>&1 &
  trap "kill $! 2>/dev/null" EXIT
  finished() {
    while [ ! -s "$beside/$1" ] && kill -0 $! 2>/dev/null; do sleep 1; done
    cat "$beside/$1.log"
    return "$(cat "$beside/$1" || echo 1)"
  }

  suites build 1
  check "status page in Chromium" node tests/page/test_page.mjs
  export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
  check "build (address, undefined)" finished asan
  suites build-asan 3 --suite unit --suite layers --suite e2e
  check "build (thread)" finished tsan
  suites build-tsan 4 --suite threads
  check "build (fuzz)" finished fuzz
  suites build-fuzz 1 --suite fuzz
  check "clang-format" finished format
  check "clang-tidy" finished tidy
fi

say "done"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
