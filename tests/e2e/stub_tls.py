"""The fake server with TLS, and with all that can be wrong with it."""

import socket
import ssl

import certificates
from stub import Stub, StubSession
from waiting import seconds


class Dialler:
    """In a listener's place after PORT and EPRT."""

    def __init__(self, host, port):
        self.endpoint = (host, int(port))

    def accept(self):
        return socket.create_connection(self.endpoint, timeout=seconds(10)), self.endpoint

    def close(self):
        pass


class TlsStubSession(StubSession):
    secured = False
    private = False

    def run(self):
        if self.stub.implicit:
            self.secure()
        super().run()

    def secure(self):
        if not self.stub.shakes_hands:
            self.sock.settimeout(seconds(20))
            while self.sock.recv(65536):
                pass
            raise ConnectionAbortedError
        self.sock = self.wrap(self.sock)
        self.stub.resumed.append(self.sock.session_reused)
        self.secured = True

    def wrap(self, sock):
        return self.stub.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)

    def accept(self):
        super().accept()
        self.stub.data_private.append(self.private)
        if self.private:
            self.data = self.wrap(self.data)
            self.stub.data_resumed.append(self.data.session_reused)
        return self.data

    def end(self, data):
        if not self.private:
            return
        if self.stub.truncates:
            data.close()
        else:
            data.unwrap()

    def do_auth(self, _):
        self.raw(b"234 go on\r\n" + self.stub.behind)
        self.secure()

    def do_port(self, argument):
        numbers = [int(number) for number in argument.split(",")]
        self.set_up(".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5])

    def do_eprt(self, argument):
        self.set_up(*argument.split("|")[2:4])

    def set_up(self, host, port):
        self.drop_listener()
        self.listener = Dialler(host, port)
        self.reply("200 ok")

    def do_pbsz(self, _):
        self.reply("200 PBSZ=0")

    def do_prot(self, argument):
        self.private = argument == "P"
        self.reply("200 ok")


class TlsStub(Stub):
    session_class = TlsStubSession

    def __init__(self, *, implicit=False, host="127.0.0.1", port=0, name="localhost", version=None):
        self.certificate, key = certificates.files(name)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        self.context.load_cert_chain(self.certificate, key)
        self.implicit = implicit
        self.behind = b""         # in clear, in one segment with the 234
        self.shakes_hands = True  # or is silent instead
        self.truncates = False    # ends data without close_notify
        self.resumed = []
        self.data_private = []
        self.data_resumed = []
        super().__init__(host=host, port=port)
