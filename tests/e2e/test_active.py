"""Active mode where it is odd: ports that are closed, shared, foreign, unused or used up."""

import os
import re
import socket
import tempfile
import threading
import unittest

import tap
from harness import Gateway
from raw import Raw, read_all, reset
from shim import UNWATCHED, preloading
from stub import Stub
from waiting import free_port, free_range, seconds, until

BIG = bytes(range(256)) * (1 << 16)
EPRT = re.compile(r"\|[12]\|([^|]+)\|(\d+)\|")
HELLO = (b"hello\r\n", 226)


class ActiveStub(Stub):
    """Takes PORT and EPRT, and connects to there for each transfer; `reached` are the endpoints, `bind` whence."""

    def __init__(self):
        super().__init__()
        self.bind = None
        self.reached = []
        self.on.update(PORT=self.port_command, EPRT=self.eprt_command, RETR=self.retr, STOR=self.stor)

    def port_command(self, session, argument):
        numbers = [int(number) for number in argument.split(",")]
        self.set_up(session, ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5])

    def eprt_command(self, session, argument):
        host, port = EPRT.fullmatch(argument).groups()
        self.set_up(session, host, int(port))

    def set_up(self, session, host, port):
        session.active = (host, port)
        self.reached.append(session.active)
        session.reply("200 ok")

    def dial(self, session):
        source = (self.bind, 0) if self.bind else None
        session.data = socket.create_connection(session.active, timeout=seconds(10), source_address=source)
        session.data.settimeout(seconds(20))
        return session.data

    def retr(self, session, argument):
        if argument not in self.files:
            return session.reply("550 no such file")
        session.reply("150 here")
        try:
            with self.dial(session) as data:
                data.sendall(self.files[argument])
                data.shutdown(socket.SHUT_WR)
                data.recv(1)  # the other side's end, or its reset
        except OSError:
            return session.reply("426 broken")
        session.reply("226 done")

    def stor(self, session, argument):
        session.reply("150 go on")
        try:
            with self.dial(session) as data:
                self.files[argument] = read_all(data)
        except OSError:
            return session.reply("426 broken")
        session.reply("226 stored")


