"""A client of raw bytes: what real clients never send, or send only sometimes."""

import contextlib
import re
import socket
import struct

from waiting import seconds

TUPLE = re.compile(r"\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)\.?$")
PORT = re.compile(r"\(\|\|\|(\d+)\|\)")


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3])
        self.text = "\n".join(lines)

    def __repr__(self):
        return f"Reply({self.text!r})"


@contextlib.contextmanager
def however_it_ends():
    """The connection may end in any way, but not in a time-out of ours."""
    try:
        yield
    except TimeoutError:
        raise
    except (OSError, EOFError):
        pass


def reset(sock):
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock, chunk=1 << 18):
    """Everything until FIN. A reset raises ConnectionResetError."""
    parts = []
    while part := sock.recv(chunk):
        parts.append(part)
    return b"".join(parts)


class Raw:
    def __init__(self, address, source=None, greeting=True):
        self.address = address
        self.source = source
        self.buffer = b""
        self.sock = self.connect(address)
        self.greeting = self.reply() if greeting else None

    def connect(self, address):
        bind = (self.source, 0) if self.source else None
        sock = socket.create_connection(address, timeout=seconds(10), source_address=bind)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self, deadline=10):
        """The next line without its CRLF; None at the end of the connection."""
        self.sock.settimeout(seconds(deadline))
        while b"\n" not in self.buffer:
            part = self.sock.recv(65536)
            if not part:
                return None
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.removesuffix(b"\r").decode("latin-1")

    def reply(self, deadline=10):
        lines = []
        while True:
            line = self.line(deadline)
            if line is None:
                raise EOFError(f"closed by the gateway after {lines}")
            lines.append(line)
            if line[:3] == lines[0][:3] and line[3:4] == " " and line[:3].isdigit():
                return Reply(lines)

    def command(self, text, deadline=10):
        self.send(text if isinstance(text, bytes) else text + "\r\n")
        return self.reply(deadline)

    def login(self, user="tester", password="secret"):
        assert self.command(f"USER {user}").code == 331
        assert self.command(f"PASS {password}").code == 230
        return self

    def is_reset_at(self, endpoint):
        """True when a data connection to `endpoint` is reset, be it while it connects or while it waits for data."""
        try:
            with self.connect(endpoint) as sock:
                sock.recv(1)
            return False
        except ConnectionResetError:
            return True

    def pasv(self):
        """The endpoint that PASV answered."""
        reply = self.command("PASV")
        numbers = [int(n) for n in TUPLE.search(reply.text).groups()]
        return ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5]

    def epsv(self):
        """The port that EPSV answered, at the address of the control connection."""
        return self.address[0], int(PORT.search(self.command("EPSV").text)[1])

    def listen(self):
        """A data port for active mode, at the address of the control connection."""
        listener = socket.create_server((self.sock.getsockname()[0], 0), family=self.sock.family)
        listener.settimeout(seconds(10))
        return listener

    def port(self, listener):
        host, port = listener.getsockname()[:2]
        return self.command(f"PORT {host.replace('.', ',')},{port // 256},{port % 256}")

    def eprt(self, listener):
        host, port = listener.getsockname()[:2]
        return self.command(f"EPRT |{2 if ':' in host else 1}|{host}|{port}|")

    def _active_transfer(self, command, verb, upload):
        with self.listen() as listener:
            reply = self.port(listener) if verb == "PORT" else self.eprt(listener)
            assert reply.code == 200, reply
            first = self.command(command)
            if first.code >= 200:
                return None, first.code
            data, _ = listener.accept()
        return self.finish(data, upload)

    def transfer(self, command, upload=None, verb="PASV"):
        """A whole transfer: (bytes received, code of the final reply)."""
        if verb in ("PORT", "EPRT"):
            return self._active_transfer(command, verb, upload)
        data = self.connect(self.pasv() if verb == "PASV" else self.epsv())
        first = self.command(command)
        if first.code >= 200:
            data.close()
            return None, first.code
        return self.finish(data, upload)

    def finish(self, data, upload):
        data.settimeout(seconds(20))
        received = b""
        if upload is None:
            received = read_all(data)
        else:
            data.sendall(upload)
        data.close()
        return received, self.reply().code

    def abort(self):
        """ABOR as RFC 959 §4.1.3 wants it: Telnet's Interrupt Process, then Synch, whose last byte is urgent."""
        self.sock.send(b"\xff\xf4\xff", socket.MSG_OOB)
        self.send(b"\xf2ABOR\r\n")

    def at_end(self, deadline=10):
        """True when the gateway has closed the control connection and nothing more was said."""
        try:
            return self.line(deadline) is None
        except ConnectionResetError:
            return True

    def close(self):
        self.sock.close()

    def quit(self):
        code = self.command("QUIT").code
        assert self.at_end()
        self.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
