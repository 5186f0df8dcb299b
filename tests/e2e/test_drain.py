"""`pasvgate drain` and GET /drained: what a pod's hooks are made of."""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import tap
from harness import BINARY, Gateway, make_config
from raw import Raw
from stub import Stub
from waiting import free_range, seconds, until

PART = bytes(range(256)) * 256
MOST = 4  # waiters


def draining(gateway):
    return gateway.get("/readyz")[0] == 503


def drain(*arguments, launcher=()):
    done = subprocess.run([*launcher, BINARY, "drain", *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=seconds(20))
    return done.returncode, done.stderr


def child_of(pid):
    (child,) = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return int(child)


class Upload:
    """Under way until it is finished."""

    def __init__(self, gateway):
        self.client = Raw(gateway.address)
        self.data = self.client.login().connect(self.client.pasv())
        assert self.client.command("STOR slow").code == 150
        self.data.sendall(PART)

    def finish(self):
        """The codes of the last replies."""
        self.data.sendall(PART)
        self.data.close()
        with self.client:
            return self.client.reply().code, self.client.reply().code


class Waiter:
    """GET /drained."""

    def __init__(self, gateway):
        host, port = gateway.admin.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=seconds(10))
        self.socket.sendall(b"GET /drained HTTP/1.1\r\nHost: here\r\n\r\n")

    def is_held(self):
        return not select.select([self.socket], [], [], 0)[0]

    def status(self):
        with self.socket:
            return int(b"".join(iter(lambda: self.socket.recv(4096), b"")).split()[1])


def one_is_sent_away(waiters):
    """The others; all of them are held by then."""
    until(lambda: not all(one.is_held() for one in waiters), 5, "one is sent away")
    (told,) = [one for one in waiters if not one.is_held()]
    assert told.status() == 503
    return [one for one in waiters if one is not told]


class Command(unittest.TestCase):
    def begin(self, *arguments):
        process = subprocess.Popen([BINARY, "drain", *map(str, arguments)], stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        return process

    def test_waits_for_a_transfer(self):
        """Who asks again doesn't cut it, nor the first who ends the process."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            upload = Upload(gateway)
            command = self.begin("--pid", gateway.process.pid)
            until(lambda: draining(gateway), 5, "it drains")
            for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
                gateway.signal(number)
                self.assertEqual(gateway.get("/healthz")[0], 200)
            self.assertIsNone(command.poll())
            self.assertEqual(upload.finish(), (226, 421))
            self.assertEqual(command.wait(seconds(10)), 0)
            self.assertEqual(gateway.wait_exit(1), 0)
            self.assertEqual(stub.files["slow"], PART * 2)

    def test_asked_until_it_has_ended(self):
        for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR1):
            with Stub() as stub, Gateway(stub.address) as gateway:
                while gateway.process.poll() is None:
                    gateway.signal(number)
                self.assertEqual(gateway.process.returncode, 0)

    def test_second_end_ends_at_once(self):
        with Stub() as stub, Gateway(stub.address, drain_timeout="60s") as gateway:
            upload = Upload(gateway)
            for number in (signal.SIGUSR1, signal.SIGTERM):
                gateway.signal(number)
                until(lambda: draining(gateway), 5, "it drains")
            # Two that come before the process looks are one to it, and only the second ends at once.
            until(lambda: gateway.signal(signal.SIGTERM) or gateway.process.poll() is not None, 10, "its end")
            self.assertEqual(gateway.process.returncode, 0)
            upload.data.close()
            upload.client.close()

    def test_before_it_has_started(self):
        """A drain waits for the start, while an end is one at any time; but process 1, to which it would be nothing, drains."""
        inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        cases = [([], signal.SIGUSR1, 0), ([], signal.SIGTERM, -signal.SIGTERM), ([], signal.SIGINT, -signal.SIGINT)]
        if os.geteuid() == 0:
            cases += [(inside, signal.SIGUSR1, 0), (inside, signal.SIGTERM, 0)]
        for launcher, number, code in cases:
            with tempfile.TemporaryDirectory(prefix="pasvgate-") as folder, free_range(2) as first, \
                    open(folder + "/log", "w+", encoding="utf-8") as log:
                config = folder + "/pasvgate.json"
                os.mkfifo(config)
                with subprocess.Popen([*launcher, BINARY, "run", config], stderr=log) as process:
                    with open(config, "w", encoding="utf-8") as writer:  # which it reads
                        os.kill(child_of(process.pid) if launcher else process.pid, number)
                        if code == 0:
                            json.dump(make_config("127.0.0.1:9", first, 2), writer)
                        else:
                            process.wait(seconds(10))
                    self.assertEqual(process.wait(seconds(20)), code)
                log.seek(0)
                self.assertEqual('"draining"' in log.read(), code == 0)

    def test_after(self):
        """It takes sessions meanwhile; one that ends by itself isn't waited for any longer."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            begin = time.monotonic()
            self.assertEqual(drain("--pid", gateway.process.pid, "--after", "300ms"), (0, ""))
            self.assertGreaterEqual(time.monotonic() - begin, 0.3)
            self.assertEqual(gateway.wait_exit(1), 0)
        with Stub() as stub, Gateway(stub.address) as gateway:
            command = self.begin("--pid", gateway.process.pid, "--after", "1h")
            with Raw(gateway.address) as client:
                self.assertEqual(client.login().transfer("RETR hello.txt"), (b"hello\r\n", 226))
            self.assertFalse(draining(gateway))
            gateway.signal(signal.SIGTERM)
            self.assertEqual(command.wait(seconds(10)), 0)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, for a PID namespace")
    def test_process_1(self):
        """As in a container, whose end would take the command along: it only tells."""
        with Stub() as stub, Gateway(stub.address,
                                     launcher=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]) as gateway:
            upload = Upload(gateway)
            inside = str(child_of(gateway.process.pid))
            self.assertEqual(drain(launcher=["nsenter", "--target", inside, "--pid", "--mount"]), (0, ""))
            until(lambda: draining(gateway), 5, "it drains")
            self.assertEqual(upload.finish(), (226, 421))
            self.assertEqual(gateway.wait_exit(), 0)

    def test_nobody_to_tell(self):
        with subprocess.Popen(["true"]) as ended:
            ended.wait()
        self.assertEqual(drain("--pid", ended.pid), (1, f"process {ended.pid}: there is no such process\n"))
        with subprocess.Popen(["sleep", "60"]) as other:
            until(lambda: pathlib.Path(f"/proc/{other.pid}/comm").read_text("ascii") == "sleep\n", 5, "it runs")
            self.assertEqual(drain("--pid", other.pid),
                             (1, f'process {other.pid}: it is "sleep", not pasvgate; name it with --pid\n'))
            other.kill()
        code, said = drain()
        self.assertEqual(code, 1)
        self.assertRegex(said, r'^process 1: it is ".*", not pasvgate; name it with --pid\n$')

    @unittest.skipUnless(os.geteuid() == 0, "only root becomes another user")
    def test_another_user(self):
        with Stub() as stub, Gateway(stub.address) as gateway:
            self.assertEqual(drain("--pid", gateway.process.pid, launcher=["setpriv", "--reuid=65534", "--clear-groups"]),
                             (1, f"process {gateway.process.pid}: it is another user's, who has to tell it\n"))
            self.assertFalse(draining(gateway))

    def test_not_understood(self):
        for words in (("--pid", "0"), ("--pid", "-1"), ("--pid", "x"), ("--after", "soon"), ("--after", "25h")):
            code, said = drain(*words)
            self.assertEqual(code, 2, words)
            self.assertIn(words[0], said)


