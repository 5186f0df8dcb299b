"""PROXY headers to backends: on control connections, before TLS, and on data connections where they are wanted."""

import socket
import struct
import unittest

import certificates
import servers
import tap
from harness import Gateway
from raw import Raw
from stub import Stub, StubSession
from stub_tls import TlsStub, TlsStubSession
from waiting import until

CLIENT = "127.0.0.5"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionAbortedError(f"closed after {data}")
        data += part
    return data


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_header(sock):
    """(version, source, destination) of the header that a connection begins with, each an (address, port)."""
    first = read_exactly(sock, 12)
    if first != V2:
        assert first.startswith(b"PROXY TCP"), first
        while not first.endswith(b"\r\n"):
            first += read_exactly(sock, 1)
        _, _, source, destination, source_port, destination_port = first.decode().split()
        return "v1", (source, int(source_port)), (destination, int(destination_port))
    fixed = read_exactly(sock, 4)
    command, kind, size = struct.unpack(">BBH", fixed)
    assert command == 0x21, command
    family, length = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[kind]
    block = read_exactly(sock, size)
    tlvs = block[2 * length + 4:]
    assert tlvs[:3] == b"\x03\x00\x04", tlvs
    assert tlvs[3:] == struct.pack(">I", crc32c(first + fixed + block[:-4] + bytes(4))), "CRC32c"
    ports = struct.unpack(">HH", block[2 * length:2 * length + 4])
    addresses = [socket.inet_ntop(family, block[:length]), socket.inet_ntop(family, block[length:2 * length])]
    return "v2", (addresses[0], ports[0]), (addresses[1], ports[1])


class HeaderSession(StubSession):
    """Wants a header on its control connection, and on data where the stub keeps `data_headers`."""

    def run(self):
        self.stub.headers.append(read_header(self.sock))
        super().run()

    def accept(self):
        data = super().accept()
        if self.stub.data_headers is not None:
            self.stub.data_headers.append(read_header(data))
        return data


class HeaderStub(Stub):
    session_class = HeaderSession

    def __init__(self, data=False, **options):
        self.headers, self.data_headers = [], [] if data else None
        super().__init__(**options)


class TlsHeaderSession(TlsStubSession):
    def run(self):
        self.stub.headers.append(read_header(self.sock))
        super().run()


class TlsHeaderStub(TlsStub):
    session_class = TlsHeaderSession

    def __init__(self, **options):
        self.headers = []
        super().__init__(**options)


def gateway_for(stub, version, **backend):
    return Gateway(stub.address, backends={"default": {"proxy_protocol": version, **backend}})


class Control(unittest.TestCase):
    def test_header_comes_first(self):
        for version in ("v1", "v2"):
            with self.subTest(version), HeaderStub() as stub, gateway_for(stub, version) as gateway, \
                    Raw(gateway.address, source=CLIENT) as client:
                client.login()
                self.assertEqual(stub.headers, [(version, client.sock.getsockname(), client.sock.getpeername())])
                # Data connections have none.
                self.assertEqual(client.transfer("STOR up", b"payload"), (b"", 226))
                self.assertEqual(stub.files["up"], b"payload")

    def test_ipv6(self):
        listener = [{"name": "public", "address": "[::1]:0"}]
        for version in ("v1", "v2"):
            with self.subTest(version), HeaderStub() as stub, \
                    Gateway(stub.address, listeners=listener,
                            backends={"default": {"proxy_protocol": version}}) as gateway, \
                    Raw(gateway.address) as client:
                client.login()
                self.assertEqual(stub.headers, [(version, client.sock.getsockname()[:2],
                                                 client.sock.getpeername()[:2])])

    def test_before_tls(self):
        for mode in ("explicit", "implicit"):
            with self.subTest(mode), TlsHeaderStub(implicit=mode == "implicit") as stub:
                sections = certificates.tls_sections("off", mode, backend={"proxy_protocol": "v2"})
                sections["backends"]["default"]["servers"] = [stub.address]
                with Gateway(stub.address, **sections) as gateway, Raw(gateway.address, source=CLIENT) as client:
                    client.login()
                    self.assertEqual(stub.headers[0][1], client.sock.getsockname())
                    self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))


class Data(unittest.TestCase):
    def test_passive_client(self):
        for version in ("v1", "v2"):
            with self.subTest(version), HeaderStub(data=True) as stub, \
                    gateway_for(stub, version, proxy_protocol_data=True) as gateway, \
                    Raw(gateway.address, source=CLIENT) as client:
                endpoint = client.login().pasv()
                data = client.connect(endpoint)
                source = data.getsockname()
                self.assertEqual(client.command("STOR up").code, 150)
                self.assertEqual(client.finish(data, b"payload" * 50_000)[1], 226)
                self.assertEqual(stub.data_headers, [(version, source, endpoint)])
                self.assertEqual(stub.files["up"], b"payload" * 50_000)
                # The next one has a header of its own.
                self.assertEqual(client.transfer("RETR hello.txt", verb="EPSV"), (b"hello\r\n", 226))
                self.assertEqual(len(stub.data_headers), 2)
                self.assertNotEqual(stub.data_headers[1], stub.data_headers[0])

    def test_active_client_passive_backend(self):
        with HeaderStub(data=True) as stub, \
                gateway_for(stub, "v2", proxy_protocol_data=True, data_mode="passive") as gateway, \
                Raw(gateway.address, source=CLIENT) as client:
            client.login()
            self.assertEqual(client.transfer("RETR hello.txt", verb="PORT"), (b"hello\r\n", 226))
            self.assertEqual(stub.data_headers, stub.headers)


class Chain(unittest.TestCase):
    def test_a_gateway_behind_a_gateway(self):
        """What one writes the other reads, to a real server at the end."""
        trusted = {"proxy_from": ["127.0.0.1/32"]}
        for version in ("v1", "v2"):
            with self.subTest(version), servers.Vsftpd() as server, \
                    Gateway(server.address, listeners=[{"name": "inner", "address": "127.0.0.1:0", **trusted}],
                            passive_ports=trusted) as inner, \
                    Gateway(f"127.0.0.1:{inner.port}",
                            backends={"default": {"proxy_protocol": version, "proxy_protocol_data": True}}) as outer:
                with Raw(outer.address, source=CLIENT) as client:
                    client.login("tester", "secret")
                    body = bytes(range(256)) * 5000
                    client.command("TYPE I")
                    self.assertEqual(client.transfer("STOR up", body)[1], 226)
                    self.assertEqual(client.transfer("RETR up"), (body, 226))
                    self.assertEqual((server.files / "up").read_bytes(), body)
                    until(lambda c=client: f'"client":"{CLIENT}:{c.sock.getsockname()[1]}"' in inner.log_text(), 5,
                          "the client in the inner log")
                    self.assertEqual(inner.metric("proxy_headers_total", result="ok"), 3)


if __name__ == "__main__":
    tap.main()
