"""Random clients against random servers for as long as you like, and at the end nothing may be wrong or left.

    PASVGATE=build-asan/src/pasvgate PASVGATE_TEST_SLOW=3 python3 tests/e2e/soak.py --minutes 30

Wild clients (with TLS and without, passive and active, that abort, stall, vanish and talk nonsense) meet a vsftpd that
is killed now and then and scripted servers that hang, reset and lie. Beside them calm clients use a server that behaves:
each of their transfers must succeed. Whoever is told 226 has the right bytes; at the end memory and descriptors are as
they were, and what the metrics count as active is 0. The seed that is printed repeats the choices, not their timing.
"""

import argparse
import collections
import hashlib
import os
import random
import signal
import socket
import statistics
import struct
import sys
import threading
import time
import traceback

from certificates import tls_sections
from harness import Gateway
from raw import Raw, read_all, reset
from raw_tls import RawTls
from servers import PASSWORD, USER, Vsftpd
from stub_tls import TlsStub, TlsStubSession
from waiting import free_port, seconds

SIZES = (0, 1, 1000, 70_000, 1 << 20, 3 << 20)
FILES = {f"f{index}": random.Random(index).randbytes(size) for index, size in enumerate(SIZES)}
# What may grow without being a leak: the allocator's and the sanitizer's leftovers.
MEMORY_FACTOR, MEMORY_SLACK = 1.1, 8 << 20
WATCH = 0.5  # seconds from look to look


class Wrong(Exception):
    """What must never happen."""


