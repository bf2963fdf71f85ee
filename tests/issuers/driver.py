"""Holds the Python issuer against the cases that cases.py prints; their file is the argument."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "deploy" / "issuers"))
sys.dont_write_bytecode = True
from h5gate_token import MintError, mint  # noqa: E402


def fault(case):
    """What is wrong with the issuer's answer, or None."""
    given = dict(case["arguments"])
    if "token_id" in given:
        given["token_id"] = bytes.fromhex(given["token_id"])
    try:
        security = mint(**given)
    except MintError as error:
        if "about" not in case:
            return f"an error: {error}"
        message = str(error).lower().replace("_", "")
        if given["secret"] and str(given["secret"]).lower() in message:
            return "the message gives the secret away"
        return None if case["about"] in message else f"an error about something else: {error}"
    except Exception as error:  # noqa: BLE001, every other error is the issuer's own fault
        return f"no MintError: {error!r}"
    if "about" in case:
        return f"mints {security}"
    return None if security == case["security"] else f"mints {security}\n  instead of {case['security']}"


def of_this_language(plain):
    """Arguments that only Python can give; (name, value, what the message is about)."""
    for name, value, about in [
        ("streams", None, "streams"), ("ips", None, "ips"), ("referers", None, "referers"), ("tag", None, "tag"),
        ("ips", [None], "ip"), ("streams", b"abcde-one", "streams"), ("streams", [b"abcde-one"], "stream"),
        ("tag", b"customer-4711", "tag"), ("tag", "half a pair \ud83d", "tag"), ("user", 7, "user"),
        ("key_id", None, "keyid"), ("secret", None, "secret"), ("secret", b"AAAA" * 16, "secret"),
        ("expires", 1_700_003_600.0, "expires"), ("expires", True, "expires"), ("sessions", True, "sessions"),
        ("not_before", float("nan"), "notbefore"),
    ]:
        yield {"name": f"{name}: {value!r}", "arguments": plain | {name: value}, "about": about}


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        cases = json.load(file)
    if not any("security" in case for case in cases) or not any("about" in case for case in cases):
        sys.exit("no cases")
    cases += of_this_language(cases[0]["arguments"])
    failed = 0
    for case in cases:
        if wrong := fault(case):
            failed += 1
            print(f"python: {case['name']}: {wrong}")
    print(f"python: {len(cases) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
