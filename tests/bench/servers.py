"""The servers that tests/bench/run.py compares, and the registry in front of which all of them stand.

Each is started on a free loopback port with one worker and a folder of its own. The CPU time of a server is that of all
its processes and threads, as the scheduler counts it: other load on the machine does not add to it.
"""
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time

UPSTREAM_NAME = "registry.bench.internal"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def version_of(*command):
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    return (out.stdout + out.stderr).strip().splitlines()[0]


class Server:
    """A started process with a folder; subclasses give name, command and version."""

    name = ""
    is_available = True

    def __init__(self, work):
        self.folder = os.path.join(work, self.name.replace(" ", "-"))
        self.process = None
        self.port = 0

    def start(self):
        """Start with an empty folder, and wait until it answers."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.port = free_port()
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.environment(),
                                            start_new_session=True)
        deadline = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"{self.name} did not start: " + read(os.path.join(self.folder, "log"))[-2000:])
            time.sleep(0.02)
        return self

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        shutil.rmtree(os.path.join(self.folder, "cache"), ignore_errors=True)

    def answers(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def environment(self):
        return None

    def pids(self):
        pid = self.process.pid
        return [pid] + [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]

    def cpu_s(self):
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    total += int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
                except OSError:
                    pass  # a helper thread that has just ended
        return total / 1e9

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Nginx(Server):
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or "nginx"

    def version(self):
        return version_of(self.binary, "-v").replace("nginx version: ", "")

    def start_config(self, http_lines):
        folder = self.folder
        user = "user root;" if os.geteuid() == 0 else ""  # else it would become nobody, who may not read here
        return self.write("nginx.conf", f"""daemon off;
{user}
pid {folder}/pid;
worker_processes 1;
error_log {folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http_lines}
}}
""")


class Upstream(Nginx):
    """The registry behind all of them: files, without the referrers API (404), as Debian's docker-registry answers."""

    name = "upstream"

    def __init__(self, work, data):
        super().__init__(work)
        self.data = data

    def command(self):
        config = self.start_config(f"""
    map_hash_max_size 65536;
    map_hash_bucket_size 256;
    map $uri $digest {{ default ""; include {self.data}/digests.map; }}
    open_file_cache max=20000 inactive=600s;
    open_file_cache_valid 600s;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        root {self.data}/root;
        location = /v2/ {{ default_type application/json; return 200 "{{}}"; }}
        location ~ /manifests/ {{
            default_type application/vnd.oci.image.manifest.v1+json;
            add_header Docker-Content-Digest $digest;
        }}
        location ~ /blobs/ {{ default_type application/octet-stream; }}
    }}""")
        return [self.binary, "-c", config]


class NginxCache(Nginx):
    name = "nginx"

    def __init__(self, work, upstream):
        super().__init__(work)
        self.upstream = upstream

    def command(self):
        config = self.start_config(f"""
    proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=bench:64m max_size=40g inactive=1h use_temp_path=off;
    upstream registry {{ server 127.0.0.1:{self.upstream.port}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            proxy_pass http://registry;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache bench;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
        }}
    }}""")
        return [self.binary, "-c", config]


class Gatehouse(Server):
    name = "gatehouse"

    def __init__(self, work, upstream, binary, key, tls=None):
        super().__init__(work)
        self.upstream = upstream
        self.binary = binary
        self.key = key
        self.tls = tls
        self.tls_port = 0
        self.admin_port = 0

    def version(self):
        return version_of(self.binary, "--version")

    def command(self):
        self.admin_port = free_port()
        listen = f'"127.0.0.1:{self.port}"'
        if self.tls is not None:
            self.tls_port = free_port()
            listen = (f'[{{address: "127.0.0.1:{self.port}"}}, {{address: "127.0.0.1:{self.tls_port}", '
                      f'tls: {{certificate: "{self.tls[0]}", key: "{self.tls[1]}"}}}}]')
        config = self.write("gatehouse.yaml", f"""listen: {listen}
admin: {{address: "127.0.0.1:{self.admin_port}"}}
workers: 1
storage: {{path: "{self.folder}/cache", max_size: 40GiB}}
limits: {{connections: 40000, connections_per_address: 40000, idle_timeout: 300s}}
cache: {{tag_ttl: 1h}}
upstreams: {{{UPSTREAM_NAME}: {{url: "http://127.0.0.1:{self.upstream.port}", requests_per_second: 1000000}}}}
default_upstream: {UPSTREAM_NAME}
signers: {{release: {{keys: [{{file: "{self.key}"}}]}}}}
policies:
  - {{name: bench, owner: bench@bench.internal, images: ["{UPSTREAM_NAME}/**"], require: [{{signature: release}}]}}
""")
        return [self.binary, "serve", "-c", config]


class Registry(Server):
    """The distribution registry as a pull-through cache; GOMAXPROCS=1 is its one worker."""

    name = "distribution"

    def __init__(self, work, upstream, binary):
        super().__init__(work)
        self.upstream = upstream
        self.binary = binary
        self.is_available = binary is not None and os.path.exists(binary)

    def version(self):
        out = subprocess.run(["go", "version", "-m", self.binary], capture_output=True, text=True, check=False).stdout
        mods = [line.split() for line in out.splitlines() if line.split()[:1] == ["mod"]]
        return f"distribution {mods[0][2]}" if mods else "distribution"

    def environment(self):
        return dict(os.environ, GOMAXPROCS="1", OTEL_TRACES_EXPORTER="none")

    def command(self):
        config = self.write("registry.yml", f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{self.folder}/cache"}}}}
http: {{addr: "127.0.0.1:{self.port}"}}
proxy: {{remoteurl: "http://127.0.0.1:{self.upstream.port}"}}
""")
        return [self.binary, "serve", config]
