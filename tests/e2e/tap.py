"""Runs a test file's cases and prints TAP, so that Meson counts each case and not only each file."""

import signal
import sys
import time
import unittest

from waiting import seconds

# What one case may take: one that waits for something that never comes must not keep the others waiting.
LONGEST = 180


def too_long(_number, _frame):
    raise TimeoutError(f"a case of more than {seconds(LONGEST):g} s")


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.count = 0
        self.bad = False

    def _line(self, word, test, note=""):
        self.count += 1
        took = time.monotonic() - self.started
        print(f"{word} {self.count} - {test.id().split('.', 1)[-1]}{note}", flush=True)
        print(f"# {took:.2f} s", flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()
        # Again and again, as what is put away behind the case may wait for the same thing.
        signal.setitimer(signal.ITIMER_REAL, seconds(LONGEST), 5)

    def stopTest(self, test):
        signal.setitimer(signal.ITIMER_REAL, 0)
        super().stopTest(test)

    def _failed(self, test, error):
        self.bad = True
        if not hasattr(self, "started"):
            self.started = time.monotonic()
        self._line("not ok", test)
        # Meson shows a failed test's stderr, but not its TAP lines.
        print(f"{test.id()}\n{self._exc_info_to_string(error, test)}", file=sys.stderr, flush=True)

    def addSuccess(self, test):
        self._line("ok", test)

    def addFailure(self, test, err):
        self._failed(test, err)

    def addError(self, test, err):
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._failed(subtest, err)

    def addSkip(self, test, reason):
        self._line("ok", test, f" # SKIP {reason}")


def main():
    """`python3 test_x.py [Case.test …]`"""
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(sys.argv[1:], module) if sys.argv[1:] else loader.loadTestsFromModule(module)
    result = TapResult()
    signal.signal(signal.SIGALRM, too_long)
    print("TAP version 13", flush=True)
    suite.run(result)
    print(f"1..{result.count}", flush=True)
    sys.exit(1 if result.bad else 0)
