#!/usr/bin/env python3
"""Prints what the issuers must do, as JSON that each language's driver reads: arguments of `mint`, and what they give.

From tests/vectors/token.json come
  minted, verified   the same four strings, byte for byte;
  not_minted         an error;
  refused            an error, where the token says something that a caller can ask for, such as a bad name. Where the
                     gate refuses a spelling that minting mends (order, letter case), or bytes that no argument gives,
                     there is nothing to ask.
Beside them stand spellings that must give the strings of another case, and arguments that must be errors.

`about` is what the message must speak of, in lower case and without underscores: each language spells names in its own
way.
"""

import base64
import ipaddress
import json
import re
import sys
from pathlib import Path

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "token.json").read_text(encoding="ascii"))
KEYS = {key["id"]: key for key in VECTORS["header"]["keys"]}
NAMES = {"organisation": "organisation", "streams": "streams", "addresses": "ips", "referers": "referers", "tag": "tag",
         "user": "user", "sessions": "sessions", "id": "token_id", "issued_at": "issued_at", "not_before": "not_before",
         "expires": "expires"}
EXACT = 2**53  # above, many languages read a JSON number as another one; issuers take times as text too


def arguments(key, grant):
    given = {"key_id": key["id"], "secret": key["secret"], "owner": key["owner"]}
    for name, value in grant.items():
        if name == "at_expiry":
            given["cut_at_expiry"] = {"cut": True, "keep": False}[value]
        else:
            given[NAMES[name]] = str(value) if isinstance(value, int) and value > EXACT else value
    return given


# --- From the table ---------------------------------------------------------------------------------------------------

# Only the gate knows which keys are active and which organisations are listed.
REASONS = {"no_active_key": None, "claims_foreign_stream": "key's owner", "claims_foreign_organisation": "key's owner",
           "claims_cut_without_expiry": "cutatexpiry needs expires", "claims_value": "",
           "claims_scope": "either streams", "too_many": "at most 16", "too_long": "at most 2048",
           "malformed_token": "at most 2048", "malformed_tag": "tag", "malformed_expires": "expires"}


def same_strings():
    for case in VECTORS["minted"] + VECTORS["verified"]:
        yield case["name"], arguments(KEYS[case["key"]], case["grant"]), case["security"]


def not_minted():
    for case in VECTORS["not_minted"]:
        about = REASONS[case["reason"]]
        key = next((k for k in KEYS.values() if k["owner"] == case["owner"] and k["state"] == "active"), None)
        listed = case["owner"] == "*" and case["reason"] == "claims_foreign_stream"
        if about is not None and not listed:
            yield "not minted: " + case["name"], arguments(key, case["grant"]), about


def refused():
    good = {claim for case in VECTORS["minted"] for claim in claims_of(case["security"]["token"])}
    for case in VECTORS["refused"]:
        about, security = REASONS.get(case["reason"]), case["security"]
        claims = claims_of(security["token"])
        grant = grant_of(claims) if claims and about is not None else None
        if grant is None or case["reason"] == "malformed_token" and len(security["token"]) <= 2048:
            continue
        key = KEYS[security["token"].split(".")[1]]
        if case["reason"] == "claims_foreign_stream" and key["owner"] == "*":
            continue
        if case["reason"] == "claims_value":
            # What is wrong is what no good token says; an id is always another one.
            bad = [kind for kind, value in claims if (kind, value) not in good and (kind, len(value)) != (1, 16)]
            about = {1: "tokenid", 2: "issuedat", 3: "notbefore", 4: "stream", 5: "organisation", 6: "ip", 7: "referer",
                     8: "user", 9: "sessions"}[bad[0]]
        given = arguments(key, grant) | {"tag": security["tag"]}
        if security["expires"]:
            given["expires"] = security["expires"]
        yield "refused: " + case["name"], given, about


def claims_of(token):
    """The claims of a token as (type, value), or none where they are no claims."""
    claims = []
    match = re.fullmatch(r"h1\.[\w-]+\.([\w-]*)\.[\w-]+", token, re.ASCII)
    if not match or len(match[1]) % 4 == 1:
        return claims
    rest = base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
    while rest:
        length = int.from_bytes(rest[1:3], "big")
        if len(rest) < 3 + length:
            return []
        claims.append((rest[0], rest[3:3 + length]))
        rest = rest[3 + length:]
    return claims


