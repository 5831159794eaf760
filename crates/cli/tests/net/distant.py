"""A peer that is far away, for what a TCP does only then.

usage: distant.py MILLISECONDS MICROSECONDS

It has every address that ends in .9 on every interface, takes every connection, acknowledges every segment after
MILLISECONDS, no two on one interface within MICROSECONDS, and keeps nothing. Prints "listening" when it does.
"""

import collections
import select
import socket
import struct
import sys
import time

ARP, IPV4, TCP = 0x0806, 0x0800, 6
FIN, SYN, ACK = 1, 2, 16


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def arp(frame):
    """The answer to a request for an address of ours."""
    operation, = struct.unpack_from("!H", frame, 20)
    if operation != 1 or frame[41] != 9:
        return None
    mac = b"\2\0\0\0\0\t"
    head = frame[6:12] + mac + frame[12:20] + struct.pack("!H", 2)
    return head + mac + frame[38:42] + frame[22:32]


def tcp(frame):
    """The answer to a segment for an address of ours, unless it is an ACK alone."""
    if frame[23] != TCP or frame[33] != 9:
        return None
    begin = 14 + (frame[14] & 15) * 4
    source, to, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", frame, begin)
    total, = struct.unpack_from("!H", frame, 16)
    length = total - (begin - 14) - (offset >> 4) * 4
    acked = length + (flags & SYN > 0) + (flags & FIN > 0)
    if acked == 0:
        return None
    answer = ACK | flags & (SYN | FIN)
    # Windows of a MiB; no timestamps, no SACK.
    options = struct.pack("!BBHBBBB", 2, 4, 1460, 3, 3, 5, 1) if flags & SYN else b""
    own = 0 if flags & SYN else 1
    header = struct.pack("!HHIIBBHHH", to, source, own, seq + acked & 0xFFFFFFFF, (5 + len(options) // 4) << 4, answer,
                         32768, 0, 0) + options
    addresses = frame[30:34] + frame[26:30]
    total = checksum(addresses + struct.pack("!HH", TCP, len(header)) + header)
    header = header[:16] + struct.pack("!H", total) + header[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(header), 0, 0x4000, 64, TCP, 0) + addresses
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return frame[6:12] + frame[0:6] + frame[12:14] + ip + header


def main():
    distance, apart = float(sys.argv[1]) / 1e3, float(sys.argv[2]) / 1e6
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    print("listening", flush=True)
    # What waits, with when it may leave, for each interface; and when its last answer left.
    waiting, last = {}, {}
    while True:
        now = time.monotonic()
        due = [(max(queue[0][0], last.get(to, 0) + apart), to) for to, queue in waiting.items() if queue]
        at, to = min(due, default=(None, None))
        if at is not None and at <= now:
            last[to] = now
            send(wire, waiting[to].popleft()[1], to)
            continue
        if not select.select([wire], [], [], at and at - now)[0]:
            continue
        frame, (interface, kind, direction, *_) = wire.recvfrom(1 << 16)
        if direction == socket.PACKET_OUTGOING:
            continue
        if kind == ARP and (answer := arp(frame)):
            send(wire, answer, interface)
        elif kind == IPV4 and (answer := tcp(frame)):
            waiting.setdefault(interface, collections.deque()).append((time.monotonic() + distance, answer))


def send(wire, frame, interface):
    try:
        wire.sendto(frame, (interface, 0))
    except OSError:
        pass  # The interface went with whom it belonged to.


main()
