"""A small Debian to install into: made once by debootstrap, kept as a tarball below the build folder."""

import contextlib
import fcntl
import os
import pathlib
import re
import subprocess
import unittest
import urllib.request

from waiting import seconds

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# What the package depends on, so that dpkg needs no network; systemd-analyze is in systemd.
PACKAGES = ["systemd", "libuv1", "libssl3", "libprometheus-cpp-core1.0", "libspdlog1.10", "libfmt9", "libcivetweb1",
            "libseccomp2"]


def codename():
    return re.search(r"VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(encoding="utf-8"))[1]


def mirrors():
    """The archives of this machine's own lists that have its release, /etc/apt/sources.list and its folder."""
    folder = pathlib.Path("/etc/apt/sources.list.d")
    for path in [pathlib.Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]:
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".sources":
            for block in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"^(\w[\w-]*):\s*(.+)$", block, re.M))
                if codename() in fields.get("Suites", "").split():
                    yield from fields.get("URIs", "").split()
        else:
            yield from re.findall(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{codename()}\s", text, re.M)


def reachable_mirror():
    for uri in mirrors():
        if not uri.startswith("http"):
            continue
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{uri.rstrip('/')}/dists/{codename()}/InRelease", timeout=10):
                return uri
    raise unittest.SkipTest("no Debian mirror of /etc/apt can be reached, and no root was made before")


def base_tarball(build):
    """Made at the first call."""
    cache = pathlib.Path(build) / "debian-root"
    cache.mkdir(exist_ok=True)
    name = f"{codename()}-{len(PACKAGES)}.tar"
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tarball = cache / name
        if not tarball.exists():
            mirror = reachable_mirror()
            half = cache / "half"
            subprocess.run(["rm", "-rf", half], check=True)
            done = subprocess.run(["debootstrap", "--variant=minbase", f"--keyring={KEYRING}",
                                   f"--include={','.join(PACKAGES)}", codename(), half, mirror],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise AssertionError(f"debootstrap: {done.stdout[-2000:]}{done.stderr}")
            subprocess.run(["tar", "-C", half, "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*",
                            "-cf", f"{tarball}.new", "."], check=True)
            os.rename(f"{tarball}.new", tarball)
            subprocess.run(["rm", "-rf", half], check=True)
    return tarball


# Arguments: the root, the folder of a control group of its own, how that hierarchy is mounted.
BOOT = r"""
echo 0 >"$2/cgroup.procs" || exit 1
exec unshare --cgroup --mount --pid --uts --ipc --net --fork sh -ec '
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp
if [ "$3" = v2 ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs tmpfs sys/fs/cgroup; mkdir sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mkdir -p mnt/old
pivot_root . mnt/old
umount -l /mnt/old
mount --make-rshared /  # else no service sees its credentials
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=console --show-status=0
' sh "$@"
"""


class Root:
    """The unpacked Debian."""

    def __init__(self, build, folder):
        self.path = pathlib.Path(folder) / "root"
        self.path.mkdir()
        subprocess.run(["tar", "-C", self.path, "-xf", base_tarball(build)], check=True)

    def file(self, path):
        return self.path / path.lstrip("/")

    def run(self, *command, check=True):
        """In the root, in namespaces of its own: (exit code, what it said)."""
        enter = f'mount -t proc proc "{self.path}/proc" && exec chroot "{self.path}" "$@"'
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "sh", "-c", enter, "sh", *command], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                                   "LC_ALL": "C.UTF-8"})
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}")
        return done.returncode, done.stdout

    def boot(self, script):
        """systemd as process 1 of the root, with nothing but it seen; what `script` says, which runs as a service."""
        hierarchy = pathlib.Path("/sys/fs/cgroup/systemd")
        kind = "v1" if hierarchy.is_dir() else "v2"
        group = (hierarchy if kind == "v1" else hierarchy.parent) / f"pasvgate-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            raise unittest.SkipTest(f"no control group for systemd: {error}") from None
        self.file("/report.sh").write_text(script + "\nsystemctl exit\n", encoding="ascii")
        self.file("/etc/systemd/system/report.service").write_text(
            "[Service]\nType=oneshot\nExecStart=/bin/sh /report.sh\n"
            "StandardOutput=file:/report\nStandardError=file:/report\n", encoding="ascii")
        self.run("systemctl", "set-default", "multi-user.target")
        self.run("systemctl", "add-wants", "multi-user.target", "report.service")
        try:
            done = subprocess.run(["sh", "-c", BOOT, "sh", self.path, group, kind], stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds(60), check=False)
        finally:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        report = self.file("/report")
        if not report.exists():
            raise AssertionError(f"systemd: {done.returncode}\n{done.stdout}")
        return report.read_text(encoding="utf-8")
