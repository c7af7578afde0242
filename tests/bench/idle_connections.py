#!/usr/bin/env python3
"""Memory per idle connection: opens COUNT keep-alive connections, sends one request on each, and
compares the server's anonymous memory (RssAnon) before and after.

Usage: idle_connections.py ADDRESS PID [--count 10000] [--tls] [--path /v2/] [--limit-kib N]
Exits 1 when the figure is above --limit-kib, 77 when this process may not open enough files.
"""
import argparse
import resource
import socket
import ssl
import sys
import time


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status if ":" in line)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon")}


def connect(address, tls, number):
    host, port = address.rsplit(":", 1)
    # Loopback has many addresses: a fresh source address for every 20,000 ports.
    source = (f"127.0.0.{2 + number // 20000}", 0) if host == "127.0.0.1" else None
    sock = socket.create_connection((host, int(port)), timeout=30, source_address=source)
    return tls.wrap_socket(sock) if tls else sock


def ask(sock, host, path):
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise SystemExit("the server closed a connection")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, value = line.split(b":", 1)
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += sock.recv(65536)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("pid", type=int)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--path", default="/v2/")
    parser.add_argument("--limit-kib", type=float)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < args.count + 64:
        print(f"skipped: only {hard} files may be open")
        return 77
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = None
    if args.tls:
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    warm = [connect(args.address, tls, 0) for _ in range(16)]
    for sock in warm:
        ask(sock, args.address, args.path)
    before = rss_kib(args.pid)
    socks = []
    for number in range(args.count):
        socks.append(connect(args.address, tls, number))
        ask(socks[-1], args.address, args.path)
    time.sleep(0.5)
    after = rss_kib(args.pid)
    each = (after["RssAnon"] - before["RssAnon"]) / args.count
    print(f"{args.count} idle {'TLS' if args.tls else 'plain'} connections: {each:.2f} KiB each, "
          f"process {after['RssAnon'] / 1024:.1f} MiB anonymous, {after['VmRSS'] / 1024:.1f} MiB in all")
    ask(socks[0], args.address, args.path)
    ask(socks[-1], args.address, args.path)
    return 1 if args.limit_kib is not None and each > args.limit_kib else 0


if __name__ == "__main__":
    sys.exit(main())
