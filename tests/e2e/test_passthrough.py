"""TLS from end to end through the gateway: control and data go by unread, sessions in clear are still rewritten."""

import contextlib
import json
import pathlib
import random
import signal
import socket
import ssl
import tempfile
import time
import unittest
import urllib.request

import certificates
import clients
import servers
import tap
from harness import Gateway
from raw import Raw, read_all, reset
from raw_tls import RawTls, lines_with, underneath
from stub_tls import TlsStub, TlsStubSession
from waiting import free_port, seconds, until

BACKEND = "127.0.0.20"  # has the same ports as the gateway, at its own address
PORTS = 20
CLIENT = "127.0.0.5"
BEYOND_BUFFERS = 40_000_000  # of all the kernels on the way: it moves until the client has read


class InRange(TlsStubSession):
    """Its passive ports are the stub's `range`, in turn, and it tells the public address."""

    def listen(self, host=None):
        self.drop_listener()
        port = self.stub.range[self.stub.opened % len(self.stub.range)]
        self.stub.opened += 1
        self.listener = socket.create_server((self.sock.getsockname()[0], port))
        self.listener.settimeout(seconds(10))
        return port


class RangeStub(TlsStub):
    session_class = InRange

    def __init__(self):
        self.range, self.opened = [], 0
        super().__init__(host=BACKEND)
        self.inside = "127,0,0,1"


def passing(backend, **sections):
    """A gateway with the backend's ports: `backend` gets the first one and answers with a server's address."""
    listener = {"name": "public", "address": "127.0.0.1:0", "tls": "passthrough"}
    return Gateway(backend, ports=PORTS, listeners=[listener], passive_ports={"mapping": "same"}, **sections)


@contextlib.contextmanager
def with_stub(**sections):
    def address(first):
        stub.range = list(range(first, first + PORTS))
        return stub.address
    with RangeStub() as stub, passing(address, **sections) as gateway:
        yield stub, gateway


def is_open(gateway, port):
    """Also when it resets us: a port without a lease does so behind the handshake."""
    try:
        Raw((gateway.address[0], port), source=CLIENT, greeting=False).close()
        return True
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        return True


class RangedVsftpd(servers.Vsftpd):
    """With the public address and the public ports."""

    first = 0

    def command(self):
        program, config = super().command()
        text = config.read_text(encoding="utf-8").replace(f"pasv_address={servers.INSIDE}", "pasv_address=127.0.0.1")
        config.write_text(f"{text}pasv_min_port={self.first}\npasv_max_port={self.first + PORTS - 1}\n", encoding="utf-8")
        return [program, config]


class RangedProFtpd(servers.ProFtpd):
    first = 0

    def command(self):
        program, *options, config = super().command()
        text = config.read_text(encoding="utf-8").replace(servers.INSIDE, "127.0.0.1")
        config.write_text(f"{text}PassivePorts {self.first} {self.first + PORTS - 1}\n", encoding="utf-8")
        return [program, *options, config]


class RealServers(unittest.TestCase):
    def check(self, server_class):
        body = random.Random(8).randbytes(2_000_000)

        def start(first):
            server_class.first = first
            self.server = server_class(host=BACKEND, tls="explicit")
            self.addCleanup(self.server.stop)
            return self.server.address

        with tempfile.TemporaryDirectory(prefix="pasvgate-pass-") as folder, passing(start) as gateway:
            self.server.put("file.bin", body)
            got, source = pathlib.Path(folder, "got"), pathlib.Path(folder, "source")
            source.write_bytes(body[::-1])
            for kind in (clients.CurlTls, clients.LftpTls, clients.FtplibTls):
                with self.subTest(kind.__name__):
                    got.unlink(missing_ok=True)
                    kind(gateway.address).get("file.bin", got)
                    self.assertEqual(got.read_bytes(), body)
                    # The others may leave the server's TLS 1.3 tickets unread, and their close is a reset then: without a
                    # gateway too (H11).
                    if kind is not clients.FtplibTls:
                        continue
                    name = f"put-{kind.__name__}"
                    kind(gateway.address).put(source, name)
                    self.assertEqual((self.server.files / name).read_bytes(), body[::-1])
                    self.assertIn(name, kind(gateway.address).list())
            with RawTls(gateway.address) as client:
                with open(certificates.files("localhost")[0], encoding="ascii") as file:
                    self.assertEqual(client.certificate(), ssl.PEM_cert_to_DER_cert(file.read()))
            self.assertEqual(gateway.metric("tls_handshakes_total"), 0)

    def test_vsftpd(self):
        self.check(RangedVsftpd)

    def test_proftpd(self):
        self.check(RangedProFtpd)