def grant_of(claims):
    """The grant that would ask for these claims, or None where no arguments would."""
    grant = {"streams": []}
    kinds = [kind for kind, _ in claims]
    if kinds != sorted(set(kinds)) or kinds[:2] != [1, 2]:
        return None
    try:
        for kind, value in claims:
            if kind == 1:
                grant["id"] = value.hex()
            elif kind in (2, 3, 9):
                number = int.from_bytes(value, "big")
                if number and value[0] == 0:
                    return None
                grant[{2: "issued_at", 3: "not_before", 9: "sessions"}[kind]] = number
            elif kind == 5:
                grant["organisation"] = value.decode()
            elif kind == 8:
                grant["user"] = value.decode()
            elif kind == 10 and value == b"\x01":
                grant["at_expiry"] = "cut"
            elif kind in (4, 6, 7):
                items = items_of(value)
                if value and items != sorted(set(items)) or kind in (6, 7) and not value:
                    return None
                texts = [address_of(item) if kind == 6 else item.decode() for item in items]
                if kind == 7 and any(text != text.lower().removesuffix(".") for text in texts):
                    return None
                grant[{4: "streams", 6: "addresses", 7: "referers"}[kind]] = texts
            else:
                return None
    except ValueError:
        return None
    return grant


def items_of(value):
    items = []
    while value:
        if len(value) < 1 + value[0]:
            raise ValueError("cut short")
        items.append(value[1:1 + value[0]])
        value = value[1 + value[0]:]
    return items


def address_of(item):
    """What a caller would write; ValueError where there is no way to."""
    return f"{ipaddress.ip_address(item[1:])}/{item[0]}"


# --- Beside the table -------------------------------------------------------------------------------------------------

PLAIN = arguments(KEYS["k1"], {"streams": ["abcde-one"], "id": "00" * 16, "issued_at": 1_700_000_000})


def asked(grant):
    """A grant without its id, to look it up by."""
    return json.dumps({name: value for name, value in grant.items() if name != "id"}, sort_keys=True)


MINTED = {asked(case["grant"]): case for case in VECTORS["minted"]}


def respelled(name, of, **changes):
    """Another way to ask for what one case of the table asks for."""
    grant = {"issued_at": 1_700_000_000, "streams": ["abcde-one"]} | of
    case = MINTED.get(asked(grant)) or sys.exit(f"the table has no token of {grant}")
    return "respelled: " + name, arguments(KEYS[case["key"]], case["grant"]) | changes, case["security"]


def spellings():
    one, six = {"addresses": ["192.0.2.17"]}, {"addresses": ["2001:db8::17"]}
    yield respelled("one text for a list", one, streams="abcde-one", ips="192.0.2.17")
    yield respelled("IPv4-mapped IPv6", one, ips=["::ffff:192.0.2.17"])
    yield respelled("IPv4-mapped IPv6 in hexadecimal", one, ips=["0:0:0:0:0:FFFF:c000:211"])
    yield respelled("a prefix of full length", one, ips=["192.0.2.17/32"])
    yield respelled("three times the same address", one, ips=["192.0.2.17", "192.0.2.17/32", "::ffff:192.0.2.17"])
    yield respelled("more than sixteen entries, but of one address", one, ips=["192.0.2.17"] * 17)
    yield respelled("IPv6 in full and in upper case", six, ips=["2001:0DB8:0000:0000:0000:0000:0000:0017"])
    yield respelled("IPv6 that ends like IPv4", six, ips=["2001:db8::0.0.0.23/128"])
    yield respelled("a referer in upper case", {"referers": ["*.example.com"]}, referers=["*.EXAMPLE.Com"])
    yield respelled("a referer with a trailing dot", {"referers": ["*.example.com"]}, referers=["*.example.com."])
    yield respelled("expires as text", {"expires": 1_700_003_600}, expires="1700003600")
    yield respelled("a secret with a line end", {}, secret=KEYS["k1"]["secret"] + "\r\n")
    given = respelled("no owner", {})
    yield given[0], {k: v for k, v in given[1].items() if k != "owner"}, given[2]


