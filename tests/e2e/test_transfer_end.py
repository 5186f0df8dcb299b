"""A transfer's end means what it says: FIN stays FIN, reset stays reset, and 226 means delivered."""

import array
import fcntl
import os
import resource
import select
import socket
import termios
import threading
import time
import unittest

import tap
from harness import Gateway
from raw import Raw, read_all, reset
from stub import Stub
from waiting import seconds, until

BIG = bytes(range(256)) * (1 << 16)  # 16 MiB: more than the sockets' buffers on the way hold


def small_window(client, endpoint):
    """A data connection whose receive buffer is small, so that the sender has to wait for the reader."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(seconds(20))
    sock.bind((client.sock.getsockname()[0], 0))
    sock.connect(endpoint)
    return sock


class Scripted(unittest.TestCase):
    """A stub, a gateway with short timeouts and one client that has logged in."""

    timeouts = {"abort": "2s", "transfer_reply": "3s"}

    def setUp(self):
        self.stub = self.enterContext(Stub())
        self.gateway = self.enterContext(Gateway(self.stub.address, timeouts=self.timeouts))
        self.client = self.enterContext(Raw(self.gateway.address))
        self.client.login()

    def begin(self, command):
        data = self.client.connect(self.client.pasv())
        self.assertEqual(self.client.command(command).code, 150)
        return data

    def still_works(self):
        self.assertEqual(self.client.transfer("RETR hello.txt"), (b"hello\r\n", 226))


class Downloads(Scripted):
    def test_226_waits_for_the_slow_reader(self):
        """The server says 226 at once; the client hears it only after it has read the last byte."""
        self.stub.files["big"] = BIG
        data = small_window(self.client, self.client.pasv())
        self.assertEqual(self.client.command("RETR big").code, 150)
        received = 0
        while received < len(BIG) - (1 << 20):
            received += len(data.recv(1 << 16))
        # A megabyte is still missing. Whatever was said until now must not be a final reply.
        with self.assertRaises(TimeoutError):
            self.client.line(0.3)
        received += len(read_all(data))
        data.close()
        self.assertEqual((received, self.client.reply().code), (len(BIG), 226))

    def test_226_waits_until_the_end_is_told(self):
        """Where the last byte fills the client's window, its kernel has all of the file, and the FIN is kept back."""
        def sends(session, argument):
            session.reply("150 here")
            with session.accept() as data:
                data.sendall(b"x" * int(argument))
                time.sleep(0.2)  # the point of the case: the end behind the bytes
            session.reply("226 done")

        def begin(size):
            data = socket.socket()
            self.addCleanup(data.close)
            data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            data.settimeout(seconds(10))
            data.connect(self.client.pasv())
            self.assertEqual(self.client.command(f"RETR {size}").code, 150)
            return data

        def queued(data):
            count = array.array("i", [0])
            fcntl.ioctl(data, termios.FIONREAD, count)
            return count[0]

        self.stub.on["RETR"] = sends
        data = begin(1 << 20)
        seen = []
        until(lambda: seen.append(queued(data)) or len(seen) > 20 and len(set(seen[-20:])) == 1, 10, "a full window")
        self.assertEqual(len(read_all(data)), 1 << 20)
        data.close()
        self.assertEqual(self.client.reply().code, 226)
        for size in (seen[-1] - 1, seen[-1], seen[-1] + 1):
            data = begin(size)
            poll = select.poll()
            poll.register(data, select.POLLRDHUP)
            if select.select([self.client.sock], [], [], seconds(1))[0]:
                self.assertEqual(poll.poll(0), [(data.fileno(), select.POLLRDHUP)], f"226 before the end, {size} bytes")
            self.assertEqual(len(read_all(data)), size)
            data.close()
            self.assertEqual(self.client.reply().code, 226)

    def test_a_server_that_waits_for_the_end_of_a_client_that_keeps_it(self):
        """The client has everything; it may close its data connection when it likes."""
        def lingers(session, _):
            session.reply("150 here")
            with session.accept() as data:
                data.sendall(b"all of it")
                data.shutdown(socket.SHUT_WR)
                data.settimeout(seconds(5))
                session.reply("226 done" if data.recv(1) == b"" else "451 that was no end")

        self.stub.on["RETR"] = lingers
        data = self.begin("RETR x")
        self.assertEqual(read_all(data), b"all of it")
        self.assertEqual(self.client.reply().code, 226)
        data.close()

    def test_the_same_with_its_150_behind_the_data(self):
        """The client has acknowledged everything before it is known for a download."""
        received = threading.Event()

        def late(session, _):
            with session.accept() as data:
                data.sendall(b"all of it")
                data.shutdown(socket.SHUT_WR)
                was_waited_for = not received.wait(seconds(5))
                time.sleep(0.2)  # the point of the case: a word long after the data
                session.reply("150 here")
                data.settimeout(seconds(5))
                is_good = data.recv(1) == b"" and not was_waited_for
                session.reply("226 done" if is_good else "451 that was no end, or the bytes waited for a 150")

        self.stub.on["RETR"] = late
        data = self.client.connect(self.client.pasv())
        self.client.send("RETR x\r\n")
        self.assertEqual(read_all(data), b"all of it")
        received.set()
        self.assertEqual([self.client.reply().code, self.client.reply().code], [150, 226])
        data.close()

    def test_its_150_comes_before_its_bytes(self):
        """As from the server itself, also where all of a small file is there already."""
        def near(session, _):
            with session.accept() as data:
                session.reply("150 here")
                data.sendall(b"all of it")
            session.reply("226 done")

        self.stub.on["RETR"] = near
        for _ in range(40):
            data = self.client.connect(self.client.pasv())
            self.client.send("RETR x\r\n")
            ready, _, _ = select.select([data, self.client.sock], [], [], seconds(5))
            self.assertIn(self.client.sock, ready)
            self.assertEqual(self.client.reply().code, 150)
            self.assertEqual(read_all(data), b"all of it")
            data.close()
            self.assertEqual(self.client.reply().code, 226)

    def test_226_before_the_first_byte(self):
        def early(session, _):
            session.reply("150 here", "226 done")
            with session.accept() as data:
                time.sleep(0.1)  # the point of the case: data long after its final reply
                data.sendall(BIG[:1 << 20])

        self.stub.on["RETR"] = early
        data = self.begin("RETR x")
        self.assertEqual(read_all(data), BIG[:1 << 20])
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def test_reset_by_the_backend(self):
        """The client's leg is reset too, and a 226 from a server that believes in it becomes 426."""
        def cut(session, _):
            session.reply("150 here")
            data = session.accept()
            data.sendall(b"half a fi")
            until(lambda: len(received) > 0, 10, "the first half")
            reset(data)
            session.reply("226 all fine")

        received = []
        self.stub.on["RETR"] = cut
        data = self.begin("RETR x")
        received.append(data.recv(100))
        with self.assertRaises(ConnectionResetError):
            data.recv(100)
        self.assertEqual(self.client.reply().code, 426)
        self.assertEqual(self.gateway.metric("transfers_total", result="broken"), 1)
        self.still_works_with_default()

    def still_works_with_default(self):
        del self.stub.on["RETR"]
        self.still_works()

    def test_reset_by_the_client(self):
        """The server's leg is reset, and the client gets 426 (or the server's own refusal), never 226."""
        seen = []

        def endless(session, _):
            session.reply("150 here")
            with session.accept() as data:
                try:
                    while True:
                        data.sendall(BIG)
                except OSError as error:
                    seen.append(error)
            session.reply("226 as if nothing had happened")

        self.stub.on["RETR"] = endless
        data = self.begin("RETR x")
        data.recv(1000)
        reset(data)
        self.assertEqual(self.client.reply().code, 426)
        until(lambda: seen, 5, "the server's leg fails")
        self.assertIsInstance(seen[0], ConnectionResetError)
        self.still_works_with_default()

    def test_client_closes_early(self):
        """A client that has enough closes in order: the server's leg ends, and the answer isn't 226."""
        self.stub.files["big"] = BIG
        data = self.begin("RETR big")
        data.recv(1000)
        data.close()
        self.assertEqual(self.client.reply().code, 426)
        self.still_works()

    def test_backend_error_after_150(self):
        """A 451 after half of the file is forwarded, and the data connection doesn't look complete."""
        def fail(session, _):
            session.reply("150 here")
            with session.accept() as data:
                data.sendall(b"half")
            session.reply("451 disk on fire")

        self.stub.on["RETR"] = fail
        data = self.begin("RETR x")
        self.assertEqual(self.client.reply().code, 451)
        data.close()
        self.still_works_with_default()

    def test_client_shuts_its_side_and_reads_nothing(self):
        """The kernel then reports a hang-up for as long as the transfer waits: that must cost no CPU."""
        self.stub.files["big"] = BIG
        data = small_window(self.client, self.client.pasv())
        self.assertEqual(self.client.command("RETR big").code, 150)
        data.shutdown(socket.SHUT_WR)
        until(lambda: self.gateway.metric("transfer_bytes_total") > 0, 5, "the first bytes")
        before = self.gateway.cpu_seconds()
        time.sleep(1)  # what is measured is how little happens in it
        self.assertLess(self.gateway.cpu_seconds() - before, 0.3)
        self.assertEqual(len(read_all(data)), len(BIG))
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def test_no_descriptor_for_a_pipe(self):
        """The transfer waits, as behind a slow reader, and goes on when there are descriptors again."""
        connected, go = threading.Event(), threading.Event()

        def wait(session, _):
            session.reply("150 here")
            with session.accept() as data:
                connected.set()
                go.wait(seconds(10))
                data.sendall(BIG)
            session.reply("226 done")

        self.stub.on["RETR"] = wait
        data = self.begin("RETR x")
        self.assertTrue(connected.wait(seconds(5)))
        self.gateway.wait_metric("data_connections_total", 1, leg="backend", result="ok")
        process = self.gateway.process.pid
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        used = max(map(int, os.listdir(f"/proc/{process}/fd")))
        resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 1, limits[1]))
        go.set()
        data.settimeout(0.5)
        first = b""  # what needs no pipe
        with self.assertRaises(TimeoutError):
            while chunk := data.recv(65536):
                first += chunk
        self.assertLess(len(first), 100_000)
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        data.settimeout(seconds(20))
        self.assertEqual(first + read_all(data), BIG)
        data.close()
        self.assertEqual(self.client.reply().code, 226)

    def test_resets_at_the_end_of_a_transfer(self):
        """The client hears 226 and resets in the moment that the gateway closes: in no order does it harm anyone."""
        for number in range(60):
            data = self.begin("RETR hello.txt")
            if number % 3 == 0:
                reset(data)
                self.assertIn(self.client.reply().code, (226, 426))
                continue
            self.assertEqual(data.recv(100), b"hello\r\n")
            if number % 3 == 1:
                self.assertEqual(data.recv(100), b"")
            reset(data)
            self.assertIn(self.client.reply().code, (226, 426))
        self.still_works()

    def test_no_final_reply(self):
        """The server's data connection ends and its 226 never comes: an answer comes all the same."""
        def mute(session, _):
            session.reply("150 here")
            session.accept().close()

        self.stub.on["RETR"] = mute
        data = self.begin("RETR x")
        self.assertEqual(read_all(data), b"")
        self.assertIn(self.client.reply(20).code, (421, 426))
        data.close()


