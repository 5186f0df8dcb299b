"""Bytes on the control channel that no tidy client sends."""

import socket
import threading
import time
import unittest

import tap
from harness import Gateway
from raw import Raw, read_all
from stub import Stub
from waiting import until


class Edges(unittest.TestCase):
    def setUp(self):
        self.stub = self.enterContext(Stub())
        self.stub.on["STAT"] = lambda session, argument: session.reply(f"213 {argument}")
        self.gateway = self.enterContext(Gateway(self.stub.address))
        self.client = self.enterContext(Raw(self.gateway.address))
        self.client.login()
        self.before = len(self.stub.commands)

    def forwarded(self):
        return self.stub.commands[self.before:]

    def test_overlong_line(self):
        """500, dropped to its end, never forwarded in part; the next command is in step."""
        self.client.send(b"CWD " + b"a" * 100_000 + b"\r\nNOOP\r\n")
        self.assertEqual(self.client.reply().code, 500)
        self.assertEqual(self.client.reply().code, 200)
        self.assertEqual(self.forwarded(), ["NOOP"])

    def test_long_but_allowed(self):
        self.stub.on["CWD"] = lambda session, argument: session.reply(f"250 {len(argument)}")
        self.assertEqual(self.client.command("CWD " + "a" * 8000).text, "250 8000")

    def test_nul_and_stray_cr(self):
        for line in (b"CWD a\0b\r\n", b"CWD a\rDELE x\r\n"):
            self.assertEqual(self.client.command(line).code, 501)
        self.assertEqual(self.client.command("NOOP").code, 200)
        self.assertEqual(self.forwarded(), ["NOOP"])

    def test_pipelined(self):
        """A hundred commands in one segment are answered in order."""
        self.client.send(b"".join(b"STAT %d\r\n" % number for number in range(100)))
        self.assertEqual([self.client.reply().text for _ in range(100)], [f"213 {number}" for number in range(100)])

    def test_pipelined_transfer(self):
        """PASV, TYPE and RETR together: RETR waits for its data connection."""
        self.client.send("TYPE I\r\nPASV\r\nRETR hello.txt\r\nNOOP\r\n")
        self.assertEqual(self.client.reply().code, 200)
        reply = self.client.reply()
        self.assertEqual(reply.code, 227)
        high, low = reply.text.rstrip(").").split(",")[-2:]
        data = self.client.connect(("127.0.0.1", int(high) * 256 + int(low)))
        self.assertEqual(self.client.reply().code, 150)
        self.assertEqual(read_all(data), b"hello\r\n")
        data.close()
        self.assertEqual([self.client.reply().code, self.client.reply().code], [226, 200])

    def test_one_byte_at_a_time(self):
        for byte in b"STAT one byte\r\n":
            self.client.send(bytes([byte]))
        self.assertEqual(self.client.reply().text, "213 one byte")

    def test_bare_lf(self):
        self.assertEqual(self.client.command(b"STAT x\n").text, "213 x")
        self.assertEqual(self.stub.raw_lines[-1], "STAT x\r\n")

    def test_argument_bytes_are_kept(self):
        """Blanks at the ends, UTF-8 and Latin-1 are a file's name."""
        for argument in (b"  two blanks ", "\u00e4\u6f22".encode(), b"\xe4\xf6", b"a\tb"):
            self.client.command(b"STAT " + argument + b"\r\n")
            self.assertEqual(self.stub.raw_lines[-1].encode("latin-1"), b"STAT " + argument + b"\r\n")

    def test_telnet_is_removed(self):
        """IAC WILL ECHO and IAC NOP go, IAC IAC is one 0xFF of a file's name."""
        self.client.command(b"\xff\xfb\x01STAT \xff\xf1a\xff\xffb\r\n")
        self.assertEqual(self.forwarded(), ["STAT a\xffb"])

    def test_http(self):
        """A browser that was made to talk to us gets errors and ends."""
        self.client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nQUIT\r\n")
        codes = []
        while 221 not in codes:
            codes.append(self.client.reply().code)
        self.assertTrue(all(code >= 500 for code in codes[:-1]), codes)
        self.assertTrue(self.client.at_end())

    def test_unknown_verb_is_the_backends(self):
        self.stub.on["XBOGUS"] = lambda session, argument: session.reply(f"299 {argument}")
        self.assertEqual(self.client.command("xBogus  a").text, "299  a")

    def test_verbs_that_open_ports_unseen(self):
        for verb in ("LPSV", "LPRT 4,4,127,0,0,1,2,4,0", "SPSV", "ESTA", "ESTP", "CPSV"):
            with self.subTest(verb):
                self.assertEqual(self.client.command(verb).code // 100, 5)
        self.assertEqual(self.forwarded(), [])

    def test_feat_is_edited(self):
        lines = ["211-Features:", " MDTM", " LPSV", " AUTH TLS", "\tSIZE", " ESTA", " EPSV", "211 End"]
        self.stub.on["FEAT"] = lambda session, _: session.reply(*lines)
        reply = self.client.command("FEAT").lines
        for kept in ("211-Features:", " MDTM", "\tSIZE", " EPSV", " EPRT", "211 End"):
            self.assertIn(kept, reply)
        for line in reply:
            self.assertNotRegex(line, "LPSV|AUTH|ESTA|PBSZ")

    def test_data_commands(self):
        for command in ("LIST", "NLST", "MLSD", "LIST -a /", "list"):
            with self.subTest(command):
                received, code = self.client.transfer(command)
                self.assertIn(b"hello.txt", received)
                self.assertEqual(code, 226)

    def test_noop_and_stat_during_transfer(self):
        """A server that answers them in the middle: 200 isn't taken for the transfer's end."""
        def slow(session, _):
            session.reply("150 here")
            data = session.accept()
            session.stub.on["STAT"] = lambda session, _: session.reply("213 half")
            data.sendall(b"first")
            threading.Thread(target=self.finish, args=(session, data), daemon=True).start()

        self.stub.on["RETR"] = slow
        self.go_on = threading.Event()
        data = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.command("RETR x").code, 150)
        self.assertEqual(data.recv(5), b"first")
        self.assertEqual(self.client.command("STAT").code, 213)
        self.go_on.set()
        self.assertEqual(read_all(data), b"second")
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def finish(self, session, data):
        self.go_on.wait(20)
        data.sendall(b"second")
        data.close()
        session.reply("226 done")

    def test_long_reply_streams(self):
        lines = ["211-begin", *(f" line {number}" for number in range(20_000)), "211 end"]
        self.stub.on["HELP"] = lambda session, _: session.reply(*lines)
        self.assertEqual(self.client.command("HELP").lines, lines)

    def test_urgent_byte_is_read_in_line(self):
        self.client.sock.send(b"S", socket.MSG_OOB)
        self.client.send("TAT x\r\n")
        self.assertEqual(self.client.reply().text, "213 x")


