# SPDX-License-Identifier: BSD-2-Clause
"""What several channels of an interface get: net_rss.py send DEVICE MAC COUNT; net_rss.py check FILE CHANNELS COUNT.

send: UDP frames of COUNT flows, by a packet socket on a TAP device. check: each of them is in the capture, with the
Toeplitz hash of its addresses and ports, and came in by the channel that this names, by a table of 128 entries that deals
out in turn.
"""
import socket
import struct
import sys

KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
TABLE = 128
SOURCE, DESTINATION, PORT = bytes([10, 78, 0, 1]), bytes([10, 78, 0, 2]), 7


def toeplitz(data):
    key, total = int.from_bytes(KEY, "big"), 8 * len(KEY)
    result = 0
    for bit in range(8 * len(data)):
        if data[bit // 8] >> (7 - bit % 8) & 1:
            result ^= key >> (total - 32 - bit) & 0xffffffff
    return result


def send(device, mac, count):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((device, 0))
    for i in range(count):
        udp = struct.pack(">HHHH", 20000 + i, PORT, 8 + 18, 0) + bytes(18)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), i, 0, 64, 17, 0) + SOURCE + DESTINATION
        total = sum(struct.unpack(">10H", ip))
        total = (total & 0xffff) + (total >> 16)
        ip = ip[:10] + struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + ip[12:]
        wire.send(bytes.fromhex(mac.replace(":", "")) + bytes([2, 0, 0, 0, 0, 9]) + b"\x08\x00" + ip + udp)


def frames(path):
    """Of each packet block (type 6): the frame, the queue that its option 6 names, and the Toeplitz hash of its option 3."""
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            captured = struct.unpack_from("<I", data, at + 20)[0]
            options, queue = at + 28 + (captured + 3) // 4 * 4, None
            hashed = None
            while options < at + length - 4:
                code, size = struct.unpack_from("<HH", data, options)
                if code == 6:
                    queue = struct.unpack_from("<I", data, options + 4)[0]
                if code == 3 and data[options + 4] == 5:
                    hashed = int.from_bytes(data[options + 5:options + 4 + size], "big")
                options += 4 + (size + 3) // 4 * 4
            yield data[at + 28:at + 28 + captured], queue, hashed
        at += length


def check(path, channels, count):
    seen = {}
    for frame, queue, hashed in frames(path):
        if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[26:30] != SOURCE:
            continue
        seen[struct.unpack_from(">H", frame, 34)[0]] = queue
        flow = toeplitz(frame[26:34] + frame[34:38])
        port, expected = frame[34] << 8 | frame[35], flow % TABLE % channels
        assert queue == expected, "port %d came in by %s, not by %d" % (port, queue, expected)
        assert hashed == flow, "port %d has the hash %s, not %#x" % (port, hashed, flow)
    assert len(seen) == count, "%d flows of %d" % (len(seen), count)
    assert set(seen.values()) == set(range(channels)), "channels that got some: %s" % set(seen.values())


if sys.argv[1] == "send":
    send(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    check(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