class Uploads(Scripted):
    def test_reset_is_no_complete_file(self):
        data = self.begin("STOR broken")
        data.sendall(b"half of it")
        until(lambda: self.gateway.metric("transfer_bytes_total", direction="upload") == 10, 5, "10 bytes relayed")
        reset(data)
        self.assertEqual(self.client.reply().code, 426)
        self.assertEqual(self.stub.broken_uploads, ["broken"])
        self.assertNotIn("broken", self.stub.files)
        self.still_works()

    def test_226_for_a_broken_upload_becomes_426(self):
        def careless(session, _):
            session.reply("150 go on")
            try:
                read_all(session.accept())
            except ConnectionResetError:
                pass
            session.reply("226 stored")

        self.stub.on["STOR"] = careless
        data = self.begin("STOR x")
        data.sendall(b"half")
        until(lambda: self.gateway.metric("transfer_bytes_total", direction="upload") == 4, 5, "4 bytes relayed")
        reset(data)
        self.assertEqual(self.client.reply().code, 426)
        self.still_works()

    def test_urgent_byte_stops_nothing(self):
        """splice takes no urgent byte and nothing behind it: the file must be whole all the same."""
        data = self.begin("STOR urgent")
        data.sendall(b"before ")
        until(lambda: self.gateway.metric("transfer_bytes_total", direction="upload") == 7, 5, "7 bytes relayed")
        data.send(b"!", socket.MSG_OOB)
        data.sendall(b" behind")
        data.close()
        self.assertEqual(self.client.reply().code, 226)
        self.assertEqual(self.stub.files["urgent"], b"before ! behind")

    def test_half_close(self):
        """The client ends its upload with FIN and keeps its receiving side open until the 226."""
        data = self.begin("STOR half-closed")
        data.sendall(BIG)
        data.shutdown(socket.SHUT_WR)
        self.assertEqual(self.client.reply().code, 226)
        self.assertEqual(data.recv(1), b"")
        data.close()
        self.assertEqual(self.stub.files["half-closed"], BIG)

    def test_backend_closes_early(self):
        """A full disk: the server closes its data connection and says 452."""
        def full(session, _):
            session.reply("150 go on")
            data = session.accept()
            data.recv(1000)
            data.close()
            session.reply("452 disk full")

        self.stub.on["STOR"] = full
        data = self.begin("STOR x")
        sender = threading.Thread(target=self._send_until_refused, args=(data,))
        sender.start()
        self.assertEqual(self.client.reply().code, 452)
        sender.join(seconds(10))
        self.assertFalse(sender.is_alive())
        data.close()
        self.still_works()

    @staticmethod
    def _send_until_refused(data):
        try:
            while True:
                data.sendall(BIG)
        except OSError:
            pass