class Active(unittest.TestCase):
    def setUp(self):
        self.stub = self.enterContext(ActiveStub())
        self.gateway = self.enterContext(Gateway(self.stub.address,
                                                 timeouts={"data_connect": "500ms", "transfer_reply": "2s"},
                                                 passive_ports={"lease_timeout": "1s"}))
        self.client = self.enterContext(Raw(self.gateway.address))
        self.client.login()

    def rejected(self):
        return self.gateway.metric("data_rejected_total", reason="not_backend")

    def still_works(self, verb):
        self.assertEqual(self.client.transfer("RETR hello.txt", verb=verb), HELLO)

    def test_bounce_is_refused(self):
        """C1, C3: the backend never hears of it, and the session goes on."""
        for command in ("PORT 127,0,0,2,200,10", "PORT 10,0,0,1,200,10", "EPRT |1|127.0.0.2|51210|",
                        "PORT 127,0,0,1,0,25", "EPRT |1|127.0.0.1|1023|"):
            with self.subTest(command):
                self.assertEqual(self.client.command(command).code, 500)
        self.assertEqual(self.client.command("EPRT |2|::1|51210|").code, 522)
        self.assertEqual(self.stub.got("PORT") + self.stub.got("EPRT"), [])
        self.still_works("PORT")

    @unittest.skipUnless(os.geteuid() == 0, "only root binds port 20")
    def test_source_port_20(self):
        """C11: twice to the same port of the client, where the second may come from another port."""
        with self.client.listen() as listener:
            for turn in range(2):
                self.assertEqual(self.client.port(listener).code, 200)
                self.assertEqual(self.client.command("RETR hello.txt").code, 150)
                data, peer = listener.accept()
                self.assertEqual(peer[0], "127.0.0.1")
                if turn == 0:
                    self.assertEqual(peer[1], 20)
                self.assertEqual(self.client.finish(data, None), HELLO)

    def test_stranger_is_reset_and_the_backend_served(self):
        """C12: also when it comes first, and more than once."""
        with self.client.listen() as listener:
            self.client.port(listener)
            self.client.source = "127.0.0.9"
            for count in (1, 2, 3):
                try:
                    self.assertTrue(self.client.is_reset_at(self.stub.reached[-1]))
                except ConnectionResetError:
                    pass  # so soon that connect itself saw it
                until(lambda: self.rejected() == count, 5, f"{count} rejected")
            words = "data connection that isn't the backend's"
            self.gateway.wait_log(words)
            self.assertEqual(self.gateway.log_text().count(words), 1)  # a minute
            self.assertEqual(self.client.command("RETR hello.txt").code, 150)
            data, _ = listener.accept()
            self.assertEqual(self.client.finish(data, None), HELLO)

    def test_closed_port_of_the_client(self):
        """C10: 425 or the backend's own word; the file doesn't arrive, and the next transfer works."""
        for command in ("RETR hello.txt", "STOR never"):
            with self.subTest(command):
                port = free_port()
                self.assertEqual(self.client.command(f"EPRT |1|127.0.0.1|{port}|").code, 200)
                self.assertEqual(self.client.command(command).code, 150)
                self.assertIn(self.client.reply().code, (425, 426))
        self.assertNotIn("never", self.stub.files)
        self.assertEqual(self.gateway.metric("data_connections_total", leg="client", mode="active",
                                             result="refused"), 2)
        self.still_works("EPRT")

    def test_closed_port_of_the_client_and_a_sure_backend(self):
        """The backend believes in its 226: the client gets 425 all the same."""
        def sure(session, _):
            session.reply("150 here")
            self.stub.dial(session).close()
            session.reply("226 done")

        self.stub.on["RETR"] = sure
        self.client.command(f"EPRT |1|127.0.0.1|{free_port()}|")
        self.assertEqual(self.client.command("RETR x").code, 150)
        self.assertEqual(self.client.reply().code, 425)

    def test_backend_that_never_connects(self):
        """Bounded by timeouts.data_connect, whatever it says and in either order."""
        for replies in (("150 here", "226 done"), ("150 here", "425 can't connect"), ("226 done",)):
            with self.subTest(replies):
                self.stub.on["RETR"] = lambda session, _, replies=replies: session.reply(*replies)
                with self.client.listen() as listener:
                    self.client.port(listener)
                    self.client.send("RETR x\r\n")
                    codes = [self.client.reply().code for _ in replies]
                    self.assertEqual(codes[-1], 425)
                    self.assertEqual(codes[:-1], [150] * (len(replies) - 1))

    def test_set_up_that_is_never_used(self):
        """D1: its port is closed when lease_timeout is over; the client hears so and may ask again."""
        with self.client.listen() as listener:
            self.client.port(listener)
            at = self.stub.reached[-1]
            until(lambda: refuses(at), 5, f"{at} is closed")
            self.assertEqual(self.client.command("RETR hello.txt").code, 425)
        self.assertEqual(self.stub.got("RETR"), [])
        self.still_works("PORT")

    def test_second_port_replaces_the_first(self):
        """C7, C8: so does PASV, and PORT a PASV."""
        with self.client.listen() as listener:
            self.client.port(listener)
            self.client.port(listener)
            self.assertTrue(refuses(self.stub.reached[0]))
            self.client.pasv()
            self.assertTrue(refuses(self.stub.reached[1]))
            self.gateway.wait_metric("ports_leased", 1)
            self.client.port(listener)
            self.gateway.wait_metric("ports_leased", 0)

    def test_abort(self):
        """While bytes move, and while the client's port doesn't answer."""
        def endless(session, _):
            session.reply("150 here")
            data = self.stub.dial(session)
            self.sender = threading.Thread(target=send_until_refused, args=(data,), daemon=True)
            self.sender.start()

        def abort(session, _):
            session.data.shutdown(socket.SHUT_RDWR)
            self.sender.join(10)
            session.data.close()
            session.reply("426 aborted", "226 abort done")

        self.stub.on.update(RETR=endless, ABOR=abort)
        for reads in (True, False):
            with self.subTest(reads=reads), self.client.listen() as listener:
                self.client.port(listener)
                self.assertEqual(self.client.command("RETR x").code, 150)
                data, _ = listener.accept()
                if reads:
                    self.assertTrue(data.recv(1000))
                self.client.send("ABOR\r\n")
                self.assertEqual([self.client.reply().code, self.client.reply().code], [426, 226])
                data.close()
        self.stub.on["RETR"] = self.stub.retr
        self.still_works("PORT")

    def test_client_that_vanishes(self):
        """Set up, and then gone: nothing of it is left (the gateway is checked at its end)."""
        for how in (reset, socket.socket.close):
            client = Raw(self.gateway.address).login()
            with client.listen() as listener:
                client.port(listener)
                how(client.sock)
                until(lambda: refuses(self.stub.reached[-1]), 5, "the backend's port is closed")