class Greetings(unittest.TestCase):
    def test_slow_with_120(self):
        def slowly(session):
            session.reply("120 wait a moment")
            time.sleep(0.3)
            session.reply("220 now")

        with Stub(slowly) as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            self.assertEqual(client.greeting.text, "120 wait a moment")
            self.assertEqual(client.reply().text, "220 now")
            client.login()

    def test_none(self):
        def mute(session):
            session.sock.recv(1)

        with Stub(mute) as stub, Gateway(stub.address, timeouts={"greeting": "300ms"}) as gateway, \
                Raw(gateway.address) as client:
            self.assertEqual(client.greeting.code, 421)
            self.assertTrue(client.at_end())

    def test_refusal(self):
        with Stub(lambda session: session.reply("421 too many")) as stub, Gateway(stub.address) as gateway, \
                Raw(gateway.address) as client:
            self.assertEqual(client.greeting.text, "421 too many")
            self.assertTrue(client.at_end())

    def test_commands_before_the_greeting(self):
        def slowly(session):
            until(lambda: self.sent, 10, "the client speaks first")
            session.reply("220 now")

        self.sent = False
        with Stub(slowly) as stub, Gateway(stub.address) as gateway, Raw(gateway.address, greeting=False) as client:
            client.send("USER tester\r\n")
            self.sent = True
            self.assertEqual([client.reply().code, client.reply().code], [220, 331])

    def test_timeouts_of_login_and_idle(self):
        with Stub() as stub, Gateway(stub.address, timeouts={"login": "300ms"}) as gateway, \
                Raw(gateway.address) as client:
            self.assertEqual(client.reply().code, 421)
            self.assertTrue(client.at_end())
        with Stub() as stub, Gateway(stub.address, timeouts={"idle": "300ms"}) as gateway, \
                Raw(gateway.address) as client:
            self.assertEqual(client.login().reply().code, 421)
            self.assertTrue(client.at_end())


if __name__ == "__main__":
    tap.main()
