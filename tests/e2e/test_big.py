"""More than 4 GiB in one transfer, both ways: counted, and looked at in every block."""

import socket
import tempfile
import unittest

import tap
from harness import Gateway
from raw import Raw
from stub import Stub

BLOCK = 64 << 20
BLOCKS = 80  # 5 GiB
TOTAL = BLOCK * BLOCKS


def send_blocks(sock):
    """80 blocks of zeros, each with its number at its front; the kernel copies them from one small file."""
    with tempfile.TemporaryFile() as zeros:
        zeros.truncate(BLOCK)
        for number in range(BLOCKS):
            sock.sendall(number.to_bytes(8, "big"), socket.MSG_MORE)
            sock.sendfile(zeros, 8, BLOCK - 8)


def receive_blocks(sock):
    """(bytes received, the numbers found at the blocks' fronts)."""
    buffer = bytearray(4 << 20)
    view = memoryview(buffer)
    total, numbers, front = 0, [], b""
    while count := sock.recv_into(buffer):
        at = (-total) % BLOCK if not front else 0
        while at < count:
            need = 8 - len(front)
            front += bytes(view[at:min(at + need, count)])
            if len(front) == 8:
                numbers.append(int.from_bytes(front, "big"))
                front = b""
                at = at + need - 8 + BLOCK
            else:
                break
        total += count
    return total, numbers


class FiveGibibytes(unittest.TestCase):
    def check(self, total, numbers):
        self.assertEqual(total, TOTAL)
        self.assertEqual(numbers, list(range(BLOCKS)))

    def test_download(self):
        def send(session, _):
            session.reply("150 a lot")
            with session.accept() as data:
                send_blocks(data)
            session.reply("226 done")

        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            stub.on["RETR"] = send
            client.login()
            data = client.connect(client.pasv())
            self.assertEqual(client.command("RETR big").code, 150)
            self.check(*receive_blocks(data))
            data.close()
            self.assertEqual(client.reply().code, 226)
            self.assertEqual(gateway.metric("transfer_bytes_total", direction="download"), TOTAL)

    def test_upload(self):
        received = []

        def receive(session, _):
            session.reply("150 go on")
            with session.accept() as data:
                received.append(receive_blocks(data))
            session.reply("226 stored")

        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            stub.on["STOR"] = receive
            client.login()
            data = client.connect(client.pasv())
            self.assertEqual(client.command("STOR big").code, 150)
            send_blocks(data)
            data.close()
            self.assertEqual(client.reply(60).code, 226)
            self.check(*received[0])
            self.assertEqual(gateway.metric("transfer_bytes_total", direction="upload"), TOTAL)


if __name__ == "__main__":
    tap.main()
