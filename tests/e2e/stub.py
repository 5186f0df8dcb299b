"""A fake FTP server whose every answer a test may script.

    stub = Stub()
    stub.on["PASV"] = lambda session, argument: session.reply("227 =127,0,0,1,4,5")

A handler gets the session and the command's argument, as bytes decoded from Latin-1. What isn't scripted behaves as a
small, well-behaved server that advertises an inside address which nobody outside can reach.
"""

import contextlib
import socket
import threading
import traceback

from raw import read_all, reset
from waiting import seconds, until

INSIDE = "192,168,1,10"


class StubSession:
    def __init__(self, stub, sock):
        self.stub = stub
        self.sock = sock
        self.listener = None
        self.rest = 0
        self.buffer = b""
        self.data = None
        self.urgent = False

    # -- what scripts use

    def reply(self, *lines):
        self.raw("".join(line + "\r\n" for line in lines).encode("latin-1"))

    def raw(self, data):
        self.sock.sendall(data)

    def listen(self, host=None):
        """Opens the data listener anew; returns its port."""
        host = host or self.sock.getsockname()[0]
        self.drop_listener()
        self.listener = socket.create_server((host, 0), family=self.sock.family)
        self.listener.settimeout(seconds(10))
        return self.listener.getsockname()[1]

    def drop_listener(self):
        if self.listener:
            self.listener.close()
            self.listener = None

    def accept(self):
        """The data connection; the listener is closed as real servers do."""
        self.data, _ = self.listener.accept()
        self.data.settimeout(seconds(20))
        self.drop_listener()
        return self.data

    def end(self, data):
        """What comes before the end of a data connection."""

    def tuple(self, port):
        return f"{self.stub.inside},{port // 256},{port % 256}"

    def pasv(self):
        self.reply(f"227 Entering Passive Mode ({self.tuple(self.listen())}).")

    def next_line(self):
        while b"\n" not in self.buffer:
            part = self.sock.recv(65536)
            if not part:
                return None
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return (line + b"\n").decode("latin-1")

    # -- the well-behaved server

    def run(self):
        greeting = self.stub.greeting
        if callable(greeting):
            greeting(self)
        else:
            self.reply(*greeting.split("\n"))
        while (line := self.next_line()) is not None:
            self.stub.raw_lines.append(line)
            # Telnet IP and Synch in front of ABOR.
            text = line.rstrip("\r\n").lstrip("\xff\xf4\xf2")
            verb, _, argument = text.partition(" ")
            verb = verb.upper()
            self.stub.commands.append(text)
            handler = self.stub.on.get(verb) or getattr(self, f"do_{verb.lower()}", None)
            if handler is None:
                self.reply("502 not implemented")
            elif handler(self, argument) if verb in self.stub.on else handler(argument):
                return

    def do_user(self, _):
        self.reply("331 password please")

    def do_pass(self, _):
        self.reply("230 welcome")

    def do_pwd(self, _):
        self.reply('257 "/" is current')

    def do_noop(self, _):
        self.reply("200 ok")

    def do_type(self, _):
        self.reply("200 type set")

    def do_pasv(self, _):
        self.pasv()

    def do_epsv(self, _):
        self.reply(f"229 Entering Extended Passive Mode (|||{self.listen()}|)")

    def do_rest(self, argument):
        self.rest = int(argument)
        self.reply("350 restarting")

    def do_size(self, argument):
        self.reply(f"213 {len(self.stub.files.get(argument, b''))}")

    def do_retr(self, argument):
        if argument not in self.stub.files:
            self.reply("550 no such file")
            return
        self.send_data(self.stub.files[argument][self.rest:])

    def do_list(self, _):
        self.send_data("".join(f"-rw-r--r-- 1 a a {len(body)} Jan 1 2024 {name}\r\n"
                               for name, body in self.stub.files.items()).encode())

    do_nlst = do_mlsd = do_list

    def send_data(self, body):
        if not self.listener:
            self.reply("425 use PASV first")
            return
        self.reply("150 here it comes")
        try:
            with self.accept() as data:
                data.sendall(body)
                self.end(data)
        except OSError:
            self.reply("426 broken")
            return
        finally:
            self.rest = 0
        self.reply("226 done")

    def do_stor(self, argument):
        if not self.listener:
            self.reply("425 use PASV first")
            return
        self.reply("150 go on")
        try:
            with self.accept() as data:
                body = read_all(data)
                self.end(data)
        except ConnectionResetError:
            self.stub.broken_uploads.append(argument)
            self.reply("426 broken")
            return
        self.stub.files[argument] = self.stub.files.get(argument, b"")[:self.rest] + body
        self.rest = 0
        self.reply("226 stored")

    def do_abor(self, _):
        self.reply("226 nothing to abort")

    def do_quit(self, _):
        self.reply("221 bye")
        return True

    def close(self):
        self.drop_listener()
        if self.data:
            self.data.close()
        self.sock.close()

    def reset(self):
        reset(self.sock)


class Stub:
    session_class = StubSession

    def __init__(self, greeting="220 stub ready", host="127.0.0.1", port=0):
        self.greeting = greeting
        self.inside = INSIDE
        self.on = {}
        self.files = {"hello.txt": b"hello\r\n"}
        self.commands = []        # without CRLF and without Telnet
        self.raw_lines = []       # as they came
        self.broken_uploads = []
        self.errors = []
        self.sessions = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = socket.create_server((host, port), family=family, backlog=256)
        self.port = self.server.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            session = self.session_class(self, sock)
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    def _serve(self, session):
        try:
            session.run()
        except OSError:
            pass
        except Exception:  # pylint: disable=broad-except
            self.errors.append(traceback.format_exc())
        finally:
            session.close()

    def got(self, verb):
        return [command for command in self.commands if command.split(" ")[0].upper() == verb]

    def wait_command(self, verb, count=1, deadline=5):
        until(lambda: len(self.got(verb)) >= count, deadline, lambda: f"{count} × {verb} in {self.commands}")

    def close(self):
        # Without it the thread that waits in accept would take one more connection.
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for session in self.sessions:
            session.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None and self.errors:
            raise AssertionError("the stub failed:\n" + "\n".join(self.errors))