def errors():
    """(argument, what the message is about, bad values)"""
    secret = KEYS["k1"]["secret"]
    short = base64.b64encode(bytes(31)).decode()
    yield "key_id", "keyid", ["", "k" * 33, "k/1", "k.1", "k\u00e4", "k1\n", secret]
    yield "secret", "secret", [
        "", "k1", short, secret.rstrip("="), secret[:-2] + chr(ord(secret[-2]) + 1) + "=",
        secret[:9] + "\n" + secret[9:], "_" * 44, secret + "!", "\u00e4" * 44,
    ]
    yield "streams", "stream", [
        "", ".", "..", "abcde one", "abcde-a/b", "abcde-%61", "abcde-\u00e4", "abcde-one\n", "abcde-one\0",
        "abcde-" + "x" * 123, ["abcde-one", ""],
    ]
    yield "streams", "either streams", [[]]
    yield "organisation", "either streams", ["abcde"]
    yield "owner", "owner", ["", "abcd", "abcdefg", "ab-de", "**", "abcde\n", "ABCDE", "other", "*x"]
    yield "ips", "ip", [
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4/0", "1.2.3.4/33", "1.2.3.0/024", "1.2.3.4/24",
        "1.2.3.4/", "1.2.3.4/8/8", "1.0.0.0/+8", "1.0.0.0/8.0", "1.2.3.4/255.255.255.255", " 1.2.3.4", "1.2.3.4\n",
        "1.2.3.4:80", "0x1020304", "16909060", "a.de", "::/0", ":::", "1::2::3", "12345::", "[::1]", "::1/129",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "1:2:3:4:5:6:7", "::1.2.3", "2001:db8::1/64", "fe80::1%eth0",
        "::ffff:1.2.3.0/120", "::ffff:1.2.3.4/128", "::ffff:1.2.3.4/32", "1.2.3.4\u00e4", ["192.0.2.17", ""],
    ]
    yield "referers", "referer", [
        "", ".", "*", "*.", "localhost", "*.com", "*.*.a.de", "a.*.de", "*a.de", "https://a.de", "a.de/b",
        "a.de:443", "a.de?", "a.de#", "user@a.de", "a..de", ".a.de", "a.de..", "-a.de", "a-.de", "a_b.de", "a b.de",
        "b\u00fccher.de", "\u212a.de", "192.168.1.1", "a.123", "a.123.", "a.de\n", "a" * 64 + ".de",
        "abcdefghi." * 25 + "abcd", ["example.com", ""],
    ]
    yield "tag", "tag", ["\n", "a\0", "a\x1f", "a\x7fb", "a\x80", "a\x9fb", "x" * 257, "\u00e4" * 129]
    yield "user", "user", ["", "\n", "a\x7fb", "\x85", "x" * 129, "\u00fc" * 65]
    for name in ("expires", "not_before", "issued_at", "sessions"):
        about = name.replace("_", "")
        yield name, about, [
            "", "-1", -1, "+1", "01", "1.0", "1e9", " 1", "1\n", "0x1", "\u0661", "one", str(2**64), "9" * 30,
        ]
        if name != "expires":
            yield name, about, ["0", 0]
    yield "sessions", "sessions", [65536, "65536"]
    yield "token_id", "tokenid", ["", "00" * 15, "00" * 17]


def fresh_errors():
    """Without issued_at, a token is for now."""
    fresh = {name: value for name, value in PLAIN.items() if name not in ("issued_at", "token_id")}
    for expires in [0, 1, "1700003600", 4_102_444_800_000, "4102444800000", str(2**64 - 1)]:
        yield f"fresh: expires {expires!r}", fresh | {"expires": expires}, "seconds"


def main():
    from_refused = [*refused()]
    # A table that became empty, or that is no longer understood here, must not look like success.
    if VECTORS["header"]["form"] != "h1" or len(VECTORS["minted"]) < 50 or len(from_refused) < 50:
        found = f"{len(VECTORS['minted'])} minted and {len(from_refused)} refused tokens"
        sys.exit(f"tests/vectors/token.json is empty, or has another form: {found}")
    same = [*same_strings(), *spellings()]
    wrong = [*not_minted(), *from_refused, *fresh_errors()]
    for name, about, values in errors():
        wrong += [(f"{name}: {value!r}", PLAIN | {name: value}, about) for value in values]
    cases = [{"name": name, "arguments": given, "security": security} for name, given, security in same]
    cases += [{"name": name, "arguments": given, "about": about} for name, given, about in wrong]
    json.dump(cases, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