class Drained(unittest.TestCase):
    def test_held_until_the_drain_is_over(self):
        with Stub() as stub, Gateway(stub.address) as gateway:
            waiter = Waiter(gateway)
            upload = Upload(gateway)
            gateway.signal(signal.SIGTERM)
            until(lambda: draining(gateway), 5, "it drains")
            self.assertTrue(waiter.is_held())
            late = Waiter(gateway)
            self.assertEqual(upload.finish(), (226, 421))
            self.assertEqual((waiter.status(), late.status()), (200, 200))
            self.assertEqual(gateway.wait_exit(), 0)

    def test_drain_that_takes_too_long(self):
        with Stub() as stub, Gateway(stub.address, drain_timeout="100ms") as gateway:
            waiter = Waiter(gateway)
            upload = Upload(gateway)
            gateway.signal(signal.SIGTERM)
            self.assertEqual(waiter.status(), 200)
            self.assertEqual(gateway.wait_exit(), 0)
            upload.data.close()
            upload.client.close()

    def test_few_threads(self):
        """The newest few are held, one more sends the oldest away, and the server serves on; who hangs up holds no place."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            held = one_is_sent_away([Waiter(gateway) for _ in range(MOST + 1)])
            with self.subTest("others are served"):
                for path in ("/healthz", "/readyz", "/metrics", "/api/v1/status"):
                    self.assertEqual(gateway.get(path)[0], 200)
            newest = Waiter(gateway)
            held = one_is_sent_away([*held, newest])
            self.assertIn(newest, held)
            for one in held:
                one.socket.close()
            again = [Waiter(gateway) for _ in range(MOST)]
            self.assertEqual(gateway.get("/healthz")[0], 200)
            self.assertEqual([one.is_held() for one in again], [True] * MOST)
            gateway.signal(signal.SIGTERM)
            self.assertEqual([one.status() for one in again], [200] * MOST)
            self.assertEqual(gateway.wait_exit(5), 0)


class Pod(unittest.TestCase):
    def test_as_a_kubelet_ends_it(self):
        """Both hooks at once; SIGTERM for the server when its hook is answered, and for the gateway behind that."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            upload = Upload(gateway)
            told = []

            def end_the_server():
                told.append(Waiter(gateway).status())
                stub.close()

            server = threading.Thread(target=end_the_server)
            server.start()
            hook = subprocess.Popen([BINARY, "drain", "--pid", str(gateway.process.pid), "--after", "100ms"])
            with Raw(gateway.address) as new:
                new.login()
                until(lambda: draining(gateway), 5, "it drains")
                self.assertEqual(new.reply().code, 421)
            self.assertTrue(server.is_alive())
            self.assertEqual(upload.finish(), (226, 421))
            self.assertEqual(stub.files["slow"], PART * 2)
            server.join(seconds(10))
            self.assertEqual(told, [200])
            self.assertEqual(hook.wait(seconds(10)), 0)
            gateway.stop()


if __name__ == "__main__":
    tap.main()
