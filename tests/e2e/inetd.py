"""A tiny inetd: `inetd.py HOST PORT PROGRAM [ARGUMENT …]` runs PROGRAM for each connection, which is its stdin and stdout."""

import os
import signal
import socket
import sys


def main():
    host, port, *command = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, int(port)), family=family, backlog=128)
    while True:
        client, _ = server.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (0, 1, 2):
                os.dup2(client.fileno(), number)
            os.execv(command[0], command)
        client.close()


main()
