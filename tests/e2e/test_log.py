"""Where the log goes, what is in it, and that a log which can't be written stops nothing."""

import contextlib
import ftplib
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import tap
from harness import BINARY, Gateway, make_config
from raw import Raw
from stub import Stub
from waiting import free_range, seconds, until

# wu-ftpd's xferlog(5).
XFERLOG = re.compile(r"(?P<time>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}) (?P<seconds>\d+) (?P<client>\S+) (?P<bytes>\d+) "
                     r"(?P<path>\S+) (?P<type>[ab]) _ (?P<direction>[oi]) (?P<access>[ar]) (?P<user>\S+) ftp 0 \* "
                     r"(?P<status>[ci])")


class LogCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-log-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.stub = self.enter(Stub())

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def gateway(self, **log):
        return Gateway(self.stub.address, log={"format": "json", "level": "info", **log})

    def login(self, gateway):
        client = ftplib.FTP()
        client.connect("127.0.0.1", gateway.port, timeout=seconds(20))
        client.login("tester", "hunter2")
        self.addCleanup(client.close)
        return client

    def wait_line(self, path, condition=lambda line: True, deadline=5):
        def found():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except FileNotFoundError:  # not yet, or just now turned
                return None
            return next((line for line in lines if condition(line)), None)
        return until(found, deadline, lambda: f"a line in {path}: {path.read_text() if path.exists() else None}")


