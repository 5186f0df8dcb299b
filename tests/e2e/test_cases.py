"""The protocol's odd cases where sockets matter: replies and data connections that are late, early, doubled or missing.
The ids are those of ../README.md."""

import os
import resource
import socket
import threading
import time
import unittest

import servers
import tap
from harness import Gateway
from raw import Raw, read_all, reset
from stub import Stub
from waiting import seconds, until

BIG = bytes(range(256)) * (1 << 16)
HELLO = (b"hello\r\n", 226)


class Scripted(unittest.TestCase):
    sections = {}

    def setUp(self):
        self.stub = self.enterContext(Stub())
        self.gateway = self.enterContext(Gateway(self.stub.address, **self.sections))
        self.client = self.enterContext(Raw(self.gateway.address))
        self.client.login()

    def begin(self, command):
        data = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.command(command).code, 150)
        return data

    def still_works(self):
        self.stub.on.clear()
        self.assertEqual(self.client.transfer("RETR hello.txt"), HELLO)


class SettingUp(Scripted):
    def test_one_segment(self):
        """A27, I1: a 227 that drips in goes out whole, for the NAT helpers on the way."""
        def drip(session, _):
            for byte in f"227-wait\r\n227 ok ({session.tuple(session.listen())})\r\n".encode():
                session.raw(bytes([byte]))

        self.stub.on["PASV"] = drip
        for _ in range(5):
            self.client.send("PASV\r\n")
            self.assertRegex(self.client.sock.recv(4096), rb"^227 [^\r]*\)\.\r\n$")

    def test_backend_with_one_port(self):
        """A25: it names the same port each time."""
        with socket.create_server(("127.0.0.1", 0)) as fixed:
            port = fixed.getsockname()[1]

            def same(session, _):
                session.drop_listener()
                session.listener = fixed.dup()
                session.reply(f"227 ok ({session.tuple(port)})")

            self.stub.on["PASV"] = same
            for _ in range(10):
                self.assertEqual(self.client.transfer("RETR hello.txt"), HELLO)

    def test_epsv_port_that_is_closed(self):
        """B7: the client's connection is reset at once, and its own way back to PASV works."""
        def gone(session, _):
            port = session.listen()
            session.drop_listener()
            session.reply(f"229 ok (|||{port}|)")

        self.stub.on["EPSV"] = gone
        self.assertTrue(self.client.is_reset_at(self.client.epsv()))
        self.still_works()

    def test_refused_port_and_a_pipelined_transfer(self):
        """D15, G8: the transfer behind a PASV that got 425 gets one too, or the backend would wait for a connection."""
        with Gateway(self.stub.address, ports=1, passive_ports={"lease_wait": "0s"}) as gateway, \
                Raw(gateway.address) as holder, Raw(gateway.address) as client:
            holder.login().pasv()
            client.login().send("PASV\r\nRETR hello.txt\r\nNOOP\r\n")
            self.assertEqual([client.reply().code for _ in range(3)], [425, 425, 200])
            self.assertEqual(self.stub.got("RETR"), [])

    def test_second_connection_to_a_port(self):
        """D7: the first has it."""
        endpoint = self.client.pasv()
        data = self.client.connect(endpoint)
        try:
            self.assertTrue(self.client.is_reset_at(endpoint))
        except ConnectionRefusedError:
            pass  # the port is closed already
        self.assertEqual(self.client.command("RETR hello.txt").code, 150)
        self.assertEqual(self.client.finish(data, None), HELLO)

    def test_same_source_on_both_connections(self):
        """D13: for servers that want their data connections from the control connection's address."""
        sources = []

        def check(session, _):
            session.reply("150 here")
            with session.accept() as data:
                sources.append((data.getpeername()[0], session.sock.getpeername()[0]))
            session.reply("226 done")

        self.stub.on["RETR"] = check
        self.assertEqual(self.client.transfer("RETR x"), (b"", 226))
        self.assertEqual(len(set(sources[0])), 1)

    def test_backend_that_waits_before_150(self):
        """D14: it says 150 when the data connection stands."""
        def late(session, _):
            with session.accept() as data:
                session.reply("150 here")
                data.sendall(b"late")
            session.reply("226 done")

        self.stub.on["RETR"] = late
        self.assertEqual(self.client.transfer("RETR x"), (b"late", 226))

    def test_client_that_connects_late(self):
        """D5, E2: behind the 150, and behind the backend's 226."""
        def early(session, _):
            session.reply("150 here", "226 done")
            with session.accept() as data:
                data.sendall(b"small")

        for handler, body in ((None, b"hello\r\n"), (early, b"small")):
            if handler:
                self.stub.on["RETR"] = handler
            endpoint = self.client.pasv()
            self.assertEqual(self.client.command("RETR hello.txt").code, 150)
            self.assertEqual(self.client.finish(self.client.connect(endpoint), None), (body, 226))

    def test_many_sessions_of_one_client(self):
        """D18: a file manager that opens a dozen of them, each with a port."""
        many = [Raw(self.gateway.address).login() for _ in range(12)]
        legs = [client.connect(client.pasv()) for client in many]
        for client, data in zip(many, legs):
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(client.finish(data, None), HELLO)
            client.close()


