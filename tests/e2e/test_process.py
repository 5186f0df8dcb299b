"""What the process still may once it runs: user, capabilities, no_new_privs, the filter of system calls."""

import json
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import unittest

import certificates
import tap
from harness import BINARY, Gateway, make_config
from raw import Raw
from stub import Stub
from waiting import free_port, free_range, seconds, until

HELLO = (b"hello\r\n", 226)
NOBODY = pwd.getpwnam("nobody")
NET_BIND_SERVICE = 1 << 10
IS_ROOT = os.geteuid() == 0
with open(BINARY, "rb") as file:
    PROGRAM = file.read()
# A sanitizer's runtime calls what the filter forbids; and libseccomp may be left out.
HAS_FILTER = b"seccomp_load" in PROGRAM and b"__asan_init" not in PROGRAM and b"__tsan_init" not in PROGRAM


def low_port():
    """One below 1024, for the listener."""
    for port in range(700, 1024):
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
    raise AssertionError("no low port is free")


def threads(gateway):
    """The status of each thread: {name: value}."""
    folder = f"/proc/{gateway.process.pid}/task"
    found = []
    for task in os.listdir(folder):
        with open(f"{folder}/{task}/status", encoding="ascii") as file:
            found.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
    return found


def filters_of_ours():
    """A container may have put some on this process, and so on the gateway."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Seccomp_filters:"))


def told(gateway):
    """The line of the log that says what is left."""
    return next(line for line in gateway.log_lines() if line["message"] == "ready")


def start_fails(**sections):
    """What a gateway says that doesn't start."""
    with tempfile.TemporaryDirectory(prefix="pasvgate-") as folder, free_range(2) as first:
        path = os.path.join(folder, "pasvgate.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(make_config("127.0.0.1:2121", first, 2, **sections), file)
        done = subprocess.run([BINARY, "run", path], capture_output=True, text=True, timeout=seconds(20), check=False)
        return done.returncode, done.stderr


@unittest.skipUnless(IS_ROOT, "only root becomes another user")
class User(unittest.TestCase):
    """One gateway, started as root on a port below 1024, that runs as nobody."""

    @classmethod
    def setUpClass(cls):
        cls.stub = cls.enterClassContext(Stub())
        cls.logs = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="pasvgate-"))
        os.chown(cls.logs, NOBODY.pw_uid, NOBODY.pw_gid)
        listener = {"name": "public", "address": f"127.0.0.1:{low_port()}", "backend": "default"}
        cls.addClassCleanup(os.setgroups, os.getgroups())
        os.setgroups([0, 4])  # for the gateway to give up
        cls.gateway = cls.enterClassContext(Gateway(
            cls.stub.address, user="nobody", listeners=[listener], backends={"default": {"data_mode": "passive"}},
            log={"level": "info", "transfers": f"{cls.logs}/xferlog", "max_size": 100, "keep": 2}))
        # Its own reload must be able to read it.
        os.chmod(cls.gateway.folder.name, 0o755)

    def reload(self, result):
        before = self.gateway.metric("config_reloads_total", result=result)
        self.gateway.signal(signal.SIGHUP)
        until(lambda: self.gateway.metric("config_reloads_total", result=result) == before + 1, 5, f"a reload: {result}")

    def test_every_thread(self):
        """uid, gid, groups, capabilities, no_new_privs and the filter."""
        found = threads(self.gateway)
        self.assertGreater(len(found), 4)
        for status in found:
            uid, gid = str(NOBODY.pw_uid), str(NOBODY.pw_gid)
            self.assertEqual(status["Uid"].split(), [uid] * 4)
            self.assertEqual(status["Gid"].split(), [gid] * 4)
            self.assertEqual(status["Groups"].split(), [])
            # A sanitizer's own thread was there before.
            allowed = (f"{NET_BIND_SERVICE:016x}",) if HAS_FILTER else (f"{NET_BIND_SERVICE:016x}", "0" * 16)
            for kind in ("CapPrm", "CapEff"):
                self.assertIn(status[kind], allowed)
            for kind in ("CapInh", "CapAmb"):
                self.assertEqual(status[kind], "0" * 16)
            if HAS_FILTER:
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                # One against io_uring, and one that is all the rest.
                self.assertEqual(int(status["Seccomp_filters"]), filters_of_ours() + 2)
                self.assertEqual(int(status["CapBnd"], 16) & ~NET_BIND_SERVICE, 0)
        line = told(self.gateway)
        self.assertEqual((line["user"], line["capabilities"], line["seccomp"]),
                         ("nobody", "net_bind_service", "on" if HAS_FILTER else "off"))

    def test_transfers(self):
        with Raw(self.gateway.address) as client:
            client.login()
            for verb in ("PASV", "EPSV", "PORT", "EPRT"):
                with self.subTest(verb):
                    self.assertEqual(client.transfer("RETR hello.txt", verb=verb), HELLO)

    def test_from_port_20(self):
        with Raw(self.gateway.address) as client, client.login().listen() as listener:
            self.assertEqual(client.port(listener).code, 200)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            data, peer = listener.accept()
            self.assertEqual(peer, ("127.0.0.1", 20))
            self.assertEqual(client.finish(data, None), HELLO)

    def test_reload(self):
        """With a second listener below 1024, and without it."""
        before = self.gateway.config["listeners"]
        second = {"name": "second", "address": f"127.0.0.1:{low_port()}", "backend": "default"}
        self.gateway.write_config({**self.gateway.config, "listeners": [*before, second]})
        self.reload("ok")
        with Raw(("127.0.0.1", int(second["address"].split(":")[1]))) as client:
            self.assertEqual(client.login().transfer("RETR hello.txt"), HELLO)
        self.gateway.write_config(self.gateway.config)
        self.reload("ok")

    def test_reload_that_only_root_can_read(self):
        os.chmod(self.gateway.config_path, 0o600)
        self.reload("failed")
        self.gateway.wait_log("can't be opened")
        os.chmod(self.gateway.config_path, 0o644)
        self.reload("ok")

    def test_user_needs_a_restart(self):
        self.gateway.write_config({**self.gateway.config, "user": "daemon", "seccomp": False})
        self.reload("failed")
        self.gateway.wait_log("/user: can't change while running")
        self.gateway.wait_log("/seccomp: can't change while running")
        self.gateway.write_config(self.gateway.config)
        self.reload("ok")

    def test_log_files_are_the_users_and_turn(self):
        with Raw(self.gateway.address) as client:
            client.login()
            for _ in range(4):
                client.transfer("RETR hello.txt")
        until(lambda: os.path.exists(f"{self.logs}/xferlog.2"), 5, "two turned logs")
        self.assertEqual(os.stat(f"{self.logs}/xferlog").st_uid, NOBODY.pw_uid)

    def test_own_descriptors_are_counted(self):
        """/proc/self can still be read."""
        self.assertGreater(self.gateway.metrics()["process_open_fds"][0][1], 10)


