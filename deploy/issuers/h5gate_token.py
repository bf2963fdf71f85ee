#!/usr/bin/env python3
"""Mints playback tokens for h5gate with one of its keys. Copy this file: it needs Python 3.9 or later and nothing else.

    security = mint("k1", secret, streams="abcde-one", expires=int(time.time()) + 3600)

gives what a player takes as `h5live.security`: the four strings expires, tag, token and options. On a command line
(`--help` lists the options):

    python3 h5gate_token.py --key-id k1 --secret-file k1.secret --stream abcde-one --for 3600
"""

import argparse
import base64
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import sys
import time

LIST_LIMIT = 16
TOKEN_LIMIT = 2048
MILLISECONDS_FROM = 100_000_000_000  # in seconds the year 5138, in milliseconds 1973
STREAM = r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
REFERER = rf"(\*\.)?(?=.{{1,253}}\.?$)({LABEL}\.)+(?![0-9]+\.?$){LABEL}\.?"


class MintError(ValueError):
    """The gate would refuse such a token, so there is none."""


def mint(key_id, secret, *, streams=(), organisation=None, owner=None, expires=None, tag="", ips=(), referers=(),
         not_before=None, user=None, sessions=None, cut_at_expiry=False, issued_at=None, token_id=None):
    """The security object for one stream, for up to 16, or for all streams of an organisation.

    secret         as `h5gate key new` prints it
    owner          the owner of the key, an organisation or "*": what the key may not sign is then refused here
    expires        Unix time in seconds, like not_before; without it the token is valid for ever
    ips, referers  any of up to 16 will do: "192.0.2.1", "2001:db8::/32"; "example.com", "*.example.com"
    tag            your own string, which travels beside the token and is covered by it
    user           the user that it is for
    sessions       how many viewers may play at once: counted by user where one is named, else by token
    cut_at_expiry  end running playbacks at expires; otherwise they go on, and only a new start is refused
    issued_at, token_id  now and 16 random bytes; tests give them
    """
    # Neither is ever part of a message: messages end up in logs, and the two are easily exchanged.
    _text("key_id", key_id, "[A-Za-z0-9_-]{1,32}", "1 to 32 characters of A-Z a-z 0-9 _ -")
    secret = _secret(secret)
    streams = _items("streams", streams, _stream)
    _need(bool(streams) != (organisation is not None), "there must be either streams or an organisation")
    if organisation is not None:
        _text(f"organisation {organisation!r}", organisation, "[A-Za-z0-9]{5,6}", "5 or 6 letters and digits")
    if owner is not None:
        _check_owner(owner, streams, organisation)
    _utf8("tag", tag, 0, 256)
    expires = "" if expires is None else str(_number("expires", expires, 0))
    _need(expires or not cut_at_expiry, "cut_at_expiry needs expires")
    future = not expires or time.time() < int(expires) < MILLISECONDS_FROM
    # A given time of issue may be meant for a token that has expired.
    _need(future or issued_at is not None, f"expires {expires} must be a time to come, in seconds, not in milliseconds")

    claims = [  # in the order of their types, 1 to 10; what was not asked for is empty
        ("token_id", secrets.token_bytes(16) if token_id is None else token_id),
        ("issued_at", _bytes(_number("issued_at", int(time.time()) if issued_at is None else issued_at))),
        ("not_before", b"" if not_before is None else _bytes(_number("not_before", not_before))),
        ("streams", _list(streams)),
        ("organisation", (organisation or "").encode()),
        ("ips", _list(_items("ips", ips, _address))),
        ("referers", _list(_items("referers", referers, _referer))),
        ("user", b"" if user is None else _utf8("user", user, 1, 128)),
        ("sessions", b"" if sessions is None else _bytes(_number("sessions", sessions, 1, 65535))),
        ("cut_at_expiry", b"\x01" if cut_at_expiry else b""),
    ]
    values = dict(claims)
    _need(len(values["token_id"]) == 16, "token_id must be 16 bytes")
    packed = b"".join(
        bytes([kind]) + len(value).to_bytes(2, "big") + value for kind, (_, value) in enumerate(claims, 1) if value
    )
    bits = {1: expires, 2: values["ips"], 4: values["referers"], 8: tag, 16: organisation}
    options = str(sum(bit for bit, value in bits.items() if value))

    # What is signed is the strings as they travel, each behind its length.
    parts = (key_id.encode(), options.encode(), expires.encode(), tag.encode(), packed)
    message = b"h5gate-token/h1\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    signature = hmac.new(secret, message, hashlib.sha256).digest()
    token = f"h1.{key_id}.{_base64url(packed)}.{_base64url(signature)}"
    longest, value = max(claims, key=lambda claim: len(claim[1]))
    _need(len(token) <= TOKEN_LIMIT, f"the token would be {len(token)} characters long, at most {TOKEN_LIMIT} are "
                                     f"allowed; the longest claim is {longest}, with {len(value)} bytes")
    return {"expires": expires, "tag": tag, "token": token, "options": options}


def _check_owner(owner, streams, organisation):
    """A key is good only for its owner's streams. Which streams are left for `*`, only the gate knows."""
    _text(f"owner {owner!r}", owner, r"[A-Za-z0-9]{5,6}|\*", "5 or 6 letters and digits, or *")
    _need(organisation in (None, owner), f"organisation {organisation} is not the key's owner {owner}")
    for stream in streams:
        theirs = owner == "*" or stream.startswith(f"{owner}-".encode())
        _need(theirs, f"stream {stream.decode()} is not one of the key's owner {owner}")


