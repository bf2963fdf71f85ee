"""Mints with each issuer's command line and asks the gate itself: `h5gate token verify`.

The arguments are the gate's binary and an empty directory.
"""

import json
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

ISSUERS = Path(__file__).parent.parent.parent / "deploy" / "issuers"
COMMANDS = {
    "python": [sys.executable, str(ISSUERS / "h5gate_token.py")],
    "node": ["node", str(ISSUERS / "h5gate-token.mjs")],
    "php": ["php", str(ISSUERS / "h5gate_token.php")],
}
CONFIG = """
[[listener]]
address = "127.0.0.1:0"
serves = ["playback"]
[upstream]
servers = ["http://127.0.0.1:1"]
[[organisation]]
hash = "abcde"
[[organisation.key]]
id = "k1"
secret_file = "k1.secret"
"""
BARE = {"not_before": None, "expires": None, "at_expiry": "keep", "streams": None, "organisation": None, "ip": [],
        "referer": [], "tag": "", "user": None, "sessions": None, "key": "k1", "owner": "abcde", "verified": True}
LATER = int(time.time()) + 7200
# What is asked for, and what the gate reads.
GRANTS = [
    ("--stream abcde-one --for 3600", {"streams": ["abcde-one"], "expires": ...}),
    (f"--orga abcde --owner abcde --expires {LATER}", {"organisation": "abcde", "expires": LATER}),
    (f"--stream abcde-two --stream=abcde-one --expires {LATER} --cut-at-expiry --not-before 1700000000 --user \u00fc1 "
     "--sessions 300 --tag a+b%20&c=\u65e5/\\\"# --ip 192.0.2.0/24 --ip ::ffff:198.51.100.7 --ip 2001:DB8::/32 "
     "--referer *.Example.com. --referer example.org",
     {"streams": ["abcde-one", "abcde-two"], "expires": LATER, "at_expiry": "cut", "not_before": 1_700_000_000,
      "user": "\u00fc1", "sessions": 300, "tag": "a+b%20&c=\u65e5/\\\"#",
      "ip": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"], "referer": ["*.example.com", "example.org"]}),
]
# The bytes of these look like numbers to PHP, " 1000", " 1e03", " 1e99" and " 9999", and must not be sorted as such.
NUMERIC = ["49.48.48.48", "49.101.48.51", "49.101.57.57", "57.57.57.57"]
GRANTS.append((" ".join(f"--ip {ip}" for ip in reversed(NUMERIC)) + f" --stream abcde-one --expires {LATER}",
               {"streams": ["abcde-one"], "ip": NUMERIC, "expires": LATER}))
# What no command line may swallow: each would be a token for more than was meant.
MISTAKES = ["--referrer example.com", "--ref example.com", "--tag", "--expires 1700000000", "--expires 1700000000000",
            "--for -5", "--for 0", f"--for 60 --expires {LATER}", "--ip", "example.com",
            "--stream other-one --owner abcde"]


def run(command):
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)


def verify(gate, config, security):
    """What the gate says of a playback URL with these four strings: an exit code and its words."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in security.items() if value)
    url = f"wss://example.com/h5live/authstream/stream.mp4?url=rtmp%3A%2F%2Flocalhost%2Fsplay&stream=abcde-one&{query}"
    return run([gate, "token", "verify", "--config", str(config), url])


def in_utc(seconds):
    return seconds and datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def faults_of(name, gate, scratch, ids):
    """A line for each test of one issuer: what is wrong, or None."""
    config = scratch / "h5gate.toml"
    mint = [*COMMANDS[name], "--key-id", "k1", "--secret-file", str(scratch / "k1.secret")]
    for words, expected in GRANTS:
        minted = run([*mint, *words.split()])
        if minted.returncode != 0:
            yield f"{words}: {minted.stderr}"
            continue
        security = json.loads(minted.stdout)["h5live"]["security"]
        answer = verify(gate, config, security)
        if answer.returncode != 0:
            yield f"{words}: the gate refuses it: {answer.stderr}"
            continue
        read = json.loads(answer.stdout)
        # The times as people read them.
        for field in ("issued_at", "not_before", "expires"):
            if read.pop(f"{field}_utc") != in_utc(read[field]):
                yield f"{words}: {field} is shown wrongly"
        ids.append(read.pop("token_id"))
        fresh = abs(read.pop("issued_at") - time.time()) < 60
        if expected["expires"] is ...:
            fresh = fresh and abs(read["expires"] - time.time() - 3600) < 60
            expected = expected | {"expires": read["expires"]}
        yield None if fresh and read == BARE | expected else f"{words}: the gate reads {read}"
        # The gate looks: with one more second it is a forgery.
        forged = verify(gate, config, security | {"expires": str(int(security["expires"]) + 1)})
        refused = forged.returncode == 1 and "signature" in forged.stderr
        yield None if refused else f"{words}: the gate does not see a forgery: {forged.stdout}{forged.stderr}"
    for words in MISTAKES:
        swallowed = run([*mint, "--stream", "abcde-one", *words.split()])
        # In words of its own, which begin with the name of the program.
        spoken = f"{Path(COMMANDS[name][1]).name}: " in swallowed.stderr
        refused = swallowed.returncode != 0 and spoken and not swallowed.stdout
        yield None if refused else f"{words}: exit code {swallowed.returncode}\n{swallowed.stdout}{swallowed.stderr}"


def main():
    gate, scratch = sys.argv[1], Path(sys.argv[2])
    (scratch / "h5gate.toml").write_text(CONFIG, encoding="utf-8")
    (scratch / "k1.secret").write_text(run([gate, "key", "new"]).stdout, encoding="utf-8")
    ids, failed = [], 0
    for name in COMMANDS:
        faults = list(faults_of(name, gate, scratch, ids))
        wrong = [fault for fault in faults if fault]
        failed += len(wrong)
        for fault in wrong:
            print(f"{name}: {fault}")
        print(f"{name} with the gate: {len(faults) - len(wrong)} passed, {len(wrong)} failed")
    if len(set(ids)) != len(COMMANDS) * len(GRANTS):
        failed += 1
        print(f"token ids are missing, or are not random: {ids}")
    sys.exit(failed > 0)


main()
