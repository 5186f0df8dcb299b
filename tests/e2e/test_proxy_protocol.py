"""PROXY headers from proxies that are trusted, and from nobody else. HAProxy in front, and headers made by hand."""

import pathlib
import random
import signal
import socket
import struct
import tempfile
import unittest

import certificates
import clients
import haproxy
import servers
import tap
from harness import Gateway
from raw import Raw, read_all
from raw_tls import RawTls
from stub import Stub
from waiting import seconds, until

PROXY = "127.0.0.8"  # from where headers are believed, as from haproxy.SOURCE
STRANGER = "127.0.0.5"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, port=4242, destination="198.51.100.1"):
    return f"PROXY TCP4 {source} {destination} {port} 21\r\n".encode()


def v2(source, port=4242, destination="198.51.100.1", tlvs=b""):
    block = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", port, 21) + tlvs
    return V2 + b"\x21\x11" + struct.pack(">H", len(block)) + block


def behind_proxy(backend, *, ports=20, listener=None, **sections):
    """A gateway that believes the proxies' headers."""
    trusted = {"proxy_from": [f"{PROXY}/32", f"{haproxy.SOURCE}/32"]}
    listener = {"name": "public", "address": "127.0.0.1:0", **trusted, **(listener or {})}
    sections["passive_ports"] = {**trusted, **sections.get("passive_ports", {})}
    return Gateway(backend, ports=ports, listeners=[listener], **{"advertise": {"address": None}, **sections})


