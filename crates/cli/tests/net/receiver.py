"""A plain TCP receiver that knows nothing of tsonami.

usage: receiver.py MODE PORT CONNECTIONS

Prints "listening", "got BYTES" now and then, and for each connection "done BYTES SHA256". Modes:
  plain      reads
  slow       reads 64 KiB, rests, reads on, with a small receive buffer: the window closes again and again
  answer     answers every piece it reads while more is coming
  half-close sends its own FIN first, then reads to the end
  deaf       accepts and never reads
  hole       nothing that carries more than a few bytes reaches its TCP: it acknowledges nothing
  late       says "accepted", and reads only after SIGUSR1
"""

import ctypes
import hashlib
import signal
import socket
import struct
import sys
import threading
import time


def serve(conn, mode):
    digest, total, told = hashlib.sha256(), 0, 0
    if mode == "half-close":
        conn.sendall(b"nothing more from me")
        conn.shutdown(socket.SHUT_WR)
    if mode == "late":
        print("accepted", flush=True)
        told_to_read.wait()
    while mode != "deaf":
        piece = conn.recv(1 << 16)
        if not piece:
            break
        digest.update(piece)
        total += len(piece)
        if total - told >= 1 << 20:
            told = total
            print("got", total, flush=True)
        if mode == "slow":
            time.sleep(0.002)
        if mode == "answer":
            conn.sendall(b"read %d bytes so far\n" % total)
    if mode == "deaf":
        threading.Event().wait()
    if mode == "answer":
        conn.sendall(b"that was all\n")
    conn.close()
    print("done", total, digest.hexdigest(), flush=True)


told_to_read = threading.Event()


def main():
    signal.signal(signal.SIGUSR1, lambda *_: told_to_read.set())
    mode, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if mode == "slow":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
    if mode == "hole":
        # Socket filters judge a segment before TCP sees it: "longer than 100 bytes, header included? drop it".
        program = struct.pack("HBBI" * 4, 0x80, 0, 0, 0, 0x25, 0, 1, 100, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFF)
        code = ctypes.create_string_buffer(program)
        listener.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", 4, ctypes.addressof(code)))
    listener.bind(("0.0.0.0", port))
    listener.listen(connections)
    print("listening", flush=True)
    threads = []
    for _ in range(connections):
        conn, _ = listener.accept()
        threads.append(threading.Thread(target=serve, args=(conn, mode)))
        threads[-1].start()
    for thread in threads:
        thread.join()


main()
