"""Transfers and sessions that end in the middle."""

import socket
import threading
import unittest

import tap
from harness import Gateway
from raw import Raw, read_all, reset
from stub import Stub
from waiting import free_port, until

BIG = bytes(1 << 24)


class Endless:
    """A download without end. ABOR ends it with `on_abort`, a broken data connection with 426."""

    def __init__(self, stub, on_abort=("426 aborted", "226 abort done")):
        self.on_abort = on_abort
        self.aborted = self.broken = False
        stub.on["RETR"] = self.begin
        stub.on["ABOR"] = self.abort

    def begin(self, session, _):
        session.reply("150 here")
        self.sender = threading.Thread(target=self.send, args=(session, session.accept()), daemon=True)
        self.sender.start()

    def send(self, session, data):
        try:
            while True:
                data.sendall(BIG)
        except OSError:
            data.close()
        if not self.aborted:
            self.broken = True
            try:
                session.reply("426 broken")
            except OSError:
                pass  # the control connection is gone too

    def abort(self, session, _):
        self.aborted = True
        try:
            session.data.shutdown(socket.SHUT_RDWR)  # wakes the sender
        except OSError:
            pass
        self.sender.join(10)
        session.reply(*self.on_abort[1 if self.broken and len(self.on_abort) > 1 else 0:])


class Abort(unittest.TestCase):
    def setUp(self):
        self.stub = self.enterContext(Stub())
        self.gateway = self.enterContext(Gateway(self.stub.address, timeouts={"abort": "1s", "transfer_reply": "2s"}))
        self.client = self.enterContext(Raw(self.gateway.address))
        self.client.login()

    def begin(self):
        data = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.command("RETR x").code, 150)
        self.assertTrue(data.recv(1000))
        return data

    def after_abort(self, data):
        """The codes of all replies to ABOR; then a transfer shows that the session is in step."""
        data.close()
        self.client.send("NOOP\r\n")
        codes = []
        while 200 not in codes:
            codes.append(self.client.reply().code)
        self.stub.on.clear()
        self.assertEqual(self.client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
        return codes[:-1]

    def test_plain(self):
        Endless(self.stub)
        data = self.begin()
        self.client.send("ABOR\r\n")
        self.assertEqual(self.after_abort(data), [426, 226])
        self.assertIn("ABOR\r\n", self.stub.raw_lines)
        self.assertEqual(self.gateway.metric("transfers_total", result="aborted"), 1)

    def test_telnet_synch(self):
        """IP and Synch reach the server as the client sent them, with the urgent byte out of line."""
        Endless(self.stub)
        data = self.begin()
        self.client.abort()
        self.assertEqual(self.after_abort(data), [426, 226])
        line = next(line for line in self.stub.raw_lines if "ABOR" in line)
        # Of IAC IP IAC DM the urgent byte isn't in the stream any more.
        self.assertRegex(line, "^\xff\xf4[\xff\xf2]ABOR\r\n$")

    def test_single_reply(self):
        """Some servers answer a transfer and its ABOR with one line."""
        Endless(self.stub, ["226 aborted"])
        data = self.begin()
        self.client.send("ABOR\r\n")
        codes = self.after_abort(data)
        self.assertTrue(codes and set(codes) <= {226, 426}, codes)

    def test_server_without_abor(self):
        """It refuses ABOR and goes on sending: the gateway ends the data connection itself."""
        Endless(self.stub)
        self.stub.on["ABOR"] = lambda session, _: session.reply("502 what?")
        data = self.begin()
        self.client.send("ABOR\r\n")
        codes = self.after_abort(data)
        self.assertTrue(codes and 226 not in codes[:1], codes)

    def test_without_transfer(self):
        self.assertEqual(self.client.command("ABOR").text, "226 nothing to abort")

    def test_before_the_data_connection(self):
        """ABOR while a transfer command waits for a data connection that never comes."""
        self.stub.on["RETR"] = lambda session, _: session.reply("150 come and get it")
        self.stub.on["ABOR"] = lambda session, _: session.reply("426 aborted", "226 abort done")
        self.client.pasv()
        self.client.send("RETR x\r\n")
        self.stub.wait_command("RETR")
        self.client.send("ABOR\r\nNOOP\r\n")
        codes = []
        while 200 not in codes:
            codes.append(self.client.reply().code)
        self.assertIn(codes, ([150, 426, 226, 200], [426, 226, 200]))
        self.gateway.wait_metric("ports_leased", 0)


class OddOrders(unittest.TestCase):
    def setUp(self):
        self.stub = self.enterContext(Stub())
        self.gateway = self.enterContext(Gateway(self.stub.address))
        self.client = self.enterContext(Raw(self.gateway.address))
        self.client.login()

    def test_quit_during_transfer(self):
        """The transfer ends as it should, then comes the goodbye."""
        self.stub.files["big"] = BIG
        data = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.command("RETR big").code, 150)
        self.client.send("QUIT\r\n")
        self.assertEqual(read_all(data), BIG)
        data.close()
        self.assertEqual([self.client.reply().code, self.client.reply().code], [226, 221])
        self.assertTrue(self.client.at_end())

    def test_unused_pasv(self):
        self.client.pasv()
        self.assertEqual(self.client.quit(), 221)

    def test_connected_but_no_command(self):
        """A data connection that is opened and closed again without a transfer harms nothing."""
        self.client.connect(self.client.pasv()).close()
        self.assertEqual(self.client.command("NOOP").code, 200)
        self.assertEqual(self.client.transfer("RETR hello.txt"), (b"hello\r\n", 226))

    def test_second_pasv_after_the_connection(self):
        first = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
        first.close()

    def test_transfer_without_pasv(self):
        """The server answers for itself, and sees no command that the client didn't send."""
        self.assertEqual(self.client.command("RETR hello.txt").text, "425 use PASV first")
        self.assertEqual(self.stub.commands, ["USER tester", "PASS secret", "RETR hello.txt"])

    def test_refused_transfer_then_the_same_pasv(self):
        """550 leaves the passive port open: the next RETR may use it."""
        endpoint = self.client.pasv()
        self.assertEqual(self.client.command("RETR missing").code, 550)
        data = self.client.connect(endpoint)
        self.assertEqual(self.client.command("RETR hello.txt").code, 150)
        self.assertEqual(read_all(data), b"hello\r\n")
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def test_rest_is_kept(self):
        data = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.command("REST 2").code, 350)
        self.assertEqual(self.client.command("RETR hello.txt").code, 150)
        self.assertEqual(read_all(data), b"llo\r\n")
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def test_tls_is_refused(self):
        self.assertEqual(self.client.command("AUTH TLS").code, 502)
        self.assertEqual(self.stub.commands, ["USER tester", "PASS secret"])


