"""Builds deploy/Containerfile with buildah and runs it with podman; all that they keep is in the build folder.

No registry is asked: the base is the Debian 12 that debootstrap makes once for the package too. The program is the one under test; with
PASVGATE_TEST_CONTAINER=build it is compiled in the image's build stage, as on anybody's machine.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

# pylint: disable=wrong-import-position
import debian_root
from harness import BINARY, ROOT

FOLDER = pathlib.Path(os.environ.get("PASVGATE_BUILD", ROOT / "build"), "container")
STORE = ["--root", FOLDER / "store", "--runroot", FOLDER / "run", "--storage-driver", "vfs"]
BASE = "localhost/pasvgate-base"
IMAGE = "localhost/pasvgate"


def why_not():
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("buildah", "podman", "runc", "debootstrap") if not shutil.which(name)]
    return f"no {' and no '.join(missing)}" if missing else None


def run(*command, timeout=900):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.strip()


def buildah(*arguments):
    return run("buildah", *STORE, *arguments)


def podman(*arguments):
    """With cgroups of version 1 and no systemd too, as in a virtual machine without either."""
    return run("podman", *STORE, "--cgroup-manager=cgroupfs", "--runtime", "runc", *arguments)


def make_base():
    """A minimal Debian 12 with this machine's package sources, once."""
    if BASE in buildah("images", "--format", "{{.Name}}").split():
        return
    etc_apt = pathlib.Path("/etc/apt")
    root = FOLDER / "base"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    run("tar", "-C", root, "-xf", debian_root.base_tarball(FOLDER.parent))
    for name in ("sources.list", "sources.list.d", "apt.conf.d", "trusted.gpg.d", "auth.conf.d"):
        source, target = etc_apt / name, root / "etc/apt" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, target)
    for keyring in pathlib.Path("/usr/share/keyrings").glob("*"):
        shutil.copy(keyring, root / "usr/share/keyrings")
    container = buildah("from", "scratch")
    buildah("add", container, root, "/")
    buildah("commit", "--rm", container, BASE)
    shutil.rmtree(root)


def build_image():
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_base()
        how = []
        if os.environ.get("PASVGATE_TEST_CONTAINER") != "build":
            given = FOLDER / "given"
            given.mkdir(exist_ok=True)
            shutil.copy(BINARY, given / "pasvgate")
            how = ["--build-context", f"build={given}"]
        buildah("bud", "--layers", "--format", "docker", "--isolation", "chroot", "--build-arg", f"BASE={BASE}", *how,
                "-f", ROOT / "deploy/Containerfile", "-t", IMAGE, ROOT)
