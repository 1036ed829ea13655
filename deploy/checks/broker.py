"""The broker's configuration: what each service may do is what deploy/README.md says, and NATS takes it."""

import base64
import re
import subprocess
import tempfile
from pathlib import Path

from chart import HERE
from rules import rule

NAMES = {"gateway": "gateway", "history worker": "history-worker", "search worker": "search-worker", "auth service": "auth-service"}


SHARDS_MAX = 256


def promised():
    """The table of deploy/README.md, in which CHAT_0 stands for the stream of every shard that there can be."""
    text = (HERE.parent / "README.md").read_text()
    rows = re.findall(r"^\| ([a-z ]+) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    table = {row[0]: [subjects(cell) for cell in row[1:]] for row in rows if row[0] in {*NAMES, "all four"}}
    assert set(table) == {*NAMES, "all four"}, "the table of permissions in deploy/README.md is not as it was"
    return {
        user: {
            "publish": table["all four"][0] | table[row][0],
            "subscribe": {f"_INBOX_{user}.>"} | table[row][1],
        }
        for row, user in NAMES.items()
    }


def subjects(cell):
    every = set(re.findall(r"`([^` ]+)`", cell)) - set(NAMES.values()) - {"_INBOX_<name>.>"}
    return {subject.replace("CHAT_0", f"CHAT_{shard}") for subject in every for shard in range(SHARDS_MAX)}


def permissions(conf):
    """What a configuration says of its users; None for one who may do everything. It need not be laid out as ours is."""
    users = {}
    parts = re.split(r"\buser: ", conf)[1:]
    for part in parts:
        user = re.match(r'"?([a-z-]+)"?', part)[1]
        publish, subscribe = (re.search(rf"\b{way}: \[(.*?)\]", part, re.DOTALL) for way in ("publish", "subscribe"))
        if not publish and not subscribe:
            users[user] = None
            continue
        users[user] = {way: set(re.findall(r'"([^"]+)"', found[1])) for way, found in (("publish", publish), ("subscribe", subscribe))}
        users[user]["answers"] = "allow_responses: true" in part
    return users


def configuration(rendered):
    found = [found["data"]["nats.conf"] for found in rendered.of("ConfigMap") if "nats.conf" in found["data"]]
    return found[0] if found else None


@rule
def each_service_does_its_own_work_at_the_broker(rendered):
    conf = configuration(rendered)
    if (conf is not None) != rendered.values["nats"]["enabled"]:
        yield "a configuration without a broker, or a broker without"
    if conf is None:
        return
    expected = {user: {**may, "answers": True} for user, may in promised().items()}
    for user, may in permissions(conf).items():
        if may != expected.pop(user, None):
            yield f"{user} may do something else than deploy/README.md says"
    yield from (f"{user} may do nothing" for user in expected)


def conf_of_the_program(program, nats_server):
    """The configuration that the single-node edition writes: a stand-in for its NATS server keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "kept")
        stand_in = Path(folder, "nats-server")
        # Whatever argument is the configuration's file, it is one that is there.
        stand_in.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && exec "{nats_server}" --version\n'
            f'for word; do word=${{word#*=}}; [ -f "$word" ] && cp "$word" "{kept}"; done\nexit 1\n'
        )
        stand_in.chmod(0o755)
        words = [program, "--data", f"{folder}/data", "--roots", f"{folder}/roots", "--nats-server", str(stand_in), "--listen", "127.0.0.1:0"]
        subprocess.run(words, capture_output=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin"})
        return kept.read_text() if kept.exists() else None


def test(rendered, nats_server):
    """Has NATS read the configuration. Files of certificates are those that were rendered."""
    conf = configuration(rendered)
    secrets = {secret["metadata"]["name"]: secret for secret in rendered.of("Secret")}
    tls = [secret for name, secret in secrets.items() if name.endswith("-nats-tls")]
    if "tls {" in conf and not tls:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for key, value in (tls[0]["data"] if tls else {}).items():
            Path(folder, key).write_bytes(base64.b64decode(value))
        file = Path(folder, "nats.conf")
        file.write_text(conf.replace("/etc/nats/tls", folder).replace("store_dir: /data", f"store_dir: {folder}/data"))
        variables = {name: "pLetters1" for name in re.findall(r"\$(PASSWORD_[A-Z_]+)", conf)}
        done = subprocess.run([nats_server, "-t", "-c", str(file)], env=variables, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stderr.strip().splitlines()[-1:]