class InClear(unittest.TestCase):
    def test_rewritten_with_the_same_port(self):
        with with_stub() as (stub, gateway), Raw(gateway.address, source=CLIENT) as client:
            stub.inside = "192,168,1,10"
            client.login()
            for count in range(3):
                self.assertEqual(client.pasv(), ("127.0.0.1", stub.range[count]))
            self.assertEqual(client.epsv()[1], stub.range[3])
            self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
            self.assertEqual(client.transfer("STOR up", b"payload", verb="EPSV")[1], 226)
            self.assertEqual(stub.files["up"], b"payload")
            self.assertEqual(gateway.metric("port_leases_total", result="accepted"), 2)

    def test_port_outside_the_range(self):
        with with_stub() as (stub, gateway), Raw(gateway.address, source=CLIENT) as client:
            client.login()
            stub.range = [free_port(BACKEND)]
            self.assertEqual(client.command("PASV").code, 425)
            gateway.wait_log("not_in_range")

    def test_auth_refused_by_the_backend(self):
        with with_stub() as (stub, gateway), Raw(gateway.address, source=CLIENT) as client:
            stub.on["AUTH"] = lambda session, argument: session.reply("502 not today")
            self.assertEqual(client.command("AUTH TLS").text, "502 not today")
            client.login()
            self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))


class Ended(unittest.TestCase):
    """By the operator: which session a data connection belongs to can't be told."""

    @contextlib.contextmanager
    def transferring(self):
        with tempfile.NamedTemporaryFile("w") as token, contextlib.ExitStack() as opened:
            token.write("secret")
            token.flush()
            stub, gateway = opened.enter_context(with_stub(admin={"token_file": token.name}))
            stub.files["big"] = b"b" * BEYOND_BUFFERS
            first, second = (opened.enter_context(RawTls(gateway.address)).login() for _ in range(2))
            data = second.start("RETR big")
            self.assertTrue(data.recv(1000))
            yield gateway, first, second, data

    def assert_reset(self, data):
        with underneath(data) as plain, self.assertRaises(ConnectionResetError):
            read_all(plain)

    def order(self, gateway, method, path, body=None):
        request = urllib.request.Request(f"http://{gateway.admin}/api/v1/{path}", body,
                                         {"Authorization": "Bearer secret"}, method=method)
        with urllib.request.urlopen(request, timeout=seconds(10)) as answer:
            self.assertEqual(answer.status, 204)

    def end_session_of(self, gateway, client):
        port = client.sock.getsockname()[1]
        with urllib.request.urlopen(f"http://{gateway.admin}/api/v1/sessions", timeout=seconds(10)) as answer:
            sessions = json.load(answer)["sessions"]
        session = next(one["id"] for one in sessions if one["client"].endswith(f":{port}"))
        self.order(gateway, "DELETE", f"sessions/{session}")
        self.assertIsNone(client.line())  # and no 421 in clear

    def test_with_the_last_session_of_its_client(self):
        with self.transferring() as (gateway, first, second, data):
            self.end_session_of(gateway, second)
            got = 0
            while got < 10_000_000:  # it goes on, as it might be the other's
                got += len(data.recv(1 << 18))
            self.end_session_of(gateway, first)
            self.assert_reset(data)

    def test_ban(self):
        with self.transferring() as (gateway, first, second, data):
            self.order(gateway, "POST", "bans", b'{"network": "127.0.0.0/8", "seconds": 60}')
            self.assert_reset(data)
            self.assertEqual((first.line(), second.line()), (None, None))