class Stalls(Scripted):
    timeouts = {"data_stall": "500ms", "transfer_reply": "2s"}

    def test_silent_transfer_is_ended(self):
        def silent(session, _):
            session.reply("150 here")
            try:
                session.accept().recv(1)
            except OSError:
                pass
            session.reply("426 gave up")

        self.stub.on["RETR"] = silent
        data = self.begin("RETR x")
        with self.assertRaises(ConnectionResetError):
            data.recv(1)
        self.assertEqual(self.client.reply().code, 426)
        self.assertEqual(self.gateway.metric("transfers_total", result="stalled"), 1)

    def test_slow_but_moving_transfer_is_not(self):
        def slow(session, _):
            session.reply("150 here")
            with session.accept() as data:
                for _ in range(10):
                    data.sendall(b"x")
                    time.sleep(0.1)
            session.reply("226 done")

        self.stub.on["RETR"] = slow
        data = self.begin("RETR x")
        self.assertEqual(read_all(data), b"x" * 10)
        data.close()
        self.assertEqual(self.client.reply().code, 226)


class DataPort(Scripted):
    def test_backend_refuses_the_data_connection(self):
        """The server's port is closed: the client's data connection is reset and the transfer gets 425."""
        def gone(session, _):
            port = session.listen()
            session.drop_listener()
            session.reply(f"227 ok ({session.tuple(port)})")

        self.stub.on["PASV"] = gone
        self.stub.on["RETR"] = lambda session, _: session.reply("425 nobody came")
        self.assertTrue(self.client.is_reset_at(self.client.pasv()))
        self.assertIn(self.client.command("RETR hello.txt").code, (425, 426))
        del self.stub.on["PASV"]
        self.still_works_after()

    def still_works_after(self):
        del self.stub.on["RETR"]
        self.still_works()


if __name__ == "__main__":
    tap.main()