class Transfers(Scripted):
    sections = {"timeouts": {"idle": "500ms", "transfer_reply": "2s"}}

    def test_preliminary_replies(self):
        """E5, E6: 125, two of them, none."""
        for before in ([], ["125 open already"], ["150 a", "150 b"], ["150-a", "150 b"]):
            def answer(session, _, before=before):
                session.reply(*before)
                with session.accept() as data:
                    data.sendall(b"body")
                session.reply("226 done")

            with self.subTest(before):
                self.stub.on["RETR"] = answer
                data = self.client.connect(self.client.pasv())
                self.client.send("RETR x\r\n")
                self.assertEqual(read_all(data), b"body")
                data.close()
                lines = [self.client.line() for _ in range(len(before) + 1)]
                self.assertEqual(lines, [*before, "226 done"])

    def test_uploads_of_every_verb(self):
        """E11, G19, G20: nothing and something, with STOR, APPE and STOU."""
        self.stub.on.update(APPE=lambda session, name: session.do_stor(name),
                            STOU=lambda session, _: session.do_stor("made-up"))
        for verb, name in (("STOR", "a"), ("APPE", "b"), ("STOU", "made-up")):
            for body in (b"", b"x", BIG[:1 << 20]):
                with self.subTest(f"{verb} {len(body)}"):
                    self.stub.files.pop(name, None)
                    self.assertEqual(self.client.transfer(f"{verb} {name}", upload=body), (b"", 226))
                    self.assertEqual(self.stub.files[name], body)

    def test_unknown_command_that_transfers(self):
        self.stub.on["XGET"] = lambda session, name: session.do_retr(name)
        self.assertEqual(self.client.transfer("XGET hello.txt"), HELLO)
        self.assertEqual(self.gateway.metric("transfers_total", result="ok"), 1)

    def test_backend_closes_its_control_connection(self):
        """E19: what is under way arrives whole, and the client hears that nobody vouches for it."""
        def leave(session, _):
            session.reply("150 here")
            data = session.accept()
            session.sock.shutdown(socket.SHUT_RDWR)
            with data:
                data.sendall(BIG)

        self.stub.on["RETR"] = leave
        data = self.begin("RETR x")
        self.assertEqual(read_all(data), BIG)
        data.close()
        self.assertEqual([self.client.reply().code, self.client.reply().code], [426, 421])
        self.assertTrue(self.client.at_end())

    def test_backend_closes_behind_its_226(self):
        """E19: said is said."""
        def leave(session, _):
            session.reply("150 here", "226 done", "221 and bye")
            session.sock.shutdown(socket.SHUT_WR)
            with session.accept() as data:
                data.sendall(BIG)

        self.stub.on["RETR"] = leave
        data = self.begin("RETR x")
        self.assertEqual(read_all(data), BIG)
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def test_longer_than_idle(self):
        """E20: a transfer that moves is no idle session."""
        def slow(session, _):
            session.reply("150 here")
            with session.accept() as data:
                for _ in range(20):
                    data.sendall(b"x")
                    time.sleep(0.05)  # a second in all: longer than timeouts.idle
            session.reply("226 done")

        self.stub.on["RETR"] = slow
        self.assertEqual(self.client.transfer("RETR x"), (b"x" * 20, 226))

    def test_backend_that_waits_for_data_in_vain(self):
        """D12: its port is closed and it says nothing: the client hears so in a bounded time."""
        def gone(session, _):
            port = session.listen()
            session.drop_listener()
            session.reply(f"227 ok ({session.tuple(port)})")

        self.stub.on.update(PASV=gone, RETR=lambda session, _: session.reply("150 come"))
        self.assertTrue(self.client.is_reset_at(self.client.pasv()))
        self.assertEqual(self.client.command("RETR x").code, 150)
        self.assertIn(self.client.reply().code, (425, 426))

    def test_rein(self):
        """G35: the port goes with the login, and another user begins anew."""
        self.stub.on["REIN"] = lambda session, _: session.reply("120 wait", "220 again")
        self.client.pasv()
        self.assertEqual([self.client.command("REIN").code, self.client.reply().code], [120, 220])
        self.assertEqual(self.gateway.metric("ports_leased"), 0)
        self.assertEqual(self.client.login("other").transfer("RETR hello.txt"), HELLO)


