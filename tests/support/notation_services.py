"""What notation signatures lean on, by OpenSSL: a time-stamp authority, an OCSP responder and revocation lists over one
index file. Standard library only."""
import contextlib
import datetime
import http.server
import os
import pathlib
import re
import subprocess
import threading

from gateway import free_port, wait_until


def openssl(*arguments, **options):
    made = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, **options)
    assert made.returncode == 0, made.stderr.decode(errors="replace")
    return made.stdout


@contextlib.contextmanager
def serving(answer):
    """A server on a thread: answer(path, body) gives (status, type, bytes). Gives its address, and the paths asked for."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self):
            asked.append(self.path)
            status, kind, body = answer(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = reply

        def log_message(self, *_):
            pass

    asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


class StampAuthority:
    """An RFC 3161 authority; `root` is its certificate to trust. Options are lines of its configuration, EXTENSIONS of its
    signing certificate's."""

    def __init__(self, folder, *options, extensions=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root, self.lock = self.folder / "ca.pem", threading.Lock()
        self.file = self.folder / "openssl.cnf"
        extra = "\n".join(options)
        self.file.write_text(f"""
[req]
distinguished_name = dn
prompt = no
[dn]
CN = stamps
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[stamp]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{extensions}
[tsa]
default_tsa = service
[service]
serial = {self.folder}/serial
signer_cert = {self.folder}/stamp.pem
certs = {self.root}
signer_key = {self.folder}/stamp.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
{extra}
""")
        (self.folder / "serial").write_text("01\n")
        for name in ("ca", "stamp"):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.folder / f"{name}.key")
        openssl("req", "-x509", "-new", "-key", self.folder / "ca.key", "-subj", "/C=SE/O=Interop/CN=stamp root", "-days", "365",
                "-config", self.file, "-extensions", "ca", "-out", self.root)
        openssl("req", "-new", "-key", self.folder / "stamp.key", "-subj", "/C=SE/O=Interop/CN=stamps", "-config", self.file,
                "-out", self.folder / "stamp.csr")
        openssl("x509", "-req", "-in", self.folder / "stamp.csr", "-CA", self.root, "-CAkey", self.folder / "ca.key", "-days", "90",
                "-CAcreateserial", "-extfile", self.file, "-extensions", "stamp", "-out", self.folder / "stamp.pem")

    def answer(self, _, query):
        with self.lock:
            (self.folder / "query").write_bytes(query)
            return 200, "application/timestamp-reply", openssl("ts", "-reply", "-config", self.file, "-queryfile",
                                                               self.folder / "query")


def utc(text, offset_s=0):
    """Text of the present moment, or one beside it."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)).strftime(text)


class Authority:
    """Status of the certificates that CERT (with KEY beside it) issued. Unknown are those never named in known()."""

    def __init__(self, folder, cert, key):
        self.folder, self.cert, self.key = pathlib.Path(folder), pathlib.Path(cert), pathlib.Path(key)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.index, self.rows, self.number, self.responder = self.folder / "index.txt", {}, 0, None
        self.write()

    def write(self):
        made = self.folder / "index.new"
        made.write_text("".join(self.rows.values()))
        os.replace(made, self.index)

    @staticmethod
    def serial(cert):
        return openssl("x509", "-in", cert, "-noout", "-serial").decode().strip().split("=")[1]

    def put(self, cert, row):
        serial = self.serial(cert)
        self.rows[serial] = row + f"\t{serial}\tunknown\t/CN={serial}\n"
        self.write()

    def known(self, *certs):
        for cert in certs:
            self.put(cert, "V\t491231235959Z\t")

    def revoke(self, cert, invalid_since_s=None, at_s=-5):
        """With an invalidity date INVALID_SINCE_S from now where it is given."""
        date = "" if invalid_since_s is None else f",keyTime,{utc('%Y%m%d%H%M%SZ', invalid_since_s)}"
        self.put(cert, f"R\t491231235959Z\t{utc('%y%m%d%H%M%SZ', at_s)}{date}")

    def crl(self, next_update_s=3600, last_update_s=-60, extensions=""):
        """A new list, DER."""
        self.number += 1
        config, number = self.folder / "ca.cnf", self.folder / "crlnumber"
        number.write_text(f"{self.number:04X}\n")
        config.write_text(f"[ca]\ndefault_ca = it\n[it]\ndatabase = {self.index}\ncrlnumber = {number}\ndefault_md = sha256\n"
                          f"crl_extensions = ext\nunique_subject = no\n[ext]\nauthorityKeyIdentifier = keyid\n{extensions}\n")
        pem = openssl("ca", "-gencrl", "-config", config, "-cert", self.cert, "-keyfile", self.key, "-crl_lastupdate",
                      utc("%Y%m%d%H%M%SZ", last_update_s), "-crl_nextupdate", utc("%Y%m%d%H%M%SZ", next_update_s))
        return openssl("crl", "-outform", "DER", input=pem)

    def responder_cert(self, extensions=""):
        """A delegated responder: (certificate, key)."""
        cert, key, config = (self.folder / f"responder.{kind}" for kind in ("pem", "key", "cnf"))
        config.write_text("[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = responder\n[ext]\nbasicConstraints = critical,CA:FALSE\n"
                          f"keyUsage = critical,digitalSignature\nextendedKeyUsage = OCSPSigning\n{extensions}\n")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        openssl("req", "-new", "-key", key, "-config", config, "-out", self.folder / "responder.csr")
        openssl("x509", "-req", "-in", self.folder / "responder.csr", "-CA", self.cert, "-CAkey", self.key, "-days", "30",
                "-set_serial", "4711", "-extfile", config, "-extensions", "ext", "-out", cert)
        return cert, key

    @contextlib.contextmanager
    def responding(self, minutes=60, signer=None):
        """OpenSSL's responder on a port; SIGNER is (certificate, key) of a delegated one. Gives its address."""
        port = free_port()
        cert, key = signer or (self.cert, self.key)
        log = open(self.folder / "responder.log", "ab")
        self.responder = subprocess.Popen(
            ["openssl", "ocsp", "-index", self.index, "-port", str(port), "-CA", self.cert, "-rsigner", cert, "-rkey", key, "-nmin",
             str(minutes), "-text"], stdout=log, stderr=log)
        try:
            wait_until(lambda: re.search(r"waiting for OCSP", (self.folder / "responder.log").read_text(errors="replace")),
                       what="the responder")
            yield f"http://127.0.0.1:{port}/"
        finally:
            self.responder.terminate()
            self.responder.wait()
            log.close()
