"""The raw client with TLS, which also does what no real one does."""

import socket
import ssl

from raw import Raw, read_all
from waiting import seconds, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
V10, V11 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
VERSIONS = (V12, V13)
# OpenSSL 3 speaks what is older than TLS 1.2 only without its security level.
OLD_CIPHERS = "DEFAULT:@SECLEVEL=0"


def client_context(version=None, *, tickets=True, ciphers=None, alpn=None, certificate=None):
    """A context that takes every certificate; of just this version, or of all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols([alpn])
    if certificate:
        context.load_cert_chain(*certificate)
    return context


class RawTls(Raw):
    """`implicit`: TLS from the first byte. Not `auth`: in clear until `secure`.

    Data connections of a `private` client are encrypted and resume the control channel's session, or `data_session`
    where that is set.
    """

    def __init__(self, address, context=None, *, implicit=False, auth=True, session=None, name="localhost",
                 source=None):
        self.context = context or client_context()
        self.name = name
        self.private = False
        self.data_session = None
        super().__init__(address, source, greeting=not implicit)
        if implicit:
            self.wrap_control(session)
            self.greeting = self.reply()
            self.private = True
        elif auth:
            self.secure(session)

    def wrap_control(self, session=None):
        assert not self.buffer
        self.sock = self.context.wrap_socket(self.sock, server_hostname=self.name, session=session)

    def secure(self, session=None):
        assert self.command("AUTH TLS").code == 234
        self.wrap_control(session)

    def protect(self):
        assert self.command("PBSZ 0").code == 200
        assert self.command("PROT P").code == 200
        self.private = True
        return self

    def login(self, user="tester", password="secret"):
        super().login(user, password)
        if isinstance(self.sock, ssl.SSLSocket) and not self.private:
            self.protect()
        return self

    def certificate(self):
        """What the gateway showed, as DER."""
        return self.sock.getpeercert(binary_form=True)

    def wrap(self, data):
        """`data` with TLS: the end without close_notify is then an error."""
        data.settimeout(seconds(10))
        session = self.sock.session if self.data_session is None else self.data_session
        return self.context.wrap_socket(data, server_hostname=self.name, session=session or None,
                                        suppress_ragged_eofs=False)

    def start(self, command, verb="PASV"):
        """The data connection of `command`, whose 150 has come, with TLS."""
        data = self.connect(self.pasv() if verb == "PASV" else self.epsv())
        reply = self.command(command)
        assert reply.code == 150, reply
        return self.wrap(data)

    def finish(self, data, upload):
        if not self.private:
            return super().finish(data, upload)
        data = self.wrap(data)
        received = b""
        if upload is None:
            received = read_all(data)
        else:
            data.sendall(upload)
        data.unwrap().close()
        return received, self.reply().code

    def clear(self):
        """CCC: both ends of TLS, then plain bytes."""
        reply = self.command("CCC")
        if reply.code == 200:
            session = self.sock.session
            self.sock = self.sock.unwrap()
            self.data_session = session
        return reply


def underneath(sock):
    """The socket of `sock`, without its TLS."""
    plain = socket.socket(fileno=sock.detach())
    plain.settimeout(seconds(10))
    return plain


def is_refused(act):
    """True when `act`, a handshake or what follows it, ends in an alert, a reset or an end."""
    try:
        act()
        return False
    except (OSError, EOFError):
        return True


def lines_with(gateway, **fields):
    """Log lines that have these texts in these fields."""
    return [line for line in gateway.log_lines()
            if all(text in str(line.get(name, "")) for name, text in fields.items())]


def wait_line(gateway, **fields):
    return until(lambda: lines_with(gateway, **fields), 5, lambda: f"{fields} in the log\n{gateway.log_text()}")[0]