@unittest.skipUnless(IS_ROOT, "only root becomes another user")
class Starts(unittest.TestCase):
    def test_number_and_nothing_to_keep(self):
        """No port below 1024, no active mode: no capability. A uid without a user is the group too."""
        with Stub() as stub, Gateway(stub.address, user="54321", policy={"allow_active": False},
                                     log={"level": "info"}) as gateway:
            for status in threads(gateway):
                self.assertEqual((status["Uid"].split()[1], status["Gid"].split()[1]), ("54321", "54321"))
                self.assertEqual(status["CapPrm"], "0" * 16)
            # The folder of the config is root's.
            gateway.wait_log("reloads will be refused")
            with Raw(gateway.address) as client:
                self.assertEqual(client.login().transfer("RETR hello.txt"), HELLO)

    def test_one_listener_s_active_mode(self):
        """It keeps port 20, though the policy for all refuses active mode."""
        with Stub() as stub, Gateway(stub.address, user="54321", policy={"allow_active": False},
                                     listeners=[{"name": "public", "address": "127.0.0.1:0",
                                                 "policy": {"allow_active": True}}]) as gateway:
            for status in threads(gateway):
                self.assertEqual(status["CapEff"], f"{1 << 10:016x}")

    def test_room_for_descriptors(self):
        """The table doesn't grow under the sessions: each time the kernel would hold a worker for it."""
        with Stub() as stub, Gateway(stub.address, limits={"sessions": 200}) as gateway:
            for status in threads(gateway):
                self.assertGreaterEqual(int(status["FDSize"]), 4 * 200)

    def test_keys_of_root(self):
        """Read before root is given up; what a reload would say is said at the start."""
        sections = certificates.tls_sections("optional")
        with tempfile.TemporaryDirectory(prefix="pasvgate-") as folder:
            os.chmod(folder, 0o755)
            for one in sections["tls"]["certificates"]:
                for kind, path in one.items():
                    copy = os.path.join(folder, os.path.basename(path))
                    with open(path, "rb") as source, open(copy, "wb") as target:
                        target.write(source.read())
                    os.chmod(copy, 0o600)
                    one[kind] = copy
            with Stub() as stub, Gateway(stub.address, user="nobody", **sections) as gateway:
                line = next(line for line in gateway.log_lines() if line["message"] == "reloads will be refused")
                self.assertEqual(line["user"], "nobody")

    def test_transparent_keeps_raw(self):
        listener = {"name": "public", "address": "127.0.0.1:0", "mode": "transparent", "destinations": ["127.0.0.0/8"],
                    "active_source_port": 0}
        with Stub() as stub, Gateway(stub.address, user="nobody", listeners=[listener]) as gateway:
            self.assertEqual(told(gateway)["capabilities"], "net_raw")
            self.assertNotIn("not for tproxy", gateway.log_text())

    def test_root_stays_root_unless_asked(self):
        with Stub() as stub, Gateway(stub.address, seccomp=False, log={"level": "info"}) as gateway:
            line = told(gateway)
            self.assertEqual((line["capabilities"], line["seccomp"]), ("all", "off"))
            gateway.wait_log("runs as root")
            for status in threads(gateway):
                self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("0", "1"))

    def test_unknown_user(self):
        self.assertEqual(start_fails(user="no-such-user"), (1, '/user: there is no user "no-such-user"\n'))

    def test_log_that_the_user_cannot_write(self):
        with tempfile.TemporaryDirectory(prefix="pasvgate-") as folder:
            os.chmod(folder, 0o755)
            self.assertEqual(start_fails(user="nobody", log={"file": f"{folder}/log"}),
                             (1, f"/log/file: {folder}/log: can't be opened: Permission denied\n"))


class NotRoot(unittest.TestCase):
    def test_other_user(self):
        """Who isn't root is nobody else."""
        launch = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"] if IS_ROOT else []
        done = subprocess.run([*launch, BINARY, "run", "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1", "--user",
                               "nobody", "--passive-ports", str(free_port())], capture_output=True, text=True,
                              timeout=seconds(20), check=False)
        uid = 12345 if IS_ROOT else os.geteuid()
        self.assertEqual((done.returncode, done.stderr),
                         (1, f'/user: can\'t become "nobody", since this isn\'t root but uid {uid}; start it as root, '
                             "or leave the key out\n"))


if __name__ == "__main__":
    tap.main()