def dial(address, source):
    sock = socket.create_connection(address, timeout=seconds(10), source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def is_reset(sock):
    try:
        return sock.recv(1) == b"" and "closed in order"
    except ConnectionResetError:
        return True


class Proxied(Raw):
    """A client whose connections begin with a header of its own making."""

    def __init__(self, address, header, data_header=None, **options):
        self.header, self.data_header = header, data_header
        super().__init__(address, source=PROXY, **options)

    def connect(self, address):
        sock = super().connect(address)
        first = address == self.address
        header = self.header if first else self.data_header
        if header:
            sock.sendall(header)
        return sock


class ThroughHaProxy(unittest.TestCase):
    def test_real_clients_and_server(self):
        body = random.Random(6).randbytes(2_000_000)
        with tempfile.TemporaryDirectory(prefix="pasvgate-proxy-") as folder, servers.Vsftpd() as server:
            server.put("file.bin", body)
            got, source = pathlib.Path(folder, "got"), pathlib.Path(folder, "source")
            source.write_bytes(body[::-1])
            for version in ("v1", "v2"):
                with behind_proxy(server.address) as gateway, haproxy.HaProxy(gateway, version) as proxy:
                    for kind in (clients.Curl, clients.CurlPasv, clients.Lftp, clients.Ftplib):
                        with self.subTest(f"{version} {kind.__name__}"):
                            client = kind(proxy.address)
                            got.unlink(missing_ok=True)
                            client.get("file.bin", got)
                            self.assertEqual(got.read_bytes(), body)
                            name = f"put-{version}-{kind.__name__}"
                            client.put(source, name)
                            self.assertEqual((server.files / name).read_bytes(), body[::-1])
                    self.assertEqual(gateway.metric("proxy_headers_total", result="malformed"), 0)

    def test_the_header_s_client_counts(self):
        """In the log, in what is told, and for the lease; the proxy's own address for none of it."""
        rules = {"address": None, "rules": [{"clients": ["127.0.0.6/32"], "address": "127.0.0.77"}]}
        for version in ("v1", "v2"):
            with self.subTest(version), Stub() as stub, behind_proxy(stub.address, advertise=rules) as gateway, \
                    haproxy.HaProxy(gateway, version) as proxy, \
                    Raw(proxy.address, source="127.0.0.5") as client, Raw(proxy.address, source="127.0.0.6") as other:
                gateway.wait_log('"client":"127.0.0.5:%d"' % client.sock.getsockname()[1])
                endpoint = client.login().pasv()
                self.assertEqual(endpoint[0], haproxy.HOST)  # what was dialled
                self.assertEqual(other.login().pasv()[0], "127.0.0.77")
                # The other client has no lease on this client's port, though both come through the same proxy.
                with dial(endpoint, "127.0.0.66"):
                    gateway.wait_metric("data_rejected_total", 1, reason="no_lease")
                data = client.connect(endpoint)
                self.assertEqual(client.command("RETR hello.txt").code, 150)
                self.assertEqual(client.finish(data, None), (b"hello\r\n", 226))
                self.assertEqual(client.transfer("STOR up", b"x" * 300_000)[1], 226)
                self.assertEqual(stub.files["up"], b"x" * 300_000)

    def test_ipv6_client(self):
        """The gateway itself has no IPv6 here."""
        with Stub() as stub, behind_proxy(stub.address, backends={"default": {"data_mode": "passive"}}) as gateway, \
                haproxy.HaProxy(gateway, "v2") as proxy, Raw(proxy.address6) as client:
            client.login()
            self.assertEqual(client.transfer("RETR hello.txt", verb="EPSV"), (b"hello\r\n", 226))
            self.assertEqual(client.command("PASV").code, 522)  # no IPv4 address for it
            gateway.wait_log('"client":"[::1]:')
            # Active: the gateway has no IPv6 address of this connection's to come from, any will do.
            self.assertEqual(client.transfer("RETR hello.txt", verb="EPRT"), (b"hello\r\n", 226))

    def test_implicit_tls(self):
        sections = certificates.tls_sections()
        listener = {"tls": "implicit"}
        with Stub() as stub, behind_proxy(stub.address, listener=listener, tls=sections["tls"]) as gateway, \
                haproxy.HaProxy(gateway, "v2") as proxy:
            with RawTls(proxy.address, implicit=True) as client:
                client.login()
                self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
            self.assertEqual(gateway.metric("proxy_headers_total", result="malformed"), 0)


class ByHand(unittest.TestCase):
    def test_bytes_behind_the_header_are_the_client_s(self):
        for header in (v1("192.0.2.1"), v2("192.0.2.1"), v2("192.0.2.1", tlvs=b"\x04\x01\x00" + b"n" * 256)):
            with self.subTest(header[:20]), Stub() as stub, behind_proxy(stub.address) as gateway:
                with Proxied(gateway.address, header + b"USER tester\r\nPASS secret\r\n") as client:
                    self.assertEqual([client.reply().code, client.reply().code], [331, 230])
                    client.data_header = header
                    self.assertEqual(client.command("PASV").text.count("198,51,100,1"), 1)
                    endpoint = (gateway.address[0], client.epsv()[1])
                    data = client.connect(endpoint)
                    self.assertEqual(client.command("STOR up").code, 150)
                    self.assertEqual(client.finish(data, b"payload")[1], 226)
                    self.assertEqual(stub.files["up"], b"payload")

    def test_byte_by_byte(self):
        for header in (v1("192.0.2.1"), v2("192.0.2.1")):
            with Stub() as stub, behind_proxy(stub.address) as gateway, dial(gateway.address, PROXY) as sock:
                before = gateway.cpu_seconds()
                for at in range(len(header)):
                    sock.sendall(header[at:at + 1])
                sock.settimeout(seconds(10))
                self.assertEqual(sock.recv(3), b"220")
                self.assertLess(gateway.cpu_seconds() - before, seconds(1))
                gateway.wait_log('"client":"192.0.2.1:4242"')

    def test_own_addresses_count(self):
        headers = (V2 + b"\x20\x00\x00\x00", V2 + b"\x20\x11\x00\x0c" + b"\xff" * 12, b"PROXY UNKNOWN\r\n",
                   b"PROXY UNKNOWN ::1 ::1 1 1\r\n", V2 + b"\x21\x00\x00\x00", V2 + b"\x21\x31\x00\xd8" + b"/" * 216)
        with Stub() as stub, behind_proxy(stub.address) as gateway:
            for header in headers:
                with self.subTest(header[:20]), Proxied(gateway.address, header, b"PROXY UNKNOWN\r\n") as client:
                    client.login()
                    self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
            gateway.wait_log(f'"client":"{PROXY}:')
            self.assertEqual(gateway.metric("proxy_headers_total", result="own"), 2 * len(headers))

    def test_malformed(self):
        headers = (b"USER tester\r\n", b"PROXY TCP4 192.0.2.1\r\n", b"PROXY TCP4 192.0.2.1 1.2.3.4 99999 21\r\n",
                   b"PROXY UNKNOWN " + b"x" * 200, V2[:11] + b"X", V2 + b"\x31\x11\x00\x0c" + b"\0" * 12,
                   V2 + b"\x21\x11\xff\xff", v2("192.0.2.1", tlvs=b"\x03\x00\x04\0\0\0\0"),
                   v2("192.0.2.1", tlvs=b"\x04\xff"))
        with Stub() as stub, behind_proxy(stub.address, workers=1) as gateway:
            for count, header in enumerate(headers, 1):
                with self.subTest(header[:20]), dial(gateway.address, PROXY) as sock:
                    sock.sendall(header)
                    self.assertIs(is_reset(sock), True)
                    self.assertEqual(gateway.metric("proxy_headers_total", result="malformed"), count)
            self.assertEqual(stub.sessions, [])
            # One line tells of all of them.
            self.assertEqual(gateway.log_text().count("connection without its PROXY header"), 1)

    def test_missing(self):
        with Stub() as stub, behind_proxy(stub.address, timeouts={"proxy_header": "200ms"}) as gateway:
            with dial(gateway.address, PROXY) as silent, dial(gateway.address, PROXY) as slow:
                slow.sendall(v1("192.0.2.1")[:-1])
                self.assertIs(is_reset(silent), True)
                self.assertIs(is_reset(slow), True)
            gateway.wait_metric("proxy_headers_total", 2, result="timeout")
            dial(gateway.address, PROXY).close()
            gateway.wait_metric("proxy_headers_total", 1, result="closed")
            self.assertEqual(stub.sessions, [])

    def test_data_connections(self):
        """Malformed and missing headers there, and one of another client."""
        with Stub() as stub, behind_proxy(stub.address, timeouts={"proxy_header": "200ms"}) as gateway, \
                Proxied(gateway.address, v2("192.0.2.1"), v2("192.0.2.1", 5)) as client:
            endpoint = (gateway.address[0], client.login().epsv()[1])
            for header, name, labels in ((b"RETR\r\n", "proxy_headers_total", {"result": "malformed"}),
                                         (b"", "proxy_headers_total", {"result": "timeout"}),
                                         (v2("192.0.2.2"), "data_rejected_total", {"reason": "no_lease"})):
                with dial(endpoint, PROXY) as sock:
                    sock.sendall(header)
                    self.assertIs(is_reset(sock), True)
                gateway.wait_metric(name, 1, **labels)
            # From elsewhere no header is read, and the address is its own.
            with Raw(gateway.address, source=STRANGER) as stranger:
                self.assertTrue(stranger.is_reset_at(endpoint))
            gateway.wait_metric("data_rejected_total", 2, reason="no_lease")
            # The lease has survived all of them.
            data = client.connect(endpoint)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(client.finish(data, None), (b"hello\r\n", 226))

    def test_stranger_s_header_is_a_command(self):
        with Stub() as stub, behind_proxy(stub.address) as gateway:
            with Raw(gateway.address, source=STRANGER) as client:
                self.assertEqual(client.greeting.code, 220)
                client.send(v1("192.0.2.1"))
                self.assertEqual(client.reply().code, 502)
                self.assertEqual(stub.commands, [v1("192.0.2.1").decode().strip()])
                client.login()
                # The lease is its own, and a header on its data connection is payload.
                self.assertEqual(client.transfer("STOR up", v1("192.0.2.1"))[1], 226)
                self.assertEqual(stub.files["up"], v1("192.0.2.1"))
            self.assertNotIn("192.0.2.1:", gateway.log_text())
            self.assertEqual(sum(value for _, value in gateway.metrics()["pasvgate_proxy_headers_total"]), 0)


class Waiting(unittest.TestCase):
    def test_counts_as_a_session(self):
        with Stub() as stub, behind_proxy(stub.address, limits={"sessions": 1}) as gateway:
            with dial(gateway.address, PROXY) as waits:
                until(lambda: Raw(gateway.address, source=STRANGER).greeting.code == 421, 5, "421")
                waits.sendall(v1("192.0.2.1"))
                self.assertEqual(waits.recv(3), b"220")
                with Raw(gateway.address, source=STRANGER) as client:
                    self.assertEqual(client.greeting.code, 421)

            def served():
                with Raw(gateway.address, source=STRANGER) as client:
                    return client.greeting.code == 220
            until(served, 5, "the place is free again")
            # A malformed header gives its place back too.
            def refused():
                with dial(gateway.address, PROXY) as sock:
                    sock.sendall(b"X")
                    return is_reset(sock) is True
            until(refused, 5, "the place is free again")
            until(served, 5, "the place is free again")

    def test_reload_takes_the_listener_away(self):
        with Stub() as stub, behind_proxy(stub.address) as gateway, dial(gateway.address, PROXY) as waits, \
                dial(gateway.address, PROXY) as idle:
            half = v2("192.0.2.1")
            waits.sendall(half[:20])
            until(lambda: gateway.fds() >= gateway.start_fds + 2, 5, "both accepted")
            other = {**gateway.config, "listeners": [{"name": "other", "address": "127.0.0.1:0"}]}
            gateway.write_config(other)
            gateway.signal(signal.SIGHUP)
            gateway.wait_log("configuration reloaded")
            waits.sendall(half[20:])
            self.assertEqual(waits.recv(3), b"220")
            idle.close()
            waits.close()

    def test_drain_and_stop(self):
        """Those that wait for a header end at once; a data connection's may still come."""
        with Stub() as stub, behind_proxy(stub.address) as gateway, \
                Proxied(gateway.address, v2("192.0.2.1"), v2("192.0.2.1", 5)) as client, \
                dial(gateway.address, PROXY) as waits:
            stub.files["big"] = b"b" * 1_000_000
            endpoint = (gateway.address[0], client.login().epsv()[1])
            client.send("RETR big\r\n")
            self.assertEqual(client.reply().code, 150)
            with dial(endpoint, PROXY) as data:
                until(lambda: gateway.metric("proxy_headers_total") >= 1, 5, "control header")
                gateway.signal(signal.SIGTERM)
                self.assertIs(is_reset(waits), True)
                data.sendall(v2("192.0.2.1", 5))
                self.assertEqual(len(read_all(data)), 1_000_000)
            self.assertEqual(client.reply().code, 226)
            self.assertEqual(gateway.wait_exit(), 0)

    def test_second_signal(self):
        with Stub() as stub, behind_proxy(stub.address) as gateway, \
                Proxied(gateway.address, v2("192.0.2.1"), v2("192.0.2.1", 5)) as client:
            endpoint = (gateway.address[0], client.login().epsv()[1])
            client.send("RETR hello.txt\r\n")
            self.assertEqual(client.reply().code, 150)
            with dial(endpoint, PROXY) as data:
                data.sendall(b"PROXY TCP4 ")
                gateway.signal(signal.SIGTERM)
                gateway.wait_log("draining")
                gateway.signal(signal.SIGTERM)
                self.assertEqual(gateway.wait_exit(), 0)
                self.assertIs(is_reset(data), True)


if __name__ == "__main__":
    tap.main()
