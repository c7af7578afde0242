"""The second sink: every record reaches it once, in order; a sink that is down stops nothing and loses only what is counted."""
import contextlib
import http.server
import json
import os
import re
import socket
import threading

import pytest
from gateway import free_port, wait_until

APP = "registry.test/team/app"


class Collector:
    """An HTTP collector whose answers the test decides."""

    def __init__(self, port=0):
        self.records, self.headers, self.status = [], [], 204
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.headers.append(dict(self.headers))
                if outer.status < 300:
                    outer.records += [json.loads(line) for line in body.splitlines()]
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def wait_for_all(gateway, collector):
    wait_until(lambda: collector.records and collector.records[-1] == gateway.audit()[-1], what="the sink to have every record")


def test_http_gets_every_record_in_order(images, fake, make_gateway, collector):
    gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{collector.port}/in"}})
    images.signed()
    images.push(tag="bad", files={"f": b"bad"})
    for tag in ("v1", "bad"):
        gateway.manifest(APP, tag)
    wait_for_all(gateway, collector)
    assert collector.records == gateway.audit()
    assert collector.headers[0]["Content-Type"] == "application/x-ndjson"
    wait_until(lambda: gateway.metric("gatehouse_audit_sink_records_total", result="sent") == len(collector.records), what="every record to count as sent")
    gateway.stop()
    assert collector.records == gateway.audit() and collector.records[-1]["type"] == "stop"


def test_http_token_is_sent(fake, make_gateway, collector, tmp_path):
    token = tmp_path / "collector.token"
    token.write_text("let-me-in\n")
    token.chmod(0o600)
    gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{collector.port}/", "token_file": str(token)}})
    wait_for_all(gateway, collector)
    assert collector.headers[0]["Authorization"] == "Bearer let-me-in"


def test_collector_down_stops_nothing_and_gets_all_later(images, fake, make_gateway):
    port = free_port()
    gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{port}/"}})
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    wait_until(lambda: "are not delivered" in gateway.log_text(), what="the failure to be logged")
    collector = Collector(port)
    wait_for_all(gateway, collector)
    assert collector.records == gateway.audit()
    wait_until(lambda: "delivered again" in gateway.log_text(), what="the recovery to be logged")
    collector.close()


def test_refusing_collector_is_tried_again(fake, make_gateway, collector):
    collector.status = 503
    gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{collector.port}/"}})
    wait_until(lambda: len(collector.headers) >= 2, what="a second try")
    assert collector.records == []
    collector.status = 200
    wait_for_all(gateway, collector)
    assert collector.records == gateway.audit()


def test_restart_loses_and_repeats_nothing(images, fake, make_gateway, collector):
    gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{collector.port}/"}})
    wait_for_all(gateway, collector)
    collector.status = 500
    images.signed()
    assert gateway.manifest(APP, "v1").status == 200
    gateway.stop()
    collector.status = 200
    gateway.start()
    wait_for_all(gateway, collector)
    assert [r["seq"] for r in collector.records] == [r["seq"] for r in gateway.audit()]


def test_full_queue_is_counted_and_recorded_as_a_gap(images, fake, make_gateway, collector):
    collector.status = 500
    gateway = make_gateway(fake, audit={"sink": {"url": f"http://127.0.0.1:{collector.port}/", "queue": "64KiB"}})
    images.push()
    for _ in range(120):
        assert gateway.ask_admin("POST", "/v1/reload").status == 200
    wait_until(lambda: gateway.metric("gatehouse_audit_sink_records_total", result="lost") > 0, what="loss to be counted")
    gateway.stop()
    collector.status = 200
    gateway.start()
    wait_for_all(gateway, collector)
    gaps = [r for r in gateway.audit() if r["type"] == "sink_gap"]
    assert gaps and all(gap["lost"] == gap["to"] - gap["from"] + 1 for gap in gaps)
    have = [r["seq"] for r in collector.records]
    lost = {seq for gap in gaps for seq in range(gap["from"], gap["to"] + 1)}
    assert have == [r["seq"] for r in gateway.audit() if r["seq"] not in lost]
    assert gateway.run("audit", "verify", gateway.audit_file()).returncode == 0


FORM = re.compile(r"<(\d+)>1 (\d{4}-\d\d-\d\dT\S+Z) (\S+) gatehouse (\d+) (\w+) - (\{.*\})", re.S)


def syslog_records(messages, gateway):
    found = []
    for message in messages:
        match = FORM.fullmatch(message.decode())
        assert match, message
        record = json.loads(match[6])
        assert match[2] == record["time"] and match[5] == record["type"]
        assert int(match[1]) == (108 if record["type"] in ("denial", "undecided") else 110)
        found.append(record)
    return found


@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_syslog_datagrams(images, fake, make_gateway, tmp_path, kind):
    if kind == "udp":
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{server.getsockname()[1]}"
    else:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(str(tmp_path / "log"))
        url = f"unix:{tmp_path}/log"
    server.settimeout(10)
    gateway = make_gateway(fake, audit={"sink": url})
    images.push()
    assert gateway.manifest(APP, "v1").status == 403
    gateway.stop()
    expected = gateway.audit()
    assert syslog_records([server.recv(1 << 17) for _ in expected], gateway) == expected
    server.close()


def read_frames(connection):
    data, frames = b"", []
    connection.settimeout(10)
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    while data:
        count, _, data = data.partition(b" ")
        frames.append(data[:int(count)])
        data = data[int(count):]
    return frames


def test_syslog_tcp_counts_octets(images, fake, make_gateway):
    server = socket.create_server(("127.0.0.1", 0))
    gateway = make_gateway(fake, audit={"sink": {"url": f"tcp://127.0.0.1:{server.getsockname()[1]}"}})
    images.push()
    assert gateway.manifest(APP, "v1").status == 403
    connection = server.accept()[0]
    gateway.stop()
    assert syslog_records(read_frames(connection), gateway) == gateway.audit()
    server.close()


def test_syslog_tcp_server_that_went_is_connected_to_again(images, fake, make_gateway):
    server = socket.create_server(("127.0.0.1", 0))
    gateway = make_gateway(fake, audit={"sink": {"url": f"tcp://127.0.0.1:{server.getsockname()[1]}"}})
    first = server.accept()[0]
    wait_until(lambda: gateway.metric("gatehouse_audit_sink_records_total", result="sent") > 0, what="the first record")
    first.close()
    images.push()
    assert gateway.manifest(APP, "v1").status == 403
    second = server.accept()[0]
    gateway.stop()
    records = syslog_records(read_frames(second), gateway)
    assert records and records[-1] == gateway.audit()[-1]
    server.close()


@pytest.mark.parametrize("url", ["ftp://a", "udp://", "udp://host", "tcp://host:", "tcp://host:abc", "unix:", "http://", "file:///tmp/x", "localhost:514"])
def test_unknown_scheme_is_an_error(fake, make_gateway, url):
    gateway = make_gateway(fake, ready=False, audit={"sink": {"url": url}})
    result = gateway.run("check", "-c", gateway.file)
    assert result.returncode == 2 and "expected udp://HOST:PORT" in result.stdout + result.stderr, result


def test_token_for_syslog_is_an_error(fake, make_gateway, tmp_path):
    token = tmp_path / "token"
    token.write_text("x\n")
    token.chmod(0o600)
    gateway = make_gateway(fake, ready=False, audit={"sink": {"url": "udp://127.0.0.1:514", "token_file": str(token)}})
    result = gateway.run("check", "-c", gateway.file)
    assert result.returncode == 2 and "for http and https alone" in result.stdout + result.stderr, result