class ActiveSettings(unittest.TestCase):
    def test_not_allowed(self):
        with ActiveStub() as stub, Gateway(stub.address, policy={"allow_active": False}) as gateway, \
                Raw(gateway.address) as client, client.listen() as listener:
            client.login()
            stub.on["FEAT"] = lambda session, _: session.reply("211-F", " EPRT", " MDTM", "211 End")
            self.assertEqual([client.port(listener).code, client.eprt(listener).code], [502, 502])
            self.assertEqual(client.command("FEAT").lines, ["211-F", " MDTM", " EPSV", "211 End"])
            self.assertEqual(stub.reached, [])
            self.assertEqual(client.quit(), 221)

    def test_fxp(self):
        """Where it is allowed the data goes to another host; low ports stay refused."""
        with ActiveStub() as stub, Gateway(stub.address, policy={"allow_fxp": True}) as gateway, \
                Raw(gateway.address) as client, socket.create_server(("127.0.0.2", 0)) as other:
            client.login()
            other.settimeout(seconds(10))
            self.assertEqual(client.command("EPRT |1|127.0.0.2|25|").code, 500)
            self.assertEqual(client.eprt(other).code, 200)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            data, _ = other.accept()
            self.assertEqual(client.finish(data, None), HELLO)

    def test_active_ports(self):
        """Only these, again and again; when all are taken 425, and they come back."""
        with free_range(2) as first:
            ports = {first, first + 1}
        with ActiveStub() as stub:
            backends = {"default": {"active_ports": f"{first}-{first + 1}"}}
            with Gateway(stub.address, backends=backends) as gateway, Raw(gateway.address) as one, \
                    Raw(gateway.address) as two, Raw(gateway.address) as three:
                for client in (one, two, three):
                    client.login()
                for _ in range(10):
                    self.assertEqual(one.transfer("RETR hello.txt", verb="PORT"), HELLO)
                with one.listen() as listener:
                    self.assertEqual([one.port(listener).code, two.eprt(listener).code], [200, 200])
                    self.assertEqual({port for _, port in stub.reached[-2:]}, ports)
                    self.assertEqual([three.port(listener).code, three.command("NOOP").code], [425, 200])
                    self.assertEqual(two.quit(), 221)
                    gateway.wait_metric("sessions_active", 2)
                    self.assertEqual(three.port(listener).code, 200)
                self.assertEqual(one.transfer("RETR hello.txt", verb="EPRT"), HELLO)
                self.assertLessEqual({port for _, port in stub.reached}, ports)

    def test_trusted_address_of_the_backend(self):
        """C12: a backend with another address for its data, once it is listed."""
        backends = {"default": {"data_address": "trust", "trusted_data": ["127.0.0.64/28"]}}
        with ActiveStub() as stub, Gateway(stub.address, backends=backends) as gateway, \
                Raw(gateway.address) as client:
            stub.bind = "127.0.0.70"
            self.assertEqual(client.login().transfer("RETR hello.txt", verb="PORT"), HELLO)

    def test_passive_client_that_never_comes(self):
        """The backend connects and says 226: the client's lease bounds the wait all the same."""
        backends = {"default": {"data_mode": "active"}}
        with ActiveStub() as stub, Gateway(stub.address, backends=backends, ports=1,
                                           passive_ports={"lease_timeout": "500ms"}) as gateway, \
                Raw(gateway.address) as client:
            stub.on["RETR"] = lambda session, _: (session.reply("150 here"), stub.dial(session).close(),
                                                  session.reply("226 done"))[-1]
            client.login().pasv()
            self.assertEqual(client.command("RETR x").code, 150)
            self.assertEqual(client.reply().code, 425)
            self.assertEqual(gateway.metric("port_leases_total", result="expired"), 1)


def refuses(address):
    """Asked by a stranger: a connection from the backend's own address would be taken for its data."""
    try:
        socket.create_connection(address, timeout=seconds(5), source_address=("127.0.0.9", 0)).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False


def send_until_refused(data):
    try:
        while True:
            data.sendall(BIG)
    except OSError:
        pass


class Unwatched(unittest.TestCase):
    def test_listening_sockets_that_can_t_be_watched(self):
        """The kernel is out of memory for it (fs.epoll.max_user_watches): accepting pauses, without spinning, and goes on."""
        environment, full = preloading(UNWATCHED, self.enterContext(tempfile.TemporaryDirectory()))
        with ActiveStub() as stub, Gateway(stub.address, environment=environment, workers=1,
                                           backends={"default": {"data_mode": "active"}}) as gateway:
            with Raw(gateway.address) as client, Raw(gateway.address, greeting=False) as waiting:
                client.login()
                self.assertEqual(waiting.reply().code, 220)
                full.touch()
                data = client.connect(client.pasv())
                client.send("RETR hello.txt\r\n")
                gateway.wait_log("can't be watched")
                with Raw(gateway.address, greeting=False) as late:
                    before = gateway.cpu_seconds()
                    with self.assertRaises(TimeoutError):
                        late.line(0.5)
                    self.assertLess(gateway.cpu_seconds() - before, 0.2)
                    self.assertEqual(waiting.login().command("NOOP").code, 200)
                    full.unlink()
                    self.assertEqual(late.reply().code, 220)
                self.assertEqual(client.reply().code, 150)
                self.assertEqual(client.finish(data, None), HELLO)
            # Some pauses, one line.
            self.assertGreater(gateway.metric("limits_hit_total", limit="descriptors"), 2)
            self.assertEqual(gateway.log_text().count("can't be watched"), 1)


if __name__ == "__main__":
    tap.main()
