"""Asks for a renegotiation (TLS 1.2), which Python's ssl can't: by OpenSSL itself, on its object inside Python's."""

import ctypes

LIBSSL = ctypes.CDLL("libssl.so.3")  # the one that Python's ssl has loaded


class PySslSocket(ctypes.Structure):
    """The front of CPython's PySSLSocket (Modules/_ssl.c)."""

    _fields_ = [("references", ctypes.c_ssize_t), ("type", ctypes.c_void_p), ("socket", ctypes.c_void_p),
                ("ssl", ctypes.c_void_p)]


def renegotiate(sock):
    """A client sends its ClientHello, a server its HelloRequest; the answer comes with what is read next."""
    ssl = ctypes.c_void_p(PySslSocket.from_address(id(sock._sslobj)).ssl)  # pylint: disable=protected-access
    assert LIBSSL.SSL_get_fd(ssl) == sock.fileno()
    assert LIBSSL.SSL_renegotiate(ssl) == 1
    LIBSSL.SSL_do_handshake(ssl)  # a client's then waits for the answer
