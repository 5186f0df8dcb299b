"""Peers that fail in every state of a session, and signals in the middle of transfers.

Each time: the other sessions go on unharmed, nothing spins, nothing is left behind (Gateway looks at its end), and a
transfer is right or is said to have failed. What isn't here is listed in ../README.md.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import servers
import tap
from harness import BINARY, Gateway
from raw import Raw, however_it_ends, read_all, reset
from stub import Stub, StubSession
from waiting import free_port, seconds, until

BODY = bytes(range(256)) * 4096  # 1 MiB
HELLO = (b"hello\r\n", 226)


def milliseconds(value):
    return f"{int(seconds(value) * 1000)}ms"


class Fault(Exception):
    """Ends a stub's session after it has failed as it should."""


class FaultySession(StubSession):
    """Fails in the state, and in the way, that the user's name says: "USER/reset"."""

    where = how = None

    def do_user(self, argument):
        self.where, _, self.how = argument.partition("/")
        self.point("USER")
        super().do_user(argument)

    def do_pass(self, argument):
        self.point("PASS")
        super().do_pass(argument)
        self.point("logged in")

    def do_pasv(self, argument):
        self.point("PASV asked")
        super().do_pasv(argument)
        self.point("PASV answered")

    def send_data(self, body):
        self.reply("150 here it comes")
        self.point("begun")
        with self.accept() as data:
            data.sendall(body[:len(body) // 2])
            self.point("running")
            data.sendall(body[len(body) // 2:])
        self.point("final reply")
        self.reply("226 done")

    def do_stor(self, argument):
        self.reply("150 go on")
        self.point("begun")
        with self.accept() as data:
            body = data.recv(1000)
            self.point("running")
            body += read_all(data)
        self.point("final reply")
        self.stub.files[argument] = body
        self.reply("226 stored")

    def do_quit(self, argument):
        self.point("QUIT")
        return super().do_quit(argument)

    def point(self, state):
        if state != self.where:
            return
        self.stub.reached.append(state)
        if self.how == "slow":
            time.sleep(seconds(0.2))  # much less than the gateway waits
            return
        if self.how == "hung":
            self.stub.go.wait(60)
        if self.how == "reset":
            for sock in filter(None, (self.data, self.sock)):
                reset(sock)
        raise Fault


class FaultyStub(Stub):
    session_class = FaultySession

    def __init__(self):
        super().__init__()
        self.go = threading.Event()  # for those that hang
        self.reached = []
        self.files["body"] = BODY

    def _serve(self, session):
        try:
            session.run()
        except (Fault, OSError):
            pass
        finally:
            session.close()

    def close(self):
        self.go.set()
        super().close()


# What a backend can be in the middle of, in the order of a session.
STATES = ("USER", "PASS", "logged in", "PASV asked", "PASV answered", "begun", "running", "final reply", "QUIT")


class Steady:
    """Sessions that must come to no harm, one behind the other, while the `with` lasts."""

    def __init__(self, gateway, source="127.0.0.8"):
        self.address, self.source = gateway.address, source
        self.done = threading.Event()
        self.problems, self.transfers = [], 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.is_set():
            try:
                with Raw(self.address, self.source) as client:
                    client.login("steady")
                    for number in range(3):
                        name = f"steady-{self.transfers}-{number}"
                        if client.transfer("RETR hello.txt") != HELLO:
                            self.problems.append("a download")
                        if client.transfer(f"STOR {name}", upload=BODY[:100_000]) != (b"", 226):
                            self.problems.append("an upload")
                    if client.quit() != 221:
                        self.problems.append("QUIT")
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(repr(error))
            self.transfers += 1
            self.done.wait(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join()
        if kind is None and (self.problems or not self.transfers):
            raise AssertionError(f"other sessions: {self.problems} in {self.transfers}")


class Backend(unittest.TestCase):
    """A backend that fails in every state: all cells of the table at once, on one gateway."""

    def session(self, gateway, user, command):
        """What becomes of a whole session: {step: code}, None where the connection ended; with what was received."""
        told, received = dict.fromkeys(("USER", "PASS", "PASV", command[:4], "QUIT")), None
        name = f"up-{user}"
        with however_it_ends():
            with Raw(gateway.address) as client:
                told["USER"] = client.command(f"USER {user}").code
                told["PASS"] = client.command("PASS secret").code
                reply = client.command("PASV")
                told["PASV"] = reply.code
                if reply.code != 227:
                    return told, received
                high, low = map(int, reply.text.rstrip(".)").split(",")[-2:])
                with client.connect(("127.0.0.1", high * 256 + low)) as data:
                    data.settimeout(seconds(20))
                    client.send(f"{command} {name if command == 'STOR' else 'body'}\r\n")
                    with however_it_ends():
                        if command == "STOR":
                            data.sendall(BODY)
                            data.shutdown(socket.SHUT_WR)
                        received = read_all(data)
                while told[command] is None or told[command] < 200:
                    told[command] = client.reply(20).code
                told["QUIT"] = client.command("QUIT", 20).code
        return told, received

    def check(self, stub, user, command, told, received):
        where, how = user.split("/")
        if told[command] == 226:
            whole = received if command == "RETR" else stub.files.get(f"up-{user}")
            self.assertEqual(whole, BODY)
        if how == "slow":
            self.assertEqual(told, {"USER": 331, "PASS": 230, "PASV": 227, command: 226, "QUIT": 221})
            return
        # All before the fault went well, and what it hit was told.
        steps = {"USER": "USER", "PASS": "PASS", "PASV asked": "PASV", "QUIT": "QUIT"}
        hit = steps.get(where, "PASV" if where == "logged in" else command)
        self.assertIn(told[hit], (None, 421, 425, 426) if where != "QUIT" else (None, 221, 421))
        if where == "QUIT":
            self.assertEqual(told[command], 226)
        if where in ("begun", "running", "final reply"):
            self.assertEqual(told["PASV"], 227)

    def test_every_state(self):
        quick = {"login": milliseconds(0.9), "reply": milliseconds(0.9), "data_stall": milliseconds(0.9),
                 "transfer_reply": milliseconds(0.9), "data_connect": milliseconds(0.9)}
        with FaultyStub() as stub, Gateway(stub.address, ports=60, timeouts=quick) as gateway:
            results = {}

            def run(user, command):
                results[user, command] = self.session(gateway, user, command)

            cells = [(f"{where}/{how}", command) for where in STATES for how in ("closed", "reset", "hung", "slow")
                     for command in ("RETR", "STOR")]
            threads = [threading.Thread(target=run, args=cell) for cell in cells]
            with Steady(gateway):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            for (user, command), (told, received) in results.items():
                with self.subTest(f"{user} {command}"):
                    self.check(stub, user, command, told, received)
            self.assertEqual(set(cells) - set(results), set())
            stub.go.set()
            gateway.wait_metric("backend_sessions_active", 0)

    def test_in_its_greeting(self):
        half = [b"", b"220-hel", b"220-hello\r\n", b"120 wait\r\n"]
        with FaultyStub() as stub, Gateway(stub.address, timeouts={"greeting": milliseconds(0.3)}) as gateway:
            for text in half:
                for how in ("closed", "reset", "hung"):
                    def fail(session, text=text, how=how):
                        session.raw(text)
                        session.where, session.how = "greeting", how
                        session.point("greeting")

                    stub.greeting = fail
                    with self.subTest(f"{text} {how}"), Raw(gateway.address, greeting=False) as client:
                        lines = []
                        while (line := client.line()) is not None:
                            lines.append(line)
                        self.assertEqual(lines[-1][:4], "421 ")
            stub.greeting = "220 stub ready"
            with Raw(gateway.address) as client:
                self.assertEqual(client.login("steady").transfer("RETR hello.txt"), HELLO)

    def test_hung_costs_nothing(self):
        """Sessions whose backend hangs, in every state, with their clients there or half gone: no CPU goes into them."""
        with FaultyStub() as stub, Gateway(stub.address, ports=60) as gateway, contextlib.ExitStack() as opened:
            for where in STATES:
                for ends in (False, True):
                    client = opened.enter_context(Raw(gateway.address))
                    self.lead_to(client, where, opened)
                    if ends:
                        client.sock.shutdown(socket.SHUT_WR)
            until(lambda: len(stub.reached) >= 2 * len(STATES), 10, lambda: f"reached {stub.reached}")
            before = gateway.cpu_seconds()
            time.sleep(0.5)  # what is measured is how little happens in it
            self.assertLess(gateway.cpu_seconds() - before, 0.1)
            stub.go.set()

    @staticmethod
    def lead_to(client, where, opened):
        client.send(f"USER {where}/hung\r\n")
        if where == "USER":
            return
        client.reply()
        client.send("PASS secret\r\n")
        if where == "PASS":
            return
        client.reply()
        client.send("PASV\r\n")
        if where in ("logged in", "PASV asked"):
            return
        numbers = client.reply().text.rstrip(".)").split(",")
        data = opened.enter_context(client.connect(("127.0.0.1", int(numbers[-2]) * 256 + int(numbers[-1]))))
        client.send("RETR body\r\n" if where != "QUIT" else "QUIT\r\n")
        if where in ("begun", "running", "final reply"):
            client.reply()
        if where == "final reply":
            read_all(data)


class RealServer(unittest.TestCase):
    def test_vsftpd_is_killed_in_transfers(self):
        """kill -9 while files go both ways: nobody hears 226, other servers' sessions go on, and so does the next one."""
        body = BODY * 24
        with servers.Vsftpd() as server, Stub() as stub:
            port = free_port()
            extra = {"name": "other", "address": f"127.0.0.1:{port}", "backend": "other"}
            with Gateway(server.address, listeners=[{"name": "public", "address": "127.0.0.2:0"}, extra],
                         backends={"other": {"servers": [stub.address]}},
                         timeouts={"transfer_reply": "2s", "data_stall": "5s"}) as gateway:
                gateway.address = ("127.0.0.1", port)
                public = self.public(gateway)
                server.put("body", body)
                with Steady(gateway):
                    for command in ("RETR body", "STOR up"):
                        with self.subTest(command), Raw(public) as client:
                            self.killed(server, client, command, body)
                        server.start()
                with Raw(public) as client:
                    client.login(servers.USER, servers.PASSWORD)
                    client.command("TYPE I")
                    self.assertEqual(client.transfer("RETR body"), (body, 226))
                    client.quit()

    @staticmethod
    def public(gateway):
        """Where the listener is whose port the kernel chose."""
        with open(f"/proc/{gateway.process.pid}/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        inodes = {line.rsplit("[", 1)[1].rstrip("]") for line in gateway.fd_list().splitlines() if "socket:[" in line}
        ports = {int(row[1].split(":")[1], 16) for row in rows
                 if row[3] == "0A" and row[9] in inodes and row[1].startswith("0200007F")}
        return "127.0.0.2", (ports - set(range(gateway.first_port, gateway.first_port + gateway.ports))).pop()

    def killed(self, server, client, command, body):
        client.login(servers.USER, servers.PASSWORD)
        client.command("TYPE I")
        data = client.connect(client.pasv())
        self.assertEqual(client.command(command).code, 150)
        if command.startswith("RETR"):
            self.assertTrue(data.recv(1000))
        else:
            data.sendall(body[:1 << 20])
        server.kill()
        with contextlib.suppress(OSError):
            if command.startswith("RETR"):
                read_all(data)
            else:
                data.sendall(body)
        data.close()
        codes = []
        with contextlib.suppress(EOFError, OSError):
            while True:
                codes.append(client.reply().code)
        self.assertTrue(codes and set(codes) <= {426, 421}, codes)


class ClientGone(unittest.TestCase):
    """In every state and in every way; what it leaves is given back, and its server hears of it."""

    STATES = ("connected", "half a command", "USER", "logged in", "PASV sent", "PASV answered", "data connected", "begun",
              "running", "uploading", "everything read", "QUIT")

    def setUp(self):
        self.stub = self.enterContext(FaultyStub())
        self.stub.files["body"] = BODY * 16
        self.gateway = self.enterContext(Gateway(self.stub.address, ports=60, timeouts={"transfer_reply": "2s"}))

    def lead_to(self, client, state):
        """The data connection, where there is one."""
        if state == "half a command":
            client.send("US")
        if state in ("connected", "half a command"):
            return None
        client.send("USER none\r\n")
        if state == "USER":
            return None
        client.send("PASS x\r\n")
        client.reply()
        client.reply()
        if state in ("logged in", "QUIT"):
            client.send("QUIT\r\n" if state == "QUIT" else "")
            return None
        client.send("PASV\r\n")
        if state == "PASV sent":
            return None
        numbers = client.reply().text.rstrip(".)").split(",")
        if state == "PASV answered":
            return None
        data = client.connect(("127.0.0.1", int(numbers[-2]) * 256 + int(numbers[-1])))
        if state == "data connected":
            return data
        client.send("STOR gone\r\n" if state == "uploading" else "RETR body\r\n")
        if state == "begun":
            return data
        client.reply()
        if state == "uploading":
            data.sendall(BODY[:1000])
        if state == "running":
            data.recv(1000)
        if state == "everything read":
            read_all(data)
        return data

    def test_every_state(self):
        with Steady(self.gateway):
            for state in self.STATES:
                for how in (reset, socket.socket.close):
                    for data_first in (True, False):
                        with self.subTest(f"{state} {how.__name__} {data_first}"):
                            client = Raw(self.gateway.address)
                            data = self.lead_to(client, state)
                            for sock in filter(None, (data, client.sock) if data_first else (client.sock, data)):
                                how(sock)
                            if state == "uploading" and how is reset and data_first:
                                # The next one would be called by the same name.
                                until(lambda: self.gateway.metric("transfers_total", direction="upload", result="broken")
                                      + self.gateway.metric("transfers_total", direction="upload", result="aborted") > 0,
                                      5, "the upload broke")
                                self.assertNotIn("gone", self.stub.files)
        self.gateway.wait_metric("sessions_active", 0)
        self.gateway.wait_metric("ports_leased", 0)
        until(lambda: all(session.sock.fileno() < 0 for session in self.stub.sessions), 5, "the server's sessions end")


    def test_reset_behind_bytes(self):
        """Both are there when the gateway looks: the bytes are read, and the reset is heard."""
        client = Raw(self.gateway.address)
        self.gateway.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.gateway.process.pid, os.WSTOPPED | os.WNOWAIT)
        client.send("US")
        reset(client.sock)
        self.gateway.process.send_signal(signal.SIGCONT)
        self.gateway.wait_metric("sessions_active", 0)


class Signals(unittest.TestCase):
    def test_in_the_middle_of_transfers(self):
        """A good reload, one with a broken file, then SIGTERM: files that are under way arrive, both ways and in both modes."""
        body = BODY * 4
        with Stub() as stub, Gateway(stub.address, ports=20) as gateway, contextlib.ExitStack() as opened:
            go = threading.Event()
            self.addCleanup(go.set)

            def retr(session, _):
                session.reply("150 here")
                with session.accept() as data:
                    data.sendall(body[:1000])
                    go.wait(20)
                    data.sendall(body[1000:])
                session.reply("226 done")

            stub.on["RETR"] = retr
            downloads, uploads = [], []
            for number in range(3):
                client = opened.enter_context(Raw(gateway.address)).login()
                data = client.connect(client.pasv())
                self.assertEqual(client.command("RETR x").code, 150)
                downloads.append((client, data, data.recv(1000)))
                client = opened.enter_context(Raw(gateway.address)).login()
                data = client.connect(client.epsv())
                self.assertEqual(client.command(f"STOR up{number}").code, 150)
                data.sendall(body[:1000])
                uploads.append((client, data))
            for config, result in ((gateway.config, "ok"), ({"listeners": 7}, "failed"), ("{", "failed")):
                before = gateway.metric("config_reloads_total", result=result)
                if isinstance(config, str):
                    pathlib.Path(gateway.config_path).write_text(config, encoding="ascii")
                else:
                    gateway.write_config(config)
                gateway.signal(signal.SIGHUP)
                until(lambda before=before, result=result:
                      gateway.metric("config_reloads_total", result=result) == before + 1, 5, f"a reload that {result}")
                with Raw(gateway.address) as client:
                    self.assertEqual(client.login().command("NOOP").code, 200)
            gateway.signal(signal.SIGTERM)
            gateway.wait_log("drain")
            go.set()
            for client, data, first in downloads:
                self.assertEqual(first + read_all(data), body)
                data.close()
                self.assertEqual([client.reply().code, client.reply().code], [226, 421])
            for number, (client, data) in enumerate(uploads):
                data.sendall(body[1000:])
                data.close()
                self.assertEqual([client.reply().code, client.reply().code], [226, 421])
                self.assertEqual(stub.files[f"up{number}"], body)
            self.assertEqual(gateway.wait_exit(), 0)

    def test_killed_and_started_again(self):
        """kill -9 in the middle of transfers: nobody hears 226, and a new process has the same ports at once."""
        with FaultyStub() as stub, contextlib.ExitStack() as opened:
            gateway = Gateway(stub.address, ports=2)
            opened.callback(gateway.kill)
            config = merged_port(gateway)
            clients = []
            for command in ("RETR body", "STOR up"):
                stub.files["body"] = BODY * 16
                client = opened.enter_context(Raw(gateway.address)).login("none")
                data = client.connect(client.pasv())
                self.assertEqual(client.command(command).code, 150)
                if command.startswith("STOR"):
                    data.sendall(BODY[:1000])
                clients.append((client, data))
            third = opened.enter_context(Raw(gateway.address)).login("none")
            third.pasv()
            gateway.process.kill()
            gateway.process.wait()
            for client, data in clients:
                with contextlib.suppress(OSError):
                    read_all(data)
                with contextlib.suppress(OSError, EOFError):
                    self.fail(f"heard {client.reply()}")
            with started(config) as again:
                for _ in range(4):
                    with Raw(gateway.address) as client:
                        client.login("none")
                        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
                again.send_signal(signal.SIGTERM)
                self.assertEqual(again.wait(seconds(20)), 0)


def merged_port(gateway):
    """The gateway's config with the port that the kernel chose."""
    config = json.loads(json.dumps(gateway.config))
    config["listeners"][0]["address"] = f"127.0.0.1:{gateway.port}"
    return config


@contextlib.contextmanager
def started(config):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        with subprocess.Popen([BINARY, "run", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert any('"ready"' in line for line in process.stderr), "it doesn't start"
                threading.Thread(target=process.stderr.read, daemon=True).start()
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


if __name__ == "__main__":
    tap.main()
