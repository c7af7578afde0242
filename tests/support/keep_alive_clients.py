#!/usr/bin/env python3
"""Clients that pull without a pause over connections they keep, and report every answer. A process of its own.

    keep_alive_clients.py PORT COUNT PAUSE PATH...

Each client asks for one path after the other. Every answer is a line `start end client path status length-or-digest`, times in seconds of
the machine's monotonic clock; a connection that ends or an answer that breaks off is a line `broken client text`. Ends, after the answers
that are under way, when standard input does.
"""
import asyncio
import hashlib
import sys
import time


class Broken(Exception):
    pass


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if "content-length" not in fields or fields.get("connection", "").lower() == "close":
        raise Broken(head.decode("latin-1"))
    return int(lines[0].split(" ")[1]), await reader.readexactly(int(fields["content-length"]))


async def client(number, port, pause, paths, stop, out):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = number
    try:
        while not stop.is_set():
            path = paths[turn % len(paths)]
            turn += 1
            start = time.monotonic()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: gateway\r\nAccept: */*\r\n\r\n".encode())
            status, body = await read_answer(reader)
            out.write(f"{start:.6f} {time.monotonic():.6f} {number} {path} {status} {hashlib.sha256(body).hexdigest() if status == 200 else len(body)}\n")
            await asyncio.sleep(pause)
    except (OSError, Broken, asyncio.IncompleteReadError) as error:
        out.write(f"broken {number} {error!r}\n")
    writer.close()


async def main(port, count, pause, paths):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), lambda: sys.stdin.buffer.read1() == b"" and stop.set())
    await asyncio.gather(*(client(number, port, pause, paths, stop, sys.stdout) for number in range(count)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