def _need(holds, message):
    if not holds:
        raise MintError(message)


def _secret(text):
    try:
        secret = base64.b64decode(text.strip())
        if len(secret) >= 32 and base64.b64encode(secret).decode() == text.strip():
            return secret
    except (AttributeError, ValueError):
        pass
    raise MintError("secret must be base64 of at least 32 bytes, as `h5gate key new` prints it")


def _text(name, value, pattern, rule):
    _need(isinstance(value, str) and re.fullmatch(pattern, value), f"{name} must be {rule}")


def _utf8(name, value, least, most):
    try:
        data = value.encode()
        if least <= len(data) <= most and not re.search(r"[\0-\x1f\x7f-\x9f]", value):
            return data
    except (AttributeError, UnicodeEncodeError):
        pass
    raise MintError(f"{name} {value!r} must be {least} to {most} bytes of UTF-8 without control characters")


def _number(name, value, least=1, most=2**64 - 1):
    """A whole number or its decimal text: 9 and "9", but not 9.0, "09" or True."""
    text = str(value) if isinstance(value, int) else value
    fits = isinstance(text, str) and re.fullmatch("0|[1-9][0-9]{0,19}", text) and least <= int(text) <= most
    _need(fits, f"{name} {value!r} must be a whole number from {least} to {most}")
    return int(text)


def _items(name, values, convert):
    """One text or several, as bytes: sorted by them, and each once."""
    # None is no empty list: a binding that was looked up and not found would be a token for every viewer.
    _need(isinstance(values, (str, list, tuple, set)), f"{name} {values!r} must be a text or a list of texts")
    items = sorted({convert(value) for value in ([values] if isinstance(values, str) else values)})
    _need(len(items) <= LIST_LIMIT, f"{name} has {len(items)} entries, at most {LIST_LIMIT} are allowed")
    return items


def _stream(text):
    _text(f"stream {text!r}", text, STREAM, "1 to 128 characters of A-Z a-z 0-9 . _ ~ -, and not . or ..")
    return text.encode()


def _address(text):
    """Prefix length and network. One address is a prefix of full length; IPv4-mapped IPv6 is IPv4."""
    _text(f"ip {text!r}", text, "[0-9A-Fa-f.:]+(/[1-9][0-9]{0,2})?", "an address, or a prefix such as 192.0.2.0/24")
    address, slash, length = text.partition("/")
    try:
        network = ipaddress.ip_address(address)
    except ValueError as error:
        raise MintError(f"ip {text!r} is no address: {error}") from None
    if network.version == 6 and network.ipv4_mapped:
        _need(not slash, f"ip {text!r} must be written as a prefix of IPv4")
        network = network.ipv4_mapped
    full = network.max_prefixlen
    length = int(length or full)
    fits = length <= full and int(network) % (1 << (full - length)) == 0
    _need(fits, f"ip {text!r} has a prefix length above {full}, or bits set behind its prefix")
    return bytes([length]) + network.packed


def _referer(text):
    _text(f"referer {text!r}", text, REFERER, "a host, or *.example.com for all below: no scheme, port or path")
    return text.lower().removesuffix(".").encode()


def _bytes(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _list(items):
    return b"".join(bytes([len(item)]) + item for item in items)


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


ARGUMENTS = {  # the option: what mint calls it, and what it says
    "--key-id": ("key_id", "the key's id in the gate's configuration"),
    "--secret-file": ("secret", "what `h5gate key new` printed"),
    "--owner": ("owner", "the owner of the key, an organisation or *"),
    "--stream": ("streams", "a stream that may be played; repeatable"),
    "--orga": ("organisation", "the organisation of which every stream may be played"),
    "--expires": ("expires", "when it expires, in Unix seconds"),
    "--for": ("lifetime", "when it expires, in seconds from now"),
    "--tag": ("tag", "your own string"),
    "--ip": ("ips", "an address or prefix of the viewer; repeatable"),
    "--referer": ("referers", "a host of the page, or *.domain; repeatable"),
    "--not-before": ("not_before", "when it becomes valid, in Unix seconds"),
    "--user": ("user", "the user that it is for"),
    "--sessions": ("sessions", "how many viewers may play at once"),
}


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Prints what h5gate's token API would answer.")
    for option, (name, help_text) in ARGUMENTS.items():
        action = "append" if option in ("--stream", "--ip", "--referer") else "store"
        parser.add_argument(option, dest=name, action=action, default=argparse.SUPPRESS, metavar=option[2:].upper(),
                            help=help_text)
    parser.add_argument("--cut-at-expiry", action="store_true", help="end running playbacks at the expiry")
    given = vars(parser.parse_args())
    try:
        _need({"key_id", "secret"} <= given.keys(), "--key-id and --secret-file are needed")
        _need(not {"expires", "lifetime"} <= given.keys(), "--expires and --for exclude each other")
        with open(given["secret"], encoding="utf-8") as file:
            given["secret"] = file.read()
        if "lifetime" in given:
            given["expires"] = int(time.time()) + _number("--for", given.pop("lifetime"))
        print(json.dumps({"h5live": {"security": mint(**given)}}))
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
