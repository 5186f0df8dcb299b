"""The Debian package in a Debian of its own: installed, run as its unit says, upgraded, removed, purged."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import certificates
import tap
from debian_root import Root
from waiting import seconds

BUILD = os.environ.get("PASVGATE_BUILD", str(ROOT / "build"))
CONFIG = "/etc/pasvgate/pasvgate.json"
UNIT = "/usr/lib/systemd/system/pasvgate.service"
NET_BIND_SERVICE = f"{1 << 10:016x}"


def build_package(folder, revision):
    done = subprocess.run([ROOT / "deploy/debian/build.sh", "--build", BUILD, "--revision", revision, folder],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"build.sh: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Notified:
    """systemd's side of the notification socket, inside the root."""

    def __init__(self, root):
        self.path = root.file("/run/notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        os.chmod(self.path, 0o777)
        self.socket.settimeout(seconds(20))

    def wait(self, state):
        while True:
            if state in self.socket.recv(4096).decode().split("\n"):
                return

    def close(self):
        self.socket.close()
        self.path.unlink()


@unittest.skipUnless(os.geteuid() == 0, "needs root: debootstrap, chroot")
@unittest.skipUnless(shutil.which("debootstrap"), "debootstrap isn't installed")
class Package(unittest.TestCase):
    """In the order of a package's life."""

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="pasvgate-deb-"))
        cls.root = Root(BUILD, folder)
        cls.first, cls.second = (build_package(folder, revision) for revision in ("1", "2"))

    def install(self, package):
        shutil.copy(package, self.root.file("/tmp/pasvgate.deb"))
        return self.root.run("dpkg", "--install", "/tmp/pasvgate.deb")[1]

    def owner(self, path):
        return self.root.run("stat", "-c", "%U:%G %a", path)[1].strip()

    def version(self):
        return self.root.run("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "pasvgate")[1]

    def test_1_install(self):
        self.install(self.first)
        self.assertRegex(self.version(), r"^[\d.]+-1 installed$")
        self.assertEqual(self.owner(CONFIG), "root:pasvgate 640")
        self.assertEqual(self.owner("/var/log/pasvgate"), "pasvgate:pasvgate 750")
        self.assertEqual(self.root.run("pasvgate", "check", CONFIG)[1], f"{CONFIG}: ok\n")
        self.assertEqual(self.root.run("dpkg", "--verify", "pasvgate")[1], "")
        for path in ("/usr/share/man/man1/pasvgate.1.gz", "/usr/share/man/man5/pasvgate.json.5.gz",
                     "/usr/share/bash-completion/completions/pasvgate", "/usr/share/doc/pasvgate/copyright"):
            self.assertTrue(self.root.file(path).exists(), path)
        # Not before its administrator has said which server it stands before.
        self.assertNotEqual(self.root.run("systemctl", "is-enabled", "pasvgate", check=False)[0], 0)
        # Into an image, where nobody has mounted /proc.
        done = subprocess.run(["chroot", self.root.path, "/var/lib/dpkg/info/pasvgate.postinst", "configure"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("/proc", done.stdout)

    def test_2_unit(self):
        # Debian 12's systemd finds more in its own units.
        code, said = self.root.run("systemd-analyze", "verify", "--man=no", UNIT, check=False)
        ours = [line for line in said.splitlines() if "pasvgate" in line]
        self.assertEqual((code, ours), (0, []))
        code, said = self.root.run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT,
                                   check=False)
        self.assertEqual(code, 0, said)
        self.assertLessEqual(float(re.search(r"exposure level for pasvgate.service: ([\d.]+)", said)[1]), 2.0)

    def test_3_runs_as_the_unit_says(self):
        """User, capability and notification as in the unit, on port 21."""
        notified = Notified(self.root)
        self.addCleanup(notified.close)
        capability = "net_bind_service"
        process = subprocess.Popen(
            ["unshare", "--net", "chroot", self.root.path, "setpriv", "--reuid=pasvgate", "--regid=pasvgate", "--clear-groups",
             f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}", f"--bounding-set=-all,+{capability}",
             "--no-new-privs", "/usr/bin/pasvgate", "run", CONFIG], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "200000"})
        try:
            notified.wait("READY=1")
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            self.assertNotEqual(status["Uid"].split()[1], "0")
            self.assertEqual((status["CapEff"], status["CapPrm"], status["NoNewPrivs"]),
                             (NET_BIND_SERVICE, NET_BIND_SERVICE, "1"))
            notified.wait("WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            notified.wait("RELOADING=1")
            notified.wait("READY=1")
            process.send_signal(signal.SIGTERM)
            notified.wait("STOPPING=1")
            said = process.communicate(timeout=seconds(20))[0]
            self.assertEqual(process.returncode, 0, said)
            # The priorities of the journal.
            self.assertRegex(said, r"(?m)^<6>.* ready listen=0\.0\.0\.0:21 ")
            self.assertRegex(said, r"(?m)^<6>.* configuration reloaded")
        except BaseException:
            process.kill()
            print(process.communicate()[0], file=sys.stderr)
            raise

    def test_4_under_systemd(self):
        """The unit itself, in all of its sandbox, with a key that only root can read: started, reloaded, stopped."""
        certificate, key = certificates.make(self.root.file("/etc/pasvgate"), "tls")
        for path, name in ((certificate, "tls.crt"), (key, "tls.key")):
            os.chmod(path, 0o600)
            os.rename(path, self.root.file(f"/etc/pasvgate/{name}"))
            self.addCleanup(self.root.file(f"/etc/pasvgate/{name}").unlink)  # not the package's to take away
        drop_in = self.root.file("/etc/systemd/system/pasvgate.service.d")
        drop_in.mkdir()
        shutil.copy(ROOT / "deploy/systemd/tls.conf", drop_in)
        path = self.root.file(CONFIG)
        plain = path.read_text(encoding="utf-8")
        self.addCleanup(path.write_text, plain, encoding="utf-8")
        credential = '"/run/credentials/pasvgate.service/tls.'
        path.write_text(plain.replace('"0.0.0.0:21"', '"0.0.0.0:21", "tls": "optional"').replace('"passive_ports"', (
            f'"tls": {{"certificates": [{{"certificate": {credential}crt", "key": {credential}key"}}]}},\n"passive_ports"')),
            encoding="utf-8")
        said = self.root.boot("""
            systemctl start pasvgate; echo start=$?
            grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/$(systemctl show pasvgate -p MainPID --value)/status
            systemctl reload pasvgate; echo reload=$?
            systemctl stop pasvgate
            systemctl show pasvgate -p Result
            journalctl -u pasvgate --no-pager -o cat""")
        for expected in ("start=0", r"Uid:\t[1-9].*", "CapEff:\t" + NET_BIND_SERVICE, "NoNewPrivs:\t1", "Seccomp:\t2",
                         "reload=0", ".* ready listen=.*", ".* configuration reloaded", "Result=success"):
            self.assertRegex(said, f"(?m)^{expected}$")

    def test_5_upgrade(self):
        """An edited configuration is kept."""
        path = self.root.file(CONFIG)
        path.write_text(path.read_text(encoding="utf-8").replace("192.168.1.10:21", "10.0.0.7:21"), encoding="utf-8")
        self.install(self.second)
        self.assertRegex(self.version(), r"-2 installed$")
        self.assertIn("10.0.0.7:21", path.read_text(encoding="utf-8"))
        self.assertEqual(self.owner(CONFIG), "root:pasvgate 640")

    def test_6_remove(self):
        """What an administrator wrote, and what was logged, stays."""
        self.root.file("/var/log/pasvgate/xferlog").write_text("a line\n", encoding="ascii")
        self.root.run("dpkg", "--remove", "pasvgate")
        self.assertFalse(self.root.file("/usr/bin/pasvgate").exists())
        self.assertFalse(self.root.file(UNIT).exists())
        self.assertTrue(self.root.file(CONFIG).exists())
        self.assertTrue(self.root.file("/var/log/pasvgate/xferlog").exists())

    def test_7_purge(self):
        self.root.run("dpkg", "--purge", "pasvgate")
        left = [path for path in ("/etc/pasvgate", "/var/log/pasvgate", "/usr/share/doc/pasvgate",
                                  "/etc/systemd/system/pasvgate.service") if os.path.lexists(self.root.file(path))]
        self.assertEqual(left, [])
        self.assertEqual(self.root.run("dpkg-query", "-W", "pasvgate", check=False)[0], 1)

    def test_8_install_again(self):
        self.install(self.second)
        self.assertRegex(self.version(), r"-2 installed$")
        self.root.run("systemctl", "enable", "pasvgate")
        self.root.run("dpkg", "--purge", "pasvgate")
        self.assertFalse(os.path.lexists(self.root.file("/etc/systemd/system/multi-user.target.wants/pasvgate.service")))


if __name__ == "__main__":
    tap.main()