class Gone(unittest.TestCase):
    def endless(self):
        stub = self.enterContext(Stub())
        Endless(stub)
        gateway = self.enterContext(Gateway(stub.address))
        client = self.enterContext(Raw(gateway.address))
        data = client.login().connect(client.pasv())
        self.addCleanup(data.close)
        self.assertEqual(client.command("RETR x").code, 150)
        self.assertTrue(data.recv(1000))
        return stub, gateway, client, data

    def test_client_closes_during_a_transfer(self):
        _, gateway, client, data = self.endless()
        client.close()
        data.close()
        gateway.wait_metric("sessions_active", 0)

    def test_client_resets_everything(self):
        _, gateway, client, data = self.endless()
        reset(data)
        reset(client.sock)
        gateway.wait_metric("sessions_active", 0)

    def test_backend_vanishes_during_a_transfer(self):
        stub, _, client, data = self.endless()
        # In this order, or the stub may have closed its data connection by itself.
        reset(stub.sessions[0].data)
        stub.sessions[0].sock.shutdown(socket.SHUT_RDWR)
        codes = [client.reply().code]
        if codes == [426]:
            codes.append(client.reply().code)
        self.assertEqual(codes[-1], 421)
        self.assertTrue(client.at_end())
        data.close()

    def test_backend_closes_an_idle_session(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            stub.sessions[0].sock.shutdown(socket.SHUT_RDWR)
            self.assertEqual(client.reply().code, 421)
            self.assertTrue(client.at_end())

    def test_unasked_421_is_forwarded(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            stub.sessions[0].reply("421 you were idle")
            self.assertEqual(client.reply().text, "421 you were idle")
            self.assertTrue(client.at_end())

    def test_backend_unreachable(self):
        """The client learns that, and nothing of the inside."""
        port = free_port("127.0.0.77")
        with Gateway(f"127.0.0.77:{port}") as gateway, Raw(gateway.address) as client:
            self.assertEqual(client.greeting.code, 421)
            self.assertNotIn("127.0.0.77", client.greeting.text)
            self.assertNotIn(str(port), client.greeting.text)
            self.assertTrue(client.at_end())

    def test_second_server_is_tried(self):
        with Stub() as stub, Gateway([f"127.0.0.77:{free_port('127.0.0.77')}", stub.address]) as gateway, \
                Raw(gateway.address) as client:
            self.assertEqual(client.greeting.text, "220 stub ready")

    def test_many_sessions_that_vanish(self):
        with Stub() as stub, Gateway(stub.address, ports=20) as gateway:
            for number in range(40):
                client = Raw(gateway.address).login()
                if number % 2:
                    client.pasv()
                if number % 4 < 2:
                    reset(client.sock)
                else:
                    client.close()
            gateway.wait_metric("sessions_active", 0)
            until(lambda: gateway.metric("sessions_total") == 40, 5, "40 sessions")


if __name__ == "__main__":
    tap.main()
