"""A private server behind a NAT, and a client that can reach only the public address."""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

# pylint: disable=wrong-import-position
import clients
import network
import servers
import tap
from harness import BINARY, Gateway
from raw import Raw

PASSIVE = "50000-50019"
PLAIN = [clients.CurlPasv, clients.Ftplib]


class InsideVsftpd(servers.Vsftpd):
    """It says what a server behind a NAT says by itself: its own address."""

    host = network.SERVER


REASON = network.why_not()


@unittest.skipIf(REASON, REASON)
class BehindNat(unittest.TestCase):
    def setUp(self):
        self.net = network.Network()
        self.addCleanup(self.net.close)
        self.server = self.net.run("server", InsideVsftpd)
        self.addCleanup(self.server.stop)
        self.body = random.Random(1).randbytes(3_000_000)
        self.server.put("file.bin", self.body)
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-nat-")
        self.addCleanup(folder.cleanup)
        self.got = pathlib.Path(folder.name, "got")
        self.source = pathlib.Path(folder.name, "source")
        self.source.write_bytes(self.body[::-1])
        self.net.forward(21, PASSIVE, self.server.port)

    def start_gateway(self):
        gateway = self.net.run("gateway", lambda: Gateway(
            self.server.address, passive_ports={"listen": PASSIVE}, advertise={"address": network.PUBLIC},
            listeners=[{"name": "public", "address": "0.0.0.0:21", "backend": "default"}]))
        self.addCleanup(self.net.run, "gateway", lambda: gateway.__exit__(None, None, None))
        return gateway

    def in_client(self, kind, address, work):
        return self.net.run("client", lambda: work(kind((address, 21))))

    def test_through_the_gateway(self):
        self.start_gateway()
        for kind in (clients.Curl, *PLAIN, clients.Lftp):
            with self.subTest(kind.__name__):
                self.got.unlink(missing_ok=True)
                self.in_client(kind, network.PUBLIC, lambda client: client.get("file.bin", self.got))
                self.assertEqual(self.got.read_bytes(), self.body)
                name = f"put-{kind.__name__}"
                self.in_client(kind, network.PUBLIC, lambda client, name=name: client.put(self.source, name))
                self.assertEqual((self.server.files / name).read_bytes(), self.body[::-1])
                self.assertIn(name, self.in_client(kind, network.PUBLIC, lambda client: client.list()))

    def test_what_the_client_is_told(self):
        self.start_gateway()

        def told():
            with Raw((network.PUBLIC, 21)) as client:
                return client.login().pasv()

        address, port = self.net.run("client", told)
        self.assertEqual(address, network.PUBLIC)
        self.assertIn(port, range(50000, 50020))

    def test_directly_forwarded_fails(self):
        """The same transfers with the ports forwarded to the server itself: the inside address is unreachable."""
        for kind in PLAIN:
            with self.subTest(kind.__name__):
                with self.assertRaises((AssertionError, OSError)):
                    self.in_client(kind, network.PUBLIC_DIRECT, lambda client: client.get("file.bin", self.got))
        # The control connection works all the same: it is the address in 227 that breaks it.
        def told():
            with Raw((network.PUBLIC_DIRECT, 21)) as client:
                return client.login().pasv()[0]

        self.assertEqual(self.net.run("client", told), network.SERVER)

    def probe(self, address):
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(servers.PASSWORD + "\n")
            password.flush()
            return self.net.run("client", lambda: subprocess.run(
                [BINARY, "probe", address, "--user", servers.USER, "--password-file", password.name, "--timeout", "2",
                 "--json"], capture_output=True, text=True, check=False, timeout=60))

    def test_probe(self):
        """From the client's place: the NAT mismatch of the server, a firewall that drops, and nothing at the gateway."""
        done = self.probe(network.PUBLIC_DIRECT)
        findings = [finding["id"] for finding in json.loads(done.stdout)["findings"]]
        self.assertEqual((done.returncode, findings), (1, ["pasv_inside_address"]))
        self.assertIn(f"inside address {network.SERVER} in its 227, but is reached at {network.PUBLIC_DIRECT}", done.stdout)
        self.assertIn(f"The same port answers at {network.PUBLIC_DIRECT}, so the address alone is wrong.", done.stdout)
        self.start_gateway()
        done = self.probe(network.PUBLIC)
        self.assertEqual((done.returncode, json.loads(done.stdout)["findings"]), (0, []))
        drop = f"table inet closed {{ chain input {{ type filter hook input priority 0; tcp dport {PASSIVE} drop; }}; }}"
        self.net.run("gateway", lambda: subprocess.run(["nft", "-f", "-"], input=drop, text=True, check=True))
        done = self.probe(network.PUBLIC)
        findings = json.loads(done.stdout)["findings"]
        self.assertEqual((done.returncode, [finding["id"] for finding in findings]), (1, ["pasv_port"]))
        self.assertIn("a firewall drops it", findings[0]["text"])


if __name__ == "__main__":
    tap.main()