class WildSession(TlsStubSession):
    """Now and then something else than an answer."""

    def next_line(self):
        while (line := super().next_line()) is not None:
            fault = self.stub.draw()
            self.stub.counts[f"server: {fault}"] += 1
            if fault == "reset":
                reset(self.sock)
                raise ConnectionAbortedError
            if fault == "close":
                return None
            if fault == "slow":
                time.sleep(self.stub.random.random())
            if fault == "unasked":
                self.reply("227 Entering Passive Mode (10,0,0,1,4,5)")
            if fault == "long":
                self.reply("211-long", *(f" {number}" for number in range(5000)), "211 end")
                continue
            if fault != "silent":
                return line
        return None

    def do_pasv(self, argument):
        if self.stub.random.random() < 0.05:
            return self.reply(self.stub.random.choice(("227 ok (10,0,0,1,0,22)", "227 ok ()", "229 ok (|||0|)", "421 no")))
        return super().do_pasv(argument)

    def send_data(self, body):
        if not self.listener or self.stub.random.random() > 0.15:
            return super().send_data(body)
        self.reply("150 here it comes")
        data = self.accept()
        data.sendall(body[:len(body) // 2])
        if self.stub.random.random() < 0.3:
            self.stub.is_down.wait(8)
        reset(data)
        self.reply("226 as if nothing had happened")

    def do_stor(self, argument):
        if not self.listener or self.stub.random.random() > 0.15:
            return super().do_stor(argument)
        self.reply("150 go on")
        reset(self.accept())
        self.reply("226 as if nothing had happened")


class SoakStub(TlsStub):
    """A server that can go down and come up again on its port."""

    def __init__(self, seed, wild):
        self.random = random.Random(f"{seed}-stub")
        self.counts = collections.Counter()
        self.is_down = threading.Event()
        self.wild = wild
        if wild:
            self.session_class = WildSession
        super().__init__()
        self.files = dict(FILES)

    def draw(self):
        kinds = ("reset", "close", "silent", "slow", "unasked", "long")
        return self.random.choice(kinds) if self.random.random() < 0.03 else "answers"

    def down(self):
        self.is_down.set()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for session in self.sessions:
            # Its own thread closes it, with a reset: OpenSSL would write to whatever has the descriptor's number next.
            try:
                session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.socket.shutdown(session.sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def up(self):
        self.is_down.clear()
        self.sessions, self.commands, self.raw_lines, self.broken_uploads = [], [], [], []
        self.server = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()


class Soak:
    def __init__(self, seed, until):
        self.seed = seed
        self.until = until
        self.counts = collections.Counter()
        self.failures = []
        self.memory = []
        self.lock = threading.Lock()
        self.numbers = iter(range(1 << 60))
        self.wild, self.calm, self.real = SoakStub(seed, True), SoakStub(seed, False), Vsftpd()
        for name, body in FILES.items():
            self.real.put(name, body)
        ports = {name: free_port() for name in ("public", "real", "secure", "calm")}
        sections = tls_sections("optional", "off", limits={"leases_per_client": 8}, drain_timeout="5s")
        public = sections["listeners"][0]
        backend = {"servers": [self.wild.address], "data_mode": "active", "tls": "explicit", "tls_ca": self.wild.certificate}
        sections["listeners"] = [{**public, "name": name, "address": f"127.0.0.1:{port}",
                                  "backend": "default" if name == "public" else name,
                                  "tls": "implicit" if name == "secure" else "optional"} for name, port in ports.items()]
        sections["backends"] |= {"real": {"servers": [self.real.address]}, "calm": {"servers": [self.calm.address]},
                                 "secure": backend}
        times = {"greeting": "3s", "login": "8s", "idle": "10s", "reply": "5s", "data_stall": "5s", "data_connect": "3s",
                 "transfer_reply": "3s", "abort": "1s", "tls_handshake": "5s"}
        self.gateway = Gateway(self.wild.address, ports=60, timeouts=times,
                               passive_ports={"lease_timeout": "4s"}, log={"level": "info"}, **sections)
        self.addresses = {name: ("127.0.0.1", port) for name, port in ports.items()}

    # -- one session

    def connect(self, chance, listener):
        source = f"127.0.{chance.randrange(1, 9)}.{chance.randrange(1, 250)}"
        kind = "implicit" if listener == "secure" else chance.choice(("plain", "auth"))
        if kind == "plain":
            return Raw(self.addresses[listener], source)
        return RawTls(self.addresses[listener], implicit=kind == "implicit", source=source)

    def open(self, client, chance, command):
        """The data connection of `command`, whose 1xx has come; None when it was refused."""
        verb = chance.choice(("PASV", "EPSV", "PORT", "EPRT"))
        if verb in ("PORT", "EPRT"):
            with client.listen() as listener:
                if (client.port if verb == "PORT" else client.eprt)(listener).code != 200:
                    return None
                if client.command(command).code >= 200:
                    return None
                data = listener.accept()[0]
        else:
            data = client.connect(client.pasv() if verb == "PASV" else client.epsv())
            if client.command(command).code >= 200:
                return data.close()
        data.settimeout(seconds(20))
        try:
            return client.wrap(data) if getattr(client, "private", False) else data
        except OSError:
            data.close()
            client.reply()
            return None

    def download(self, client, chance):
        name = chance.choice(list(FILES))
        data = self.open(client, chance, f"RETR {name}")
        if data is None:
            return None
        with data:
            try:
                body = read_all(data)
                if hasattr(data, "unwrap"):
                    data.unwrap()
            except TimeoutError:
                raise
            except OSError:
                body = None
        code = client.reply(20).code
        if code == 226 and body != FILES[name]:
            raise Wrong(f"226 for {name}, and {None if body is None else len(body)} bytes of {len(FILES[name])}")
        return code

    def upload(self, client, chance, stored):
        name = f"up{next(self.numbers)}"
        body = chance.choice(list(FILES.values())) + name.encode()
        data = self.open(client, chance, f"STOR {name}")
        if data is None:
            return None
        with data:
            try:
                data.sendall(body)
                if hasattr(data, "unwrap"):
                    data.unwrap()
            except TimeoutError:
                raise
            except OSError:
                pass
        code = client.reply(20).code
        kept = stored(name)
        if code == 226 and kept != body:
            raise Wrong(f"226 for {name} of {len(body)} bytes, and the server has {None if kept is None else len(kept)}")
        return code

    def stored(self, listener):
        def in_folder(name):
            path = self.real.files / name
            body = path.read_bytes() if path.exists() else None
            path.unlink(missing_ok=True)
            return body

        if listener == "real":
            return in_folder
        stub = self.calm if listener == "calm" else self.wild
        return lambda name: stub.files.pop(name, None)

    def abort(self, client, chance):
        data = self.open(client, chance, f"RETR {chance.choice(list(FILES))}")
        if data is None:
            return
        with data:
            how = chance.choice(("abort", "close", "reset", "stall"))
            self.counts[f"client: {how}"] += 1
            if how == "stall":
                time.sleep(chance.random() * 3)
            if how == "abort":
                client.send("ABOR\r\n")
            if how == "reset":
                reset(data)
        self.in_step(client)

    @staticmethod
    def in_step(client):
        """Reads all that is still to be answered."""
        client.send("PWD\r\n")
        while client.reply().code != 257:
            pass

    def wild_session(self, chance):
        listener = chance.choice(("public", "public", "real", "real", "secure"))
        with self.connect(chance, listener) as client:
            if chance.random() < 0.05:
                return
            client.login(USER, PASSWORD)
            client.command("TYPE I")
            for _ in range(chance.randrange(1, 6)):
                what = chance.choice(("download", "download", "upload", "upload", "abort", "unused", "junk", "pause"))
                if what == "download":
                    self.counts[f"download {self.download(client, chance)}"] += 1
                if what == "upload":
                    self.counts[f"upload {self.upload(client, chance, self.stored(listener))}"] += 1
                if what == "abort":
                    self.abort(client, chance)
                if what == "unused":
                    client.send(chance.choice(("PASV\r\n", "EPSV\r\n", "PORT 10,0,0,1,200,1\r\n", "PASV\r\nLIST\r\n")))
                    self.in_step(client)
                if what == "junk":
                    client.send(chance.randbytes(chance.randrange(1, 20_000)) + b"\r\n")
                    return
                if what == "pause":
                    time.sleep(chance.random())
            if chance.random() < 0.5:
                client.send("QUIT\r\n")
                client.at_end()
            elif chance.random() < 0.5:
                reset(client.sock)

    def calm_session(self, chance):
        with self.connect(chance, "calm") as client:
            client.login(USER, PASSWORD)
            client.command("TYPE I")
            for _ in range(4):
                codes = self.download(client, chance), self.upload(client, chance, self.stored("calm"))
                if codes != (226, 226):
                    raise Wrong(f"a calm session's transfers ended with {codes}")
                self.counts["calm transfers"] += 2
            if client.quit() != 221:
                raise Wrong("QUIT of a calm session")

    # -- threads

    def running(self):
        return time.monotonic() < self.until and not self.failures

    def repeat(self, name, act, tolerated):
        chance = random.Random(f"{self.seed}-{name}")
        while self.running():
            try:
                act(chance)
                self.counts["sessions to their end"] += 1
            except tolerated:
                self.counts["sessions that broke"] += 1
                time.sleep(0.1)  # a server that is down answers many in that time
            except Exception:  # pylint: disable=broad-except
                self.failures.append(f"{name}: {traceback.format_exc()}")

    def trouble(self, chance):
        """Restarts, reloads, bursts."""
        time.sleep(chance.random() * 2)
        what = chance.choice(("stub", "vsftpd", "reload", "broken reload", "burst"))
        self.counts[what] += 1
        if what == "stub":
            self.wild.down()
            time.sleep(chance.random())
            self.wild.up()
        if what == "vsftpd":
            self.real.kill()
            time.sleep(chance.random())
            self.real.start()
        if what.endswith("reload"):
            self.gateway.config["limits"]["pipelined_commands"] = chance.randrange(8, 80)
            self.gateway.write_config({} if what == "broken reload" else self.gateway.config)
            self.gateway.signal(signal.SIGHUP)
        if what == "burst":
            many = [socket.create_connection(self.addresses["public"]) for _ in range(40)]
            for sock in many:
                (reset if chance.random() < 0.5 else socket.socket.close)(sock)

    def pss(self):
        with open(f"/proc/{self.gateway.process.pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))

    def watch(self):
        while self.running():
            self.memory.append(self.pss())
            time.sleep(WATCH)

    def run(self):
        allowed = (OSError, EOFError, AssertionError, AttributeError, TypeError)
        threads = [threading.Thread(target=self.repeat, args=(f"wild{number}", self.wild_session, allowed))
                   for number in range(10)]
        threads += [threading.Thread(target=self.repeat, args=(f"calm{number}", self.calm_session, ())) for number in range(2)]
        threads += [threading.Thread(target=self.repeat, args=("trouble", self.trouble, ())),
                    threading.Thread(target=self.watch)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise Wrong("\n".join(self.failures))
        self.gateway.check_clean()
        if active := self.gateway.metric("backend_sessions_active"):
            raise Wrong(f"{active} sessions are counted at backends")
        self.check_memory()
        self.gateway.stop()

    def check_memory(self):
        quarter = max(len(self.memory) // 4, 1)
        before, after = (statistics.median(part) for part in (self.memory[quarter:2 * quarter], self.memory[-quarter:]))
        mib = 1 << 20
        print(f"memory: {before / mib:.1f} MiB in the second quarter, {after / mib:.1f} in the last, "
              f"{self.pss() / mib:.1f} at rest; {self.gateway.fds()} descriptors, {self.gateway.start_fds} at the start")
        # A short run is a beginning in all of its quarters.
        is_long = len(self.memory) * WATCH >= 180
        if is_long and after > before * MEMORY_FACTOR + MEMORY_SLACK:
            raise Wrong("memory grows")

    def report(self):
        for name, count in sorted((self.counts + self.wild.counts).items()):
            print(f"  {count:7} {name}")

    def close(self):
        self.gateway.kill()
        self.wild.close()
        self.calm.close()
        self.real.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", default=hashlib.sha256(os.urandom(8)).hexdigest()[:8])
    arguments = parser.parse_args()
    # What was freed is kept for reports; so much of it that memory would seem to grow.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    soak = Soak(arguments.seed, time.monotonic() + arguments.minutes * 60)
    try:
        soak.run()
    except Exception as error:  # pylint: disable=broad-except
        soak.report()
        print(soak.gateway.log_text()[-5000:])
        print(f"FAILED with seed {arguments.seed}: {error}")
        sys.exit(1)
    finally:
        soak.close()
    soak.report()
    print("ok")


if __name__ == "__main__":
    main()
