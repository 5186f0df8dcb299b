"""The files of conf/ as people start from them: `check` takes each, and a real client gets through to a real server.

Only addresses, ports and files' paths are replaced. conf/transparent.json is in tests/nat/test_transparent.py.
"""

import pathlib
import subprocess
import tempfile
import unittest

import certificates
import clients
import tap
from harness import BINARY, ROOT, Gateway, read_config
from servers import Vsftpd

CONF = ROOT / "conf"
BODY = bytes(range(256)) * 4000


def sections_of(name):
    """The example for a gateway on loopback: its listeners, servers and files where the test has them."""
    config = read_config(CONF / f"{name}.json")
    for listener in config["listeners"]:
        listener["address"] = "[::1]:0" if listener["address"].startswith("[") else "127.0.0.1:0"
    config.get("advertise", {})["address"] = "127.0.0.1"
    config.get("passive_ports", {}).pop("listen", None)
    config["admin"] = {"address": "127.0.0.1:0"}
    if "tls" in config:
        certificate, key = certificates.files("localhost")
        config["tls"]["certificates"] = [{"certificate": certificate, "key": key}]
    config["log"] = {"format": "json"}
    return config


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Vsftpd()
        cls.addClassCleanup(cls.server.stop)
        cls.server.put("file.bin", BODY)
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-examples-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)

    def gateway(self, config, **more):
        for backend in config["backends"].values():
            backend["servers"] = [self.server.address]
        return Gateway([], ports=100, **config, **more)

    def check(self, client, server=None):
        """A listing, a download and an upload."""
        server = server or self.server
        got, source = self.folder / "got", self.folder / "source"
        got.unlink(missing_ok=True)
        source.write_bytes(BODY[::-1])
        self.assertIn("file.bin", client.list())
        client.get("file.bin", got)
        self.assertEqual(got.read_bytes(), BODY)
        name = f"put-{type(client).__name__}-{client.port}"
        client.put(source, name)
        self.assertEqual((server.files / name).read_bytes(), BODY[::-1])

    def test_check_takes_each(self):
        """As `pasvgate check` sees them on a machine that has their files."""
        names = sorted(path.stem for path in CONF.glob("*.json") if path.stem != "openapi")
        self.assertEqual(names, ["by_user", "ftps", "ipv6", "minimal", "pasvgate", "sidecar", "transparent"])
        certificate, key = certificates.files("localhost")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("tls.crt", pathlib.Path(certificate).read_bytes()),
                                  ("tls.key", pathlib.Path(key).read_bytes()), ("routes.json", b"[]"), ("users", b"")):
                pathlib.Path(folder, name).write_bytes(content)
            for name in names:
                file = pathlib.Path(folder, "config.json")
                file.write_text((CONF / f"{name}.json").read_text("utf-8").replace("/etc/pasvgate", folder), encoding="utf-8")
                done = subprocess.run([BINARY, "check", file], capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual((name, done.returncode, done.stderr), (name, 0, ""))

    def test_minimal(self):
        with self.gateway(sections_of("minimal")) as gateway:
            self.check(clients.CurlPasv(gateway.address))

    def test_sidecar(self):
        with self.gateway(sections_of("sidecar"), environment={"PASVGATE_PASSIVE_PORTS_ADVERTISE": "{ports}"}) as gateway:
            self.check(clients.CurlPasv(gateway.address))
            self.assertEqual(gateway.get("/readyz")[0], 200)

    def test_ftps(self):
        config = sections_of("ftps")
        with self.gateway(config) as gateway:
            client = clients.CurlTls(gateway.address)  # The harness takes the last one's port.
            client.implicit = True
            self.check(client)
        config["listeners"].reverse()
        with self.gateway(config) as gateway:
            self.check(clients.CurlTls(gateway.address))
            with self.assertRaises(AssertionError):
                clients.CurlPasv(gateway.address).list()

    def test_by_user(self):
        config = sections_of("by_user")
        routes = config["listeners"][0]["routes"]
        with Vsftpd() as web:
            web.put("file.bin", BODY)
            with self.gateway(config) as gateway:
                self.check(clients.CurlPasv(gateway.address))
            routes[0]["user"][1] = "tester"  # for deploy
            for backend in config["backends"].values():
                backend["servers"] = [self.server.address]
            config["backends"]["web"]["servers"] = [web.address]
            with Gateway([], ports=100, **config) as gateway:
                self.check(clients.CurlPasv(gateway.address), web)

    def test_ipv6(self):
        config = sections_of("ipv6")
        config["advertise"]["address"] = ["127.0.0.1", "::1"]
        with self.gateway(config) as gateway:
            client = clients.Curl(gateway.address)
            client.url = f"ftp://[::1]:{client.port}/"
            self.check(client)
        config["listeners"].reverse()
        with self.gateway(config) as gateway:
            self.check(clients.CurlPasv(gateway.address))


if __name__ == "__main__":
    tap.main()
