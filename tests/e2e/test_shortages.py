"""A machine that runs out of things: descriptors, memory in the kernel, pages for pipes, and a clock that jumps.

Each time running sessions go on, nothing spins, nothing is left behind (Gateway looks at its end), and a transfer is
right or is said to have failed. A full disk is in test_log.py, a silent resolver in test_groups_dns.py.
"""

import contextlib
import fcntl
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import servers
import tap
from harness import Gateway
from raw import Raw, however_it_ends
from shim import SELDOM_WATCHED, preloading
from stub import Stub
from waiting import seconds, until

BODY = bytes(range(256)) * 4096  # 1 MiB
HELLO = (b"hello\r\n", 226)


def milliseconds(value):
    return f"{int(seconds(value) * 1000)}ms"


class Descriptors(unittest.TestCase):
    """EMFILE where a session needs more of them: for its backend, and for its data."""

    @classmethod
    def setUpClass(cls):
        cls.stub = cls.enterClassContext(Stub())
        cls.gateway = cls.enterClassContext(Gateway(cls.stub.address, timeouts={"transfer_reply": "1s"}))

    def setUp(self):
        until(lambda: self.gateway.fds() == self.gateway.start_fds, 5, self.gateway.fd_list)  # of the test before
        self.client = self.enterContext(Raw(self.gateway.address)).login()
        self.process = self.gateway.process.pid
        self.limits = resource.prlimit(self.process, resource.RLIMIT_NOFILE)
        self.addCleanup(self.restore)

    def leave(self, count):
        """Only so many descriptors more can be opened."""
        used = set(map(int, os.listdir(f"/proc/{self.process}/fd")))
        free = (number for number in range(1 << 20) if number not in used)
        limit = next(free)
        for _ in range(count):
            limit = next(free)
        resource.prlimit(self.process, resource.RLIMIT_NOFILE, (limit, self.limits[1]))

    def restore(self):
        resource.prlimit(self.process, resource.RLIMIT_NOFILE, self.limits)

    def test_none_for_the_backend(self):
        self.leave(1)
        for _ in range(3):
            with Raw(self.gateway.address) as other:
                self.assertEqual(other.greeting.text, "421 Service not available, try again later.")
                self.assertTrue(other.at_end())
        self.assertEqual(self.client.command("NOOP").code, 200)
        self.restore()
        with Raw(self.gateway.address) as other:
            self.assertEqual(other.login().transfer("RETR hello.txt"), HELLO)

    def test_none_for_data(self):
        """One for the client's leg and none for the backend's; then none at all, where the connection waits."""
        endpoint = self.client.pasv()
        self.leave(1)
        self.assertTrue(self.client.is_reset_at(endpoint))
        self.client.send("RETR hello.txt\r\n")
        codes = []
        while not codes or codes[-1] < 200:
            codes.append(self.client.reply().code)
        self.assertIn(codes[-1], (425, 426))
        self.restore()
        self.client = self.enterContext(Raw(self.gateway.address)).login()
        endpoint = self.client.pasv()
        self.leave(0)
        data = self.client.connect(endpoint)
        self.client.send("RETR hello.txt\r\n")
        self.gateway.wait_log("no descriptors left")
        before = self.gateway.cpu_seconds()
        time.sleep(0.3)  # what is measured is how little happens in it
        self.assertLess(self.gateway.cpu_seconds() - before, 0.1)
        self.restore()
        self.assertEqual(self.client.reply().code, 150)
        self.assertEqual(self.client.finish(data, None), HELLO)

    def test_none_for_an_active_backend(self):
        self.leave(0)
        with self.client.listen() as listener:
            self.assertEqual(self.client.port(listener).code, 425)
        self.restore()
        self.assertEqual(self.client.transfer("RETR hello.txt"), HELLO)


