"""The image: what is in it, and that it serves with nothing writable and no privilege."""

import json
import pathlib
import tempfile
import unittest

import container
import tap
from clients import CurlPasv
from container import buildah, podman
from servers import Vsftpd
from waiting import accepts, free_port, free_range, until

REASON = container.why_not()
MIB = 1 << 20


@unittest.skipIf(REASON, REASON)
class Container(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        container.build_image()
        cls.image = json.loads(buildah("inspect", "--type", "image", container.IMAGE))

    def test_what_is_in_it(self):
        size = int(json.loads(podman("image", "inspect", container.IMAGE))[0]["Size"])
        self.assertLess(size, 25 * MIB)
        root = pathlib.Path(podman("image", "mount", container.IMAGE))
        self.addCleanup(podman, "image", "umount", container.IMAGE)
        programs = [path for folder in ("bin", "usr/bin", "sbin", "usr/sbin") for path in (root / folder).glob("*")]
        self.assertEqual([path.name for path in programs], ["pasvgate"])
        self.assertIn("BEGIN CERTIFICATE", (root / "etc/ssl/certs/ca-certificates.crt").read_text("ascii"))
        config = self.image["Docker"]["config"]
        self.assertEqual((config["User"], config["Entrypoint"]), ("65532:65532", ["/usr/bin/pasvgate"]))
        self.assertEqual(config["Healthcheck"]["Test"][1:], ["/usr/bin/pasvgate", "status", "--json"])
        print(f"# {size / MIB:.1f} MiB")

    def test_it_serves(self):
        """Read-only, without a capability, as nobody in particular."""
        body = bytes(range(256)) * 4000
        with Vsftpd() as server, tempfile.TemporaryDirectory(prefix="pasvgate-container-") as folder:
            server.put("file.bin", body)
            port, admin, name = free_port(), free_port(), f"pasvgate-test-{free_port()}"
            with free_range(20) as first:
                podman("run", "--detach", "--name", name, "--read-only", "--cap-drop", "all", "--network", "host",
                       "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000",
                       "-e", f"PASVGATE_ADMIN=127.0.0.1:{admin}", "-e", f"PASVGATE_BACKEND={server.address}",
                       "-e", f"PASVGATE_LISTEN=127.0.0.1:{port}", "-e", f"PASVGATE_PASSIVE_PORTS={first}-{first + 19}",
                       container.IMAGE)
                self.addCleanup(podman, "rm", "--force", name)
                until(lambda: accepts(("127.0.0.1", port)), 20, lambda: podman("logs", name))
            client, got, source = CurlPasv(("127.0.0.1", port)), pathlib.Path(folder, "got"), pathlib.Path(folder, "source")
            client.get("file.bin", got)
            self.assertEqual(got.read_bytes(), body)
            source.write_bytes(body[::-1])
            client.put(source, "put")
            self.assertEqual((server.files / "put").read_bytes(), body[::-1])
            podman("healthcheck", "run", name)

            state = json.loads(podman("inspect", name))[0]["State"]
            status = dict(line.split(":\t", 1) for line in
                          pathlib.Path(f"/proc/{state['Pid']}/status").read_text("ascii").splitlines() if ":\t" in line)
            self.assertEqual(status["Uid"].split(), ["65532"] * 4)
            self.assertEqual(int(status["CapEff"], 16), 0)
            mounts = pathlib.Path(f"/proc/{state['Pid']}/mountinfo").read_text("ascii").splitlines()
            self.assertIn("ro", next(line.split()[5] for line in mounts if line.split()[4] == "/").split(","))

            podman("stop", "--time", "20", name)
            self.assertEqual(json.loads(podman("inspect", name))[0]["State"]["ExitCode"], 0)

            # As the hook of a pod does, without a shell.
            podman("start", name)
            until(lambda: accepts(("127.0.0.1", port)), 20, lambda: podman("logs", name))
            podman("exec", name, "/usr/bin/pasvgate", "drain")
            self.assertEqual(podman("wait", name), "0")


if __name__ == "__main__":
    tap.main()