class PureFtpd(unittest.TestCase):
    """E17, E18: it knows only ABOR while a download runs, and answers 500 to all else."""

    def test_stat_and_quit_during_a_download(self):
        with servers.PureFtpd() as server, Gateway(server.address) as gateway:
            server.put("big", BIG * 4)
            for commands, told in (("STAT\r\nQUIT\r\n", [500, 226, 221]), ("QUIT\r\n", [226, 221])):
                with self.subTest(commands), Raw(gateway.address) as client:
                    client.login(servers.USER, servers.PASSWORD)
                    client.command("TYPE I")
                    data = client.connect(client.pasv())
                    self.assertEqual(client.command("RETR big").code, 150)
                    client.send(commands)
                    data.settimeout(seconds(20))
                    self.assertEqual(len(read_all(data)), len(BIG) * 4)
                    data.close()
                    self.assertEqual([client.reply().code for _ in told], told)
                    self.assertTrue(client.at_end())


class Control(Scripted):
    def test_queue_is_bounded(self):
        """G7: a backend that doesn't answer stops the client; then every command is answered, in order."""
        go = threading.Event()
        self.addCleanup(go.set)
        self.stub.on["STAT"] = lambda session, argument: (go.wait(seconds(20)), session.reply(f"213 {argument[:6]}"))[-1]
        sent = b""
        self.client.sock.setblocking(False)
        for number in range(20_000):
            sent += b"STAT %06d%s\r\n" % (number, b"x" * 4000)
            try:
                sent = sent[self.client.sock.send(sent):]
            except BlockingIOError:
                if len(sent) > 1 << 16:
                    break
        else:
            self.fail("80 MB were read by nobody")
        go.set()
        self.client.sock.settimeout(seconds(20))
        sender = threading.Thread(target=self.client.sock.sendall, args=(sent,))
        sender.start()
        for expected in range(number + 1):
            self.assertEqual(self.client.reply(20).text, f"213 {expected:06}")
        sender.join()

    def test_tls_hello(self):
        """G16: a client of another protocol gets errors, and nothing of it reaches the backend."""
        before = len(self.stub.commands)
        self.client.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\r\n\0\0h2\r\nQUIT\r\n")
        self.assertEqual([self.client.reply().code for _ in range(3)], [501, 501, 221])
        self.assertEqual(self.stub.commands[before:], ["QUIT"])

    def test_keepalive_on_both_connections(self):
        """E20, I10: the kernel's own timer, as its table tells (proc_net_tcp: 02 is keep-alive)."""
        def timers():
            with open("/proc/net/tcp", encoding="ascii") as table:
                rows = [line.split() for line in table.readlines()[1:]]
            ends = ((1, self.gateway.port), (2, self.stub.port))  # by the gateway's own port, by the backend's
            return [row[5][:2] for field, port in ends for row in rows
                    if row[3] == "01" and int(row[field].split(":")[1], 16) == port]

        until(lambda: timers() == ["02", "02"], 5, lambda: f"keep-alive: {timers()}")  # once all is acknowledged


class Deployment(unittest.TestCase):
    def test_probe_that_only_connects(self):
        """I5: it is nothing to complain of."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            for how in (reset, socket.socket.close):
                how(socket.create_connection(gateway.address))
            until(lambda: gateway.metric("sessions_total") == 2, 5, "two sessions")
            gateway.wait_metric("sessions_active", 0)
            until(lambda: gateway.log_text().count("session ended") == 2, 5, gateway.log_text)
            self.assertEqual([line for line in gateway.log_lines() if line.get("level") in ("warn", "error")], [])

    def test_backend_that_is_full(self):
        """I12: its 421 is the client's, and says nothing against the backend."""
        with Stub("421 too many from your address") as stub, Gateway(stub.address) as gateway:
            for _ in range(3):
                with Raw(gateway.address) as client:
                    self.assertEqual(client.greeting.text, "421 too many from your address")
            self.assertEqual(gateway.metric("backend_up"), 1)

    def test_no_descriptor_for_a_session(self):
        """I9: accepting pauses, without spinning; who is in stays in, and who waits is served later."""
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            process = gateway.process.pid
            limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
            used = set(map(int, os.listdir(f"/proc/{process}/fd")))
            lowest = next(number for number in range(len(used) + 1) if number not in used)
            resource.prlimit(process, resource.RLIMIT_NOFILE, (lowest, limits[1]))
            with Raw(gateway.address, greeting=False) as waiting:
                gateway.wait_log("no descriptors left")
                before = gateway.cpu_seconds()
                with self.assertRaises(TimeoutError):
                    waiting.line(0.5)
                self.assertLess(gateway.cpu_seconds() - before, 0.2)
                self.assertEqual(client.command("NOOP").code, 200)
                resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
                self.assertEqual(waiting.reply().code, 220)
                self.assertEqual(waiting.login().transfer("RETR hello.txt"), HELLO)


if __name__ == "__main__":
    tap.main()
