"""TLS 1.3 KeyUpdates (RFC 8446 §4.6.3), which Python's ssl can't send: by OpenSSL itself, as in renegotiation.py."""

import contextlib
import ctypes
import ssl

from renegotiation import LIBSSL, PySslSocket


class MemoryTls:
    """A TLS client over the connected `sock`, which sends what it has to say only when told to."""

    def __init__(self, sock, context):
        self.sock = sock
        self.buffer = b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self._step(self.tls.do_handshake)
        self.send()

    def _step(self, act):
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                self.send()
                part = self.sock.recv(65536)
                if not part:
                    raise EOFError from None
                self.incoming.write(part)

    def key_updates(self, count, *, requested):
        """Puts them behind what is to be sent; `requested`: the peer is to answer each with its own."""
        handle = ctypes.c_void_p(PySslSocket.from_address(id(self.tls._sslobj)).ssl)  # pylint: disable=protected-access
        for _ in range(count):
            assert LIBSSL.SSL_key_update(handle, 1 if requested else 0) == 1
            assert LIBSSL.SSL_do_handshake(handle) == 1

    def write(self, text):
        self.tls.write(text)

    def send(self):
        """All that was put up, in one piece; what it was."""
        data = self.outgoing.read()
        self.sock.sendall(data)
        return data

    def read_all(self):
        """Until the peer's close_notify."""
        parts = []
        while part := self._step(lambda: self.tls.read(1 << 18)):
            parts.append(part)
        return b"".join(parts)

    def line(self):
        while b"\n" not in self.buffer:
            part = self._step(lambda: self.tls.read(1 << 16))
            if not part:
                raise EOFError
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().rstrip()

    def close(self):
        """close_notify, and no FIN."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send()