class Files(LogCase):
    # The ready line tells the ports; with a log file it isn't on stderr.
    @contextlib.contextmanager
    def run_with_file(self, **log):
        """(process, control port, admin, file): `Gateway` reads stderr, this reads the file."""
        path = self.folder / "pasvgate.log"
        with free_range(4) as first:
            config = make_config(self.stub.address, first, 4, log={"file": str(path), "level": "info", **log})
            config_path = self.folder / "pasvgate.json"
            config_path.write_text(json.dumps(config), encoding="utf-8")
            # pylint: disable=consider-using-with
            process = subprocess.Popen([BINARY, "run", config_path], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                ready = json.loads(self.wait_line(path, lambda line: '"ready"' in line, 20))
            except BaseException:
                process.kill()
                raise
        try:
            yield process, int(ready["listen"].rsplit(":", 1)[1]), config_path, path
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(seconds(20)), 0)
            self.assertEqual(process.stderr.read(), b"")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()

    def sessions(self, port, count):
        for _ in range(count):
            with Raw(("127.0.0.1", port)) as client:
                client.login()

    def test_file_and_its_end(self):
        with self.run_with_file() as (_, port, _, path):
            self.sessions(port, 1)
            self.assertEqual(path.stat().st_mode & 0o777, 0o640)
        messages = [json.loads(line)["message"] for line in path.read_text(encoding="utf-8").splitlines()]
        # All that was logged is there when the process has ended.
        self.assertEqual((messages[0], messages[-1]), ("ready", "stopped"))
        self.assertIn("session ended", messages)

    def test_rotation_by_size(self):
        with self.run_with_file(max_size=2000, keep=2) as (_, port, _, path):
            self.sessions(port, 30)
            until(lambda: (self.folder / "pasvgate.log.2").exists(), 5, "a second old file")
        names = sorted(name for name in os.listdir(self.folder) if name.startswith("pasvgate.log"))
        self.assertEqual(names, ["pasvgate.log", "pasvgate.log.1", "pasvgate.log.2"])
        for name in names:
            text = (self.folder / name).read_text(encoding="utf-8")
            self.assertLessEqual(len(text), 2000)
            self.assertTrue(text.endswith("}\n"))
            for line in text.splitlines():
                json.loads(line)
        self.assertIn('"stopped"', path.read_text(encoding="utf-8"))

    def test_nothing_old_is_kept(self):
        with self.run_with_file(max_size=1000, keep=0) as (_, port, _, path):
            self.sessions(port, 20)
        self.assertLessEqual(path.stat().st_size, 1000)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("pasvgate.log.")], [])

    def test_emptied_by_another(self):
        """As logrotate's copytruncate does it: what follows stands at the file's beginning, and its size is the real one."""
        with self.run_with_file(max_size=8000, keep=1) as (_, port, _, path):
            for _ in range(3):
                self.sessions(port, 3)
                self.wait_line(path, lambda line: "session ended" in line)
                os.truncate(path, 0)
                self.sessions(port, 1)
                self.wait_line(path, lambda line: "session ended" in line)
                self.assertLess(path.stat().st_size, 8000)
                self.assertNotIn(b"\0", path.read_bytes())
            self.assertFalse((self.folder / "pasvgate.log.1").exists())
            # It is as full with another program's bytes.
            with open(path, "ab") as other:
                other.write(b'{"other": "' + b"x" * 7900 + b'"}\n')
            self.sessions(port, 2)
            until(lambda: (self.folder / "pasvgate.log.1").exists(), 5, "an old file")
        self.assertIn('"other"', (self.folder / "pasvgate.log.1").read_text(encoding="utf-8"))
        for line in path.read_text(encoding="utf-8").splitlines():
            json.loads(line)

    def test_moved_away_without_a_word(self):
        """The next file is begun when that one is full."""
        with self.run_with_file(max_size=2000, keep=3) as (_, port, _, path):
            path.rename(self.folder / "moved")
            self.sessions(port, 10)
            self.wait_line(path, lambda line: "session ended" in line)
        self.assertLessEqual((self.folder / "moved").stat().st_size, 2000)

    def test_reopened_on_sighup(self):
        """As logrotate does it: the file is moved away, and the process told."""
        with self.run_with_file() as (process, port, config_path, path):
            path.rename(self.folder / "moved")
            self.sessions(port, 1)
            self.wait_line(self.folder / "moved", lambda line: "session ended" in line)
            process.send_signal(signal.SIGHUP)
            self.wait_line(path, lambda line: "configuration reloaded" in line)
            # A broken configuration doesn't keep the file from being opened anew.
            path.rename(self.folder / "moved2")
            config_path.write_text("{", encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            self.wait_line(path, lambda line: "reload refused" in line)

    def test_another_file_on_reload(self):
        with self.run_with_file() as (process, _, config_path, path):
            config = json.loads(config_path.read_text(encoding="utf-8"))
            config["log"]["file"] = str(self.folder / "nowhere/log")
            config_path.write_text(json.dumps(config), encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            line = json.loads(self.wait_line(path, lambda line: "reload refused" in line))
            self.assertIn("/log/file: ", line["error"])
            config["log"]["file"] = str(self.folder / "second.log")
            config_path.write_text(json.dumps(config), encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            self.wait_line(self.folder / "second.log", lambda line: "configuration reloaded" in line)

    def test_a_file_that_cannot_be_opened(self):
        with free_range(2) as first:
            config = make_config(self.stub.address, first, 2, log={"file": str(self.folder / "no/log")})
            (self.folder / "c.json").write_text(json.dumps(config), encoding="utf-8")
            done = subprocess.run([BINARY, "run", self.folder / "c.json"], capture_output=True, text=True, check=False,
                                  timeout=seconds(20))
        self.assertEqual(done.returncode, 1)
        self.assertIn("/log/file: " + str(self.folder / "no/log") + ": can't be opened: No such file", done.stderr)


class Targets(LogCase):
    def test_stdout_and_journald(self):
        for target, pattern in (("stdout", r'^\{"time"'), ("journald", r'^<6>\{"time"')):
            config = make_config(self.stub.address, 1, 1, log={"target": target, "level": "info"})
            with free_range(2) as first:
                config["passive_ports"]["listen"] = f"{first}-{first + 1}"
                path = self.folder / "c.json"
                path.write_text(json.dumps(config), encoding="utf-8")
                with subprocess.Popen([BINARY, "run", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True) as process:
                    stream = process.stdout if target == "stdout" else process.stderr
                    line = stream.readline()
                    process.send_signal(signal.SIGTERM)
                    rest = process.communicate(timeout=seconds(20))
            self.assertRegex(line, pattern)
            self.assertIn('"ready"', line)
            self.assertEqual(rest[1 if target == "stdout" else 0], "")

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_syslog(self):
        """A /dev of its own in a mount namespace, in which /dev/log is ours."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, free_range(2) as first:
            log.bind(str(self.folder / "log.socket"))
            log.settimeout(seconds(20))
            config = make_config(self.stub.address, first, 2, log={"target": "syslog", "format": "text", "level": "info"})
            (self.folder / "c.json").write_text(json.dumps(config), encoding="utf-8")
            script = ("mkdir dev; mount -t tmpfs none dev; for name in null zero random urandom; do touch dev/$name; "
                      "mount --bind /dev/$name dev/$name; done; touch dev/log; mount --bind log.socket dev/log; "
                      'mount --rbind dev /dev; exec "$@"')
            with subprocess.Popen(["unshare", "--mount", "sh", "-ec", script, "sh", BINARY, "run", "c.json"],
                                  cwd=self.folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                try:
                    line = log.recv(65536).decode()
                finally:
                    process.send_signal(signal.SIGTERM)
                process.wait(seconds(20))
        # Facility ftp (11), informational (6).
        self.assertRegex(line, r"^<94>.*pasvgate\[\d+\]: \S+Z info  ready listen=")

    def test_color(self):
        """Levels are colored on a terminal only, and not against --no-color or NO_COLOR."""
        with free_range(2) as first:
            config = make_config(self.stub.address, first, 2, log={"format": "text", "level": "info"})
            (self.folder / "c.json").write_text(json.dumps(config), encoding="utf-8")
            for environment, extra, colored in (({}, "", True), ({}, "--no-color", False), ({"NO_COLOR": "1"}, "", False)):
                master, terminal = os.openpty()
                variables = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | environment
                with subprocess.Popen([BINARY, "run", str(self.folder / "c.json"), *extra.split()], stdin=terminal,
                                      stdout=terminal, stderr=terminal, env=variables) as process:
                    os.close(terminal)
                    text = b""
                    while b"ready" not in text:
                        text += os.read(master, 4096)
                    process.send_signal(signal.SIGTERM)
                    # What isn't read from a terminal in time is its own to lose.
                    with contextlib.suppress(OSError):
                        while os.read(master, 4096):
                            pass
                    self.assertEqual(process.wait(seconds(20)), 0)
                os.close(master)
                self.assertEqual(b"\x1b[32minfo \x1b[0m" in text, colored, text)


class Transfers(LogCase):
    def run_all(self, form):
        path = self.folder / "xferlog"
        self.stub.files["a b\tc.txt"] = b"x" * 1234
        with self.gateway(transfers=str(path), transfers_format=form) as gateway:
            client = self.login(gateway)
            client.retrbinary("RETR a b\tc.txt", lambda _: None)
            client.storbinary("STOR up.bin", io.BytesIO(b"y" * 77))
            client.retrlines("LIST", lambda _: None)
            with self.assertRaises(ftplib.error_perm):
                client.retrbinary("RETR missing", lambda _: None)
            client.retrlines("RETR hello.txt", lambda _: None)
            self.broken_download(client)
            client.close()
            self.wait_line(path, lambda line: "big" in line)
        return path.read_text(encoding="utf-8").splitlines()

    def broken_download(self, client):
        self.stub.files["big"] = b"z" * 5_000_000
        client.voidcmd("TYPE I")
        with contextlib.suppress(ftplib.error_temp):
            with client.transfercmd("RETR big") as data:
                data.recv(10)
            client.voidresp()

    def test_xferlog(self):
        lines = self.run_all("xferlog")
        found = []
        for line in lines:
            match = XFERLOG.fullmatch(line)
            self.assertTrue(match, line)
            moment = time.mktime(time.strptime(match["time"], "%a %b %d %H:%M:%S %Y"))
            self.assertLess(abs(time.time() - moment), seconds(60))
            self.assertGreaterEqual(int(match["seconds"]), 1)
            self.assertEqual((match["client"], match["user"], match["access"]), ("127.0.0.1", "tester", "r"))
            found.append((match["path"], match["direction"], match["type"], match["status"]))
        # No listing, nothing that was refused.
        self.assertEqual(found, [("a_b_c.txt", "o", "b", "c"), ("up.bin", "i", "b", "c"), ("hello.txt", "o", "a", "c"),
                                 ("big", "o", "b", "i")])
        self.assertEqual([XFERLOG.fullmatch(line)["bytes"] for line in lines[:2]], ["1234", "77"])

    def test_json(self):
        entries = [json.loads(line) for line in self.run_all("json")]
        self.assertEqual([(e["path"], e["direction"], e["type"], e["result"], e["verb"]) for e in entries],
                         [("a b\\x09c.txt", "download", "binary", "ok", "RETR"), ("up.bin", "upload", "binary", "ok", "STOR"),
                          ("hello.txt", "download", "ascii", "ok", "RETR"),
                          ("big", "download", "binary", "broken", "RETR")])
        self.assertEqual([e["bytes"] for e in entries[:2]], [1234, 77])
        for entry in entries:
            self.assertRegex(entry["session"], "^[0-9a-f]{16}$")
            self.assertEqual((entry["user"], entry["client"], entry["listener"]), ("tester", "127.0.0.1", "public"))
            self.assertLess(entry["seconds"], seconds(20))


class Transcript(LogCase):
    def test_secrets_are_masked(self):
        with self.gateway(level="debug") as gateway:
            with Raw(gateway.address) as client:
                client.login(password="hunter2")
                for line in ("ACCT hunter2", "ADAT aHVudGVyMg==", "SITE PSWD hunter2 hunter3", "PASShunter2", "MIC aHVudGVyMg=="):
                    client.command(line)
                client.command("PWD")
            gateway.wait_log('"session ended"')
            text = gateway.log_text()
        self.assertNotIn("hunter", text)
        self.assertNotIn("aHVudGVy", text)
        for shown in ('"text":"PASS ****"', '"text":"ACCT ****"', '"text":"ADAT ****"', '"text":"SITE PSWD ****"',
                      '"text":"MIC ****"', '"text":"PWD"', '"text":"257 \\"/\\" is current"'):
            self.assertIn(shown, text)

    def test_a_password_inside_user(self):
        """Nowhere: not in the dialogue, nor where a server repeats it, nor in what the admin server shows."""
        path = self.folder / "xferlog"
        self.stub.on["USER"] = lambda session, argument: session.reply(f"331 Password required for {argument}")
        users = {"bob:hunter2@ftp.example": "bob:****@ftp.example", "bob:hunter2": "bob:****"}
        told = ""
        with self.gateway(level="debug", transfers=str(path)) as gateway:
            for user in users:
                client = ftplib.FTP()
                self.addCleanup(client.close)
                client.connect("127.0.0.1", gateway.port, timeout=seconds(20))
                client.login(user, "hunter2")
                client.retrbinary("RETR hello.txt", lambda _: None)
                told += gateway.get("/api/v1/sessions")[1] + gateway.get("/api/v1/trace?client=127.0.0.1")[1]
                client.quit()
            until(lambda: gateway.log_text().count('"session ended"') == 2, 5, "both ends")
            told += gateway.get("/api/v1/status")[1] + gateway.get("/metrics")[1]
            text = gateway.log_text()
        text += told + path.read_text(encoding="utf-8")
        self.assertNotIn("hunter", text)
        for shown in users.values():
            for line in (f'"text":"USER {shown}"', f'"text":"331 Password required for {shown}"', f'"user":"{shown}"',
                         f" r {shown} ftp "):
                self.assertIn(line, text)

    def test_bytes_of_strangers(self):
        """A name that looks like an escape is told from one: in the log, the trace and the command that shows it."""
        with self.gateway(level="debug", format="text") as gateway:
            with Raw(gateway.address) as client:
                client.login()
                client.send(b"SIZE \\x1B \x1B\\\" =\r\n")
                client.reply()
                trace = json.loads(gateway.get("/api/v1/trace?client=127.0.0.1")[1])["sessions"][0]["lines"]
                shown = subprocess.run([BINARY, "trace", "127.0.0.1", "--admin", gateway.admin], capture_output=True,
                                       text=True, check=True, timeout=seconds(20)).stdout
            gateway.wait_log("session ended")
            text = gateway.log_text()
        self.assertIn(r'text="SIZE \x5Cx1B \x1B\x5C\" ="', text)
        self.assertIn(r'SIZE \x5Cx1B \x1B\x5C" =', [line["text"] for line in trace])
        self.assertIn(r'SIZE \x5Cx1B \x1B\x5C" =', shown)


class Stuck(LogCase):
    """Nobody waits for a log."""

    def transfers(self, gateway, count=5):
        body = os.urandom(200_000)
        self.stub.files["file"] = body
        for _ in range(count):
            client = self.login(gateway)
            got = []
            client.retrbinary("RETR file", got.append)
            self.assertEqual(b"".join(got), body)
            client.quit()

    def talk_until_lines_are_dropped(self, gateway):
        with Raw(gateway.address) as client:
            client.login()

            def talk():
                client.send("NOOP\r\n" * 50)
                for _ in range(50):
                    client.reply()
                return gateway.dropped() > 20

            until(talk, 30, lambda: f"{gateway.dropped()} lines dropped")

    def test_full_device(self):
        """stderr tells nothing here: the log is on a full disk, so the ports come from the configuration."""
        with free_range(3) as first:
            with Quiet(self.stub.address, first, log={"file": "/dev/full", "level": "debug", "format": "json"}) as gateway:
                self.transfers(gateway)
                until(lambda: gateway.dropped() > 20, 5, lambda: f"{gateway.dropped()} lines dropped")

    def test_full_disk_then_not(self):
        """A tmpfs of a few kilobytes in a mount namespace: lines are lost, none is cut in two, and the loss is told."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        disk = self.folder / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        ballast = disk / "ballast"
        with free_range(3) as first:
            with Quiet(self.stub.address, first, log={"file": str(disk / "log"), "level": "debug", "format": "json"}) as gateway:
                self.transfers(gateway, 1)
                with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
                    while True:
                        file.write(b"x" * 512)
                self.transfers(gateway, 8)
                until(lambda: gateway.dropped() > 20, 5, lambda: f"{gateway.dropped()} lines dropped")
                ballast.unlink()
                lost = gateway.dropped()
                # It is told with the first line that finds room.
                gateway.process.send_signal(signal.SIGHUP)
                line = json.loads(self.wait_line(disk / "log", lambda line: "were dropped" in line))
                self.assertGreaterEqual(line["lines"], lost)
        for line in (disk / "log").read_text(encoding="utf-8").splitlines():
            json.loads(line)

    def test_fifo_that_nobody_reads(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        with free_range(3) as first:
            with Quiet(self.stub.address, first, log={"file": str(fifo), "level": "debug", "format": "json"}) as gateway:
                self.talk_until_lines_are_dropped(gateway)
                self.transfers(gateway, 2)
                # Ends in time, although its log is stuck.

    def test_stderr_that_nobody_reads(self):
        """The writer's thread hangs in write(2): the queue fills, and the process ends in time all the same."""
        with free_range(3) as first:
            with Quiet(self.stub.address, first, stderr=subprocess.PIPE, log={"level": "debug", "format": "json"}) as gateway:
                self.talk_until_lines_are_dropped(gateway)
                self.transfers(gateway, 2)


class Quiet:
    """A gateway whose log can't be read: its ports are fixed beforehand."""

    def __init__(self, backend, first_port, stderr=None, **sections):
        self.folder = tempfile.TemporaryDirectory(prefix="pasvgate-quiet-")
        self.port, self.admin_port = first_port, first_port + 1
        self.address = ("127.0.0.1", self.port)
        config = make_config(backend, first_port + 2, 1, listeners=[{"address": f"127.0.0.1:{self.port}"}],
                             admin={"address": f"127.0.0.1:{self.admin_port}"}, **sections)
        path = pathlib.Path(self.folder.name, "pasvgate.json")
        path.write_text(json.dumps(config), encoding="utf-8")
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen([BINARY, "run", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=stderr or subprocess.DEVNULL)
        self.admin = f"127.0.0.1:{self.admin_port}"
        try:
            until(self._ready, 20, "ready")
        except BaseException:
            self.process.kill()
            raise

    get, metrics, metric = Gateway.get, Gateway.metrics, Gateway.metric

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}")
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def dropped(self):
        return self.metric("log_lines_dropped_total")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(seconds(20))
            if kind is None and code != 0:
                raise AssertionError(f"exit code {code}")
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process.stderr:
                self.process.stderr.close()
            self.folder.cleanup()


if __name__ == "__main__":
    tap.main()