class Encrypted(unittest.TestCase):
    def test_more_ports_than_are_opened_in_one_turn(self):
        def address(first):
            stub.range = list(range(first, first + 300))
            return stub.address
        listener = {"name": "public", "address": "127.0.0.1:0", "tls": "passthrough"}
        with RangeStub() as stub, Gateway(address, ports=300, listeners=[listener], workers=1,
                                          passive_ports={"mapping": "same"}) as gateway:
            edges = [stub.range[0], stub.range[255], stub.range[256], stub.range[-1]]
            with RawTls(gateway.address) as client, RawTls(gateway.address) as other:
                client.login()
                self.assertEqual([is_open(gateway, port) for port in edges], [True] * 4)
                stub.opened = 299
                self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
                other.close()
                gateway.wait_metric("sessions_active", 1)
                self.assertEqual([is_open(gateway, port) for port in edges], [True] * 4)
            until(lambda: not any(is_open(gateway, port) for port in edges), 5, "closed again")

    def test_ports_are_open_as_long_as_the_session_lives(self):
        with with_stub() as (stub, gateway):
            last = stub.range[-1]
            self.assertFalse(is_open(gateway, last))
            with RawTls(gateway.address) as client, RawTls(gateway.address) as other:
                self.assertTrue(is_open(gateway, last))
                # Open, but for this client's address only.
                gateway.wait_metric("data_rejected_total", 1, reason="no_lease")
                for session in (client, other):
                    session.login()
                    self.assertEqual(session.transfer("RETR hello.txt"), (b"hello\r\n", 226))
                    self.assertEqual(session.transfer("STOR up", b"payload" * 100_000)[1], 226)
                    self.assertEqual(session.transfer("RETR hello.txt", verb="EPSV"), (b"hello\r\n", 226))
                self.assertEqual(stub.files["up"], b"payload" * 100_000)
                self.assertEqual(stub.data_private, [True] * 6)
                self.assertEqual(gateway.metric("ports_leased"), 0)
                client.close()
                gateway.wait_metric("sessions_active", 1)
                self.assertTrue(is_open(gateway, last))
            until(lambda: not is_open(gateway, last), 5, "closed again")

    def test_beside_one_in_clear(self):
        """From the same address: a lease goes before the whole range."""
        with with_stub() as (stub, gateway), RawTls(gateway.address) as client, Raw(gateway.address) as plain:
            client.login()
            plain.login()
            self.assertEqual(plain.transfer("RETR hello.txt"), (b"hello\r\n", 226))
            self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
            self.assertEqual(gateway.metric("port_leases_total", result="accepted"), 1)

    def test_command_in_clear_behind_auth(self):
        with with_stub() as (stub, gateway), Raw(gateway.address) as client:
            client.send("AUTH TLS\r\nUSER mallory\r\n")
            self.assertIsNone(client.line())
            self.assertEqual(stub.got("USER"), [])
            gateway.wait_log("in clear behind AUTH")

    def test_injection_behind_234(self):
        with with_stub() as (stub, gateway), Raw(gateway.address) as client:
            stub.behind = b"230 welcome, mallory\r\n"
            client.send("AUTH TLS\r\n")
            self.assertEqual(client.reply().code, 234)
            self.assertTrue(client.at_end())
            gateway.wait_log("bytes in clear before the handshake")

    def test_backend_s_port_is_closed(self):
        with with_stub() as (stub, gateway), RawTls(gateway.address) as client:
            client.login()
            endpoint = client.pasv()
            stub.sessions[0].drop_listener()
            self.assertTrue(client.is_reset_at(endpoint))

    def test_transfer_goes_on_without_its_session(self):
        """Sessions of one client can't be told apart: what is one's may be counted as the other's."""
        with with_stub() as (stub, gateway), RawTls(gateway.address) as first, RawTls(gateway.address) as second:
            stub.files["big"] = b"b" * 8_000_000
            first.login()
            second.login()
            data = second.start("RETR big")
            first.close()
            gateway.wait_metric("sessions_active", 1)
            self.assertEqual(len(read_all(data)), 8_000_000)
            data.unwrap().close()
            self.assertEqual(second.reply().code, 226)

    def test_bandwidth(self):
        """Of a transfer and of the listener; whose session it is, nobody can tell."""
        for limit in ("transfer", "listener"):
            with self.subTest(limit), with_stub(limits={"bandwidth": {limit: 1 << 20}}) as (stub, gateway), \
                 RawTls(gateway.address) as client:
                stub.files["part"] = b"p" * (1 << 20)
                client.login()
                start = time.monotonic()
                self.assertEqual(client.transfer("RETR part"), (stub.files["part"], 226))
                self.assertAlmostEqual(time.monotonic() - start, 0.95, delta=0.15)
                self.assertEqual(gateway.metric("limits_hit_total", limit=f"bandwidth_{limit}"), 1)

    def test_small_writes_go_at_once(self):
        """Nagle towards the backend and its delayed ACK would wait for each other, 40 ms."""
        def echo(session, _):
            session.reply("150 go on")
            data = session.accept()
            data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while part := data.recv(100):
                if not part.endswith(b"a"):
                    data.sendall(part[-1:])
            session.reply("226 done")

        def answer(data, text):
            start = time.perf_counter()
            data.sendall(text)
            self.assertEqual(data.recv(1), text)
            return time.perf_counter() - start

        with with_stub() as (stub, gateway), RawTls(gateway.address) as client:
            stub.on["STOR"] = echo
            Raw.login(client)  # its data goes in clear
            data = client.connect(client.pasv())
            self.assertEqual(client.command("STOR up").code, 150)
            for _ in range(30):  # until the backend's kernel delays its ACKs
                answer(data, b"x")
            took = []
            for _ in range(10):
                answer(data, b"x")
                data.sendall(b"a")  # has no answer
                time.sleep(0.002)
                took.append(answer(data, b"b"))
            data.close()
            self.assertEqual(client.reply().code, 226)
            self.assertLess(sorted(took)[2], 0.03)

    def test_client_ends_its_side_behind_its_last_command(self):
        def bye(session, _):
            # The answer comes behind the client's FIN, which has to come here: below TLS, which would take it for a cut.
            self.assertEqual(socket.socket.recv(session.sock, 1, socket.MSG_PEEK), b"")
            session.reply("221 bye")
            return True

        with with_stub() as (stub, gateway), RawTls(gateway.address) as client:
            stub.on["QUIT"] = bye
            client.login()
            client.send("QUIT\r\n")
            socket.socket.shutdown(client.sock, socket.SHUT_WR)
            self.assertEqual(client.reply().code, 221)
            self.assertIsNone(client.line())
            gateway.wait_log('"reason":"client_closed"')

    def test_idle(self):
        with with_stub(timeouts={"idle": "400ms"}) as (stub, gateway), RawTls(gateway.address) as client:
            client.login()
            self.assertIsNone(client.line())  # and no 421 in clear, which TLS would choke on
            gateway.wait_log('"reason":"idle_timeout"')

    def test_transfer_is_not_idle(self):
        with with_stub(timeouts={"idle": "300ms"}) as (stub, gateway), RawTls(gateway.address) as client:
            client.login()
            data = client.start("STOR up")
            data.sendall(b"some")
            time.sleep(1)  # longer than idle
            data.sendall(b"thing")
            data.unwrap().close()
            self.assertEqual(client.reply().code, 226)
            self.assertEqual(stub.files["up"], b"something")

    def test_drain(self):
        def late(session, _):
            session.reply("150 go on")
            data = session.accept()
            data.sendall(stub.files["big"])
            session.end(data)
            data.close()
            time.sleep(0.2)  # longer than the gateway needs to see the data connection's end
            session.reply("226 done")

        with with_stub() as (stub, gateway), RawTls(gateway.address) as busy, RawTls(gateway.address) as idle:
            stub.files["big"] = b"b" * 8_000_000
            stub.on["RETR"] = late
            idle.close()
            gateway.wait_metric("sessions_active", 1)
            busy.login()
            data = busy.start("RETR big")
            gateway.signal(signal.SIGTERM)
            gateway.wait_log("draining")
            self.assertEqual(len(read_all(data)), 8_000_000)
            data.unwrap().close()
            self.assertEqual(busy.reply().code, 226)  # which comes behind the data
            self.assertEqual(gateway.wait_exit(), 0)

    def test_transfer_of_the_second_session_is_not_idle(self):
        """All data connections come to the first session of a client."""
        with with_stub(timeouts={"idle": "600ms"}) as (stub, gateway):
            with RawTls(gateway.address) as first, RawTls(gateway.address) as second:
                first.login()
                second.login()
                data = second.start("STOR up")
                data.sendall(b"some")
                time.sleep(1.5)  # longer than idle
                data.sendall(b"thing")
                data.unwrap().close()
                self.assertEqual(second.reply().code, 226)
                self.assertEqual(stub.files["up"], b"something")
                # And then they are both idle.
                gateway.wait_metric("sessions_active", 0)

    def test_drain_with_the_second_session_transferring(self):
        with with_stub() as (stub, gateway), RawTls(gateway.address) as first, RawTls(gateway.address) as second:
            stub.files["big"] = b"b" * BEYOND_BUFFERS
            first.login()
            second.login()
            data = second.start("RETR big")
            gateway.signal(signal.SIGTERM)
            gateway.wait_log("draining")
            got = len(data.recv(1 << 18))
            while got < BEYOND_BUFFERS // 2:
                got += len(data.recv(1 << 18))
            self.assertEqual(lines_with(gateway, message="session ended"), [])
            self.assertEqual(got + len(read_all(data)), BEYOND_BUFFERS)
            data.unwrap().close()
            self.assertEqual(gateway.wait_exit(), 0)

    def test_drain_waits_for_a_transfer_without_its_session(self):
        with with_stub() as (stub, gateway), RawTls(gateway.address) as client:
            stub.files["big"] = b"b" * BEYOND_BUFFERS
            client.login()
            data = client.start("RETR big")
            reset(client.sock)
            gateway.wait_metric("sessions_active", 0)
            gateway.signal(signal.SIGTERM)
            gateway.wait_log("draining")
            self.assertEqual(len(read_all(data)), BEYOND_BUFFERS)
            data.unwrap().close()
            self.assertEqual(gateway.wait_exit(), 0)


if __name__ == "__main__":
    tap.main()
