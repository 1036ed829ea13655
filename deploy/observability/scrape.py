"""Starts a real backchat and a real NATS server in a folder of their own, does a little of everything that people do, and gives
what they count. Nothing is left running."""
import http.cookiejar, json, os, signal, socket, subprocess, tempfile, time, urllib.error, urllib.parse, urllib.request
from pathlib import Path

START_S, COUNT_S, STOP_S = 90, 45, 40
NAME, PASSWORD = "ada", "a kettle sings at noon"
SERVICES = ["gateway", "history-worker", "search-worker", "auth-service"]


def metrics(programs: Path, nats: str, wanted: set[str]) -> list[str]:
    """The pages of all four services. Waits a while until `wanted` is among the series."""
    with tempfile.TemporaryDirectory(prefix="backchat-scrape-") as folder:
        data = Path(folder) / "data"
        command = [programs / "backchat", "--listen", "127.0.0.1:0", "--data", data, "--nats-server", nats]
        for service in SERVICES:
            command += [f"--{service}-operations", "127.0.0.1:0"]
        with running(command, Path(folder) / "log"):
            addresses = wait(lambda: json.loads((data / "run.json").read_text())["addresses"], START_S)
            wait(lambda: fetch(f"http://{addresses['gateway']}/readyz"), START_S)
            people(addresses["gateway"])
            pages = [address for name, address in addresses.items() if name.endswith("_operations")]
            read = lambda: [fetch(f"http://{page}/metrics") for page in pages]
            deadline = time.monotonic() + COUNT_S
            while not wanted <= names("".join(read())) and time.monotonic() < deadline:
                time.sleep(1)
            return read()


def varz(nats: str) -> dict:
    """What a NATS server with a store, which waits for the others of its cluster, says of itself: the exporter passes it on."""
    with tempfile.TemporaryDirectory(prefix="backchat-varz-") as folder:
        conf = Path(folder) / "nats.conf"
        # Nobody listens at the route's port.
        cluster = 'cluster { name: c, listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:9"] }'
        conf.write_text(f'server_name: n\nlisten: "127.0.0.1:-1"\nhttp: "127.0.0.1:-1"\nports_file_dir: "{folder}"\njetstream {{ store_dir: "{folder}/store" }}\n{cluster}\n')
        with running([nats, "-c", conf], Path(folder) / "log"):
            ports = wait(lambda: json.loads(next(Path(folder).glob("*.ports")).read_text()), START_S)
            return json.loads(wait(lambda: fetch(f"{ports['monitoring'][0]}/varz"), START_S))


def names(page: str) -> set[str]:
    """The names of the series on a page."""
    return {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line and not line.startswith("#")}


class running:
    """A process that is asked to end, and made to."""

    def __init__(self, command, log: Path):
        self.command, self.log = [str(word) for word in command], log

    def __enter__(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BACKCHAT_")}
        self.process = subprocess.Popen(self.command, env=clean, stdin=subprocess.DEVNULL, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        return self

    def __exit__(self, kind, error, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if error:
            error.add_note("its last words:\n" + "\n".join(self.log.read_text().splitlines()[-5:]))


def wait(look, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return look()
        except (OSError, ValueError, KeyError, StopIteration):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing after {seconds} s") from None
            time.sleep(0.2)


def fetch(url: str) -> str:
    return urllib.request.urlopen(url, timeout=10).read().decode()


def people(host: str):
    """One person comes, talks, looks for it, errs, and goes."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def post(path, **fields):
        return browser.open(f"http://{host}{path}", urllib.parse.urlencode(fields).encode(), timeout=30)

    post("/auth/register/", name=NAME, password=PASSWORD, password2=PASSWORD)
    try:
        post("/auth/login/", name=NAME, password="a kettle sings at dusk")
    except urllib.error.HTTPError:
        pass
    post("/auth/login/", name=NAME, password=PASSWORD)
    post("/auth/renew/")
    room = post("/create/", name="Tea").url.split("/room/")[1].split("/")[0]
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar if cookie.path == "/")
    talk(host, room, cookies)
    browser.open(f"http://{host}/search/?q=kettle", timeout=30).read()
    browser.open(f"http://{host}/room/{room}/", timeout=30).read()
    post("/auth/logout/")


def talk(host: str, room: str, cookies: str):
    wire = socket.create_connection(host.rsplit(":", 1), timeout=30)
    lines = [f"GET /chat/{room}/ HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: backchat.v1.json", f"Cookie: {cookies}", "", ""]
    wire.sendall("\r\n".join(lines).encode())
    stream = wire.makefile("rb")
    while stream.readline().strip():
        pass

    def say(opcode, payload: bytes):
        # All of them are short. A mask of zeros changes nothing.
        wire.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)

    def hear(kind):
        while True:
            head = stream.read(2)
            if len(head) < 2:
                raise OSError(f"the socket ended before it said {kind}")
            length = head[1] if head[1] < 126 else int.from_bytes(stream.read(2 if head[1] == 126 else 8), "big")
            data = stream.read(length)
            if head[0] == 0x81 and json.loads(data)["type"] == kind:
                return

    hear("caught_up")
    for body in ("the kettle is on", "milk?", "two sugars"):
        say(1, json.dumps({"type": "send", "body": body}).encode())
        hear("ack")
    say(1, b"this is no frame")
    hear("refused")
    say(1, json.dumps({"type": "page", "before": 3, "limit": 10}).encode())
    hear("page")
    say(8, (1000).to_bytes(2, "big"))
    stream.read()
    wire.close()