@unittest.skipUnless(shutil.which("strace"), "strace isn't installed")
class KernelErrors(unittest.TestCase):
    """What the kernel says when it has no memory: system calls that fail now and then, by strace."""

    # What fails, how, and in which of its calls (of each thread).
    FAILURES = (("accept4", "ENOBUFS", "1..3"), ("accept4", "ECONNABORTED", "1..3"),
                ("socket", "ENOBUFS", "1+2"), ("connect", "ENOBUFS", "1+2"), ("bind", "ENOBUFS", "1+2"),
                ("listen", "ENOBUFS", "1+2"), ("splice", "ENOMEM", "2+3"), ("pipe2", "ENFILE", "1..2"),
                ("sendto", "ENOBUFS", "7+9"), ("recvfrom", "ENOMEM", "7+9"), ("recvfrom", "ENOMEM", "10"), ("setsockopt", "ENOBUFS", "1+2"),
                ("shutdown", "ENOTCONN", "1+2"), ("fcntl", "EPERM", "1+1"), ("getsockname", "ENOBUFS", "3+4"),
                ("getpeername", "ENOTCONN", "3+4"))
    TIMEOUTS = {"transfer_reply": milliseconds(0.4), "data_stall": milliseconds(0.4)}

    @contextlib.contextmanager
    def injected(self, gateway, *failures):
        calls = ",".join(call for call, _, _ in failures)
        inject = [word for call, error, when in failures for word in ("-e", f"inject={call}:error={error}:when={when}")]
        with subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *inject, "-p",
                               str(gateway.process.pid)], stderr=subprocess.PIPE) as tracer:
            try:
                until(lambda: all(traced(gateway.process.pid)) or tracer.poll() is not None, 5, "strace has attached")
                if tracer.poll() is not None:
                    self.skipTest(f"strace: {tracer.stderr.read()}")
                yield
            finally:
                tracer.send_signal(signal.SIGINT)

    def sessions(self, stub, gateway, count, name):
        """With whatever comes of them; but for a time-out: peers hear of what fails."""
        for number in range(count):
            with contextlib.suppress(AssertionError, AttributeError), however_it_ends():
                self.one_session(stub, gateway, f"{name}{number}")

    def is_well(self, stub, gateway):
        with Raw(gateway.address) as client:
            self.assertEqual(client.login().transfer("RETR body"), (BODY, 226))
            self.assertEqual(client.transfer("STOR last", upload=BODY), (b"", 226))
            self.assertEqual(stub.files["last"], BODY)

    def one_session(self, stub, gateway, name):
        with Raw(gateway.address, greeting=False) as client:
            if client.reply(20).code != 220:
                return
            client.login()
            body, code = client.transfer("RETR body")
            if code == 226 and body != BODY:
                self.wrong.append(f"226 for half a download, {name}")
            _, code = client.transfer(f"STOR {name}", upload=BODY)
            if code == 226 and stub.files.get(name) != BODY:
                self.wrong.append(f"226 for half an upload, {name}: {len(stub.files.get(name, b''))}")
            client.quit()

    def test_now_and_then(self):
        self.wrong = []
        with Stub() as stub, Gateway(stub.address, ports=2, timeouts=self.TIMEOUTS) as gateway:
            stub.files["body"] = BODY
            for call, error, when in self.FAILURES:
                with self.subTest(f"{call} {error}"):
                    with self.injected(gateway, (call, error, when)):
                        self.sessions(stub, gateway, 3, call)
                    self.is_well(stub, gateway)
        self.assertEqual(self.wrong, [])

    def test_no_memory_to_watch(self):
        self.wrong = []
        environment, short = preloading(SELDOM_WATCHED, self.enterContext(tempfile.TemporaryDirectory()))
        with Stub() as stub, Gateway(stub.address, ports=2, timeouts=self.TIMEOUTS, environment=environment) as gateway:
            stub.files["body"] = BODY
            short.touch()
            self.sessions(stub, gateway, 10, "up")
            short.unlink()
            self.is_well(stub, gateway)
        self.assertEqual(self.wrong, [])

    def test_accepting_goes_on(self):
        """It pauses, and then epoll has no memory to watch the listeners again: they aren't deaf for that."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            # The first of these takes the listener out, which never fails.
            with self.injected(gateway, ("accept4", "EMFILE", "1"), ("epoll_ctl", "ENOMEM", "2..4")):
                many = [Raw(gateway.address, greeting=False) for _ in range(8)]
                until(lambda: gateway.metric("limits_hit_total", limit="descriptors") >= 4, 5, "it pauses again and again")
                for client in many:
                    client.close()
            for _ in range(16):
                with Raw(gateway.address) as client:
                    self.assertEqual(client.login().command("NOOP").code, 200)
            self.assertEqual(client.greeting.code, 220)


def traced(pid):
    """Whether each thread of the process has a tracer."""
    for task in os.listdir(f"/proc/{pid}/task"):
        status = pathlib.Path(f"/proc/{pid}/task/{task}/status").read_text(encoding="ascii")
        yield "TracerPid:\t0\n" not in status


@unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody else")
class Pipes(unittest.TestCase):
    def test_no_memory_for_them(self):
        """Of a user who has more pages in pipes than fs.pipe-user-pages-soft: a new pipe has a page or two, and files
        go through it all the same."""
        soft = int(pathlib.Path("/proc/sys/fs/pipe-user-pages-soft").read_text(encoding="ascii"))
        if not 0 < soft <= 1 << 16:
            self.skipTest("fs.pipe-user-pages-soft has another value than Linux's own")
        user = 54_321
        become = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"]
        hold = ("import fcntl, os, resource, sys\n"
                "resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)\n"
                "kept = []\n"
                f"while len(kept) * 16 < {soft} + 64: kept.append(os.pipe())\n"
                "print('held', flush=True)\nsys.stdin.read()\n")
        with subprocess.Popen([*become, sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hog:
            try:
                self.assertEqual(hog.stdout.readline(), b"held\n")
                self.transfers(become)
            finally:
                hog.stdin.close()

    def transfers(self, become):
        with Stub() as stub, readable_folders(), Gateway(stub.address, launcher=become) as gateway:
            stub.files["body"] = BODY * 8
            for verb in ("PASV", "EPSV"):
                with Raw(gateway.address) as client:
                    client.login()
                    before = gateway.cpu_seconds()
                    self.assertEqual(client.transfer("RETR body", verb=verb), (BODY * 8, 226))
                    self.assertEqual(client.transfer("STOR up", upload=BODY * 8, verb=verb), (b"", 226))
                    self.assertEqual(stub.files.pop("up"), BODY * 8)
                    self.assertLess(gateway.cpu_seconds() - before, seconds(3))
            sizes = {fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) for pipe in opened_pipes(gateway.process.pid)}
            self.assertLessEqual(max(sizes), 65536)  # or what the test is about hasn't happened


@contextlib.contextmanager
def readable_folders():
    """What is made in here others may read."""
    made = tempfile.TemporaryDirectory

    def readable(*args, **kwargs):
        folder = made(*args, **kwargs)
        os.chmod(folder.name, 0o755)
        return folder

    with unittest.mock.patch("tempfile.TemporaryDirectory", readable):
        yield


@contextlib.contextmanager
def _closed(descriptor):
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def opened_pipes(pid):
    """The pipes that the process keeps, opened here for the time of one look each."""
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(f"{folder}/{name}").startswith("pipe:"):
                with _closed(os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK)) as descriptor:
                    yield descriptor


class Clock(unittest.TestCase):
    def test_set_back_and_forth(self):
        """By a day, in the middle of everything: nothing expires for it, and what should does."""
        library = servers.unpacked(["libfaketime"], "faketime") / "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
        with tempfile.NamedTemporaryFile("w", suffix=".time") as clock, Stub() as stub:
            def shift(text):
                clock.seek(0)
                clock.truncate()
                clock.write(text + "\n")
                clock.flush()

            shift("+0d")
            preload = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()
            environment = {"LD_PRELOAD": preload, "FAKETIME_TIMESTAMP_FILE": clock.name, "FAKETIME_NO_CACHE": "1",
                           "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
                           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
            with Gateway(stub.address, environment=environment, timeouts={"idle": milliseconds(0.5)},
                         passive_ports={"lease_timeout": milliseconds(1)}) as gateway:
                for jump in ("-1d", "+3600d"):
                    with self.subTest(jump), Raw(gateway.address) as client, Raw(gateway.address) as idle:
                        client.login()
                        data = client.connect(client.pasv())
                        self.assertEqual(client.command("STOR up").code, 150)
                        data.sendall(BODY[:1000])
                        idle.login().pasv()
                        day = today(gateway)
                        shift(jump)
                        before = gateway.cpu_seconds()
                        until(lambda day=day: today(gateway) != day, 5, "the gateway sees the new time")
                        self.assertEqual(idle.reply().code, 421)
                        self.assertLess(gateway.cpu_seconds() - before, 0.3)
                        data.sendall(BODY[1000:])
                        data.close()
                        self.assertEqual(client.reply().code, 226)
                        self.assertEqual(stub.files.pop("up"), BODY)


def today(gateway):
    """The day by the gateway's log; it has written a line just now."""
    lines = len(gateway.log_text().splitlines())
    socket.create_connection(gateway.address).close()
    until(lambda: len(gateway.log_text().splitlines()) > lines, 5, "a line")
    return gateway.log_lines()[-1]["time"][:10]


if __name__ == "__main__":
    tap.main()
