#!/usr/bin/env python3
"""Writes token.json: the h1 playback token, by example, for issuers in any language.

    generate.py            writes token.json beside this file
    generate.py --check    fails when token.json is not what would be written

An implementation of its own, after the documentation in src/token.rs and src/token/wire.rs. It shares no code with the
gate, so that each checks the other. What it writes depends on nothing but this file.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import sys
from pathlib import Path

# --- The form -------------------------------------------------------------------------------------------------------

ID, ISSUED_AT, NOT_BEFORE, STREAMS, ORGANISATION, ADDRESSES, REFERERS, USER, SESSIONS, AT_EXPIRY = range(1, 11)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n):
    """Big-endian without leading zero bytes."""
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def items(values):
    """A list as it stands: each item behind its length."""
    return b"".join(bytes([len(value)]) + value for value in values)


def address(text):
    """`192.0.2.1`, `192.0.2.0/24` and the same in IPv6, as prefix length and network."""
    network = ipaddress.ip_network(text)
    return bytes([network.prefixlen]) + network.network_address.packed


def claim(kind, value):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def claims_of(grant):
    """P, of a grant."""
    parts = [claim(ID, bytes.fromhex(grant["id"])), claim(ISSUED_AT, number(grant["issued_at"]))]
    if "not_before" in grant:
        parts.append(claim(NOT_BEFORE, number(grant["not_before"])))
    if "organisation" in grant:
        parts.append(claim(ORGANISATION, grant["organisation"].encode()))
    else:
        parts.append(claim(STREAMS, items(sorted({stream.encode() for stream in grant["streams"]}))))
    if grant.get("addresses"):
        parts.append(claim(ADDRESSES, items(sorted({address(text) for text in grant["addresses"]}))))
    if grant.get("referers"):
        parts.append(claim(REFERERS, items(sorted({text.encode() for text in grant["referers"]}))))
    if "user" in grant:
        parts.append(claim(USER, grant["user"].encode()))
    if "sessions" in grant:
        parts.append(claim(SESSIONS, number(grant["sessions"])))
    if grant.get("at_expiry") == "cut":
        parts.append(claim(AT_EXPIRY, b"\x01"))
    return b"".join(parts)


def mask_of(grant):
    """`options`, of a grant."""
    bits = {1: "expires", 2: "addresses", 4: "referers", 8: "tag", 16: "organisation"}
    return sum(bit for bit, field in bits.items() if grant.get(field) not in (None, "", []))


def message(kid, options, expires, tag, claims):
    """M: what is signed."""
    parts = [kid.encode(), options.encode(), expires.encode(), tag.encode(), claims]
    return b"h5gate-token/h1\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def sign(kid, claims, options="0", expires="", tag="", secret=None):
    """The four strings, signed whatever they say."""
    signature = hmac.new(secret or SECRETS[kid], message(kid, options, expires, tag, claims), hashlib.sha256).digest()
    return {"expires": expires, "tag": tag, "token": f"h1.{kid}.{b64(claims)}.{b64(signature)}", "options": options}


def mint(kid, grant):
    """The four strings of a grant."""
    expires = str(grant["expires"]) if "expires" in grant else ""
    return sign(kid, claims_of(grant), str(mask_of(grant)), expires, grant.get("tag", ""))


# --- The keys -------------------------------------------------------------------------------------------------------

ALPHABET = "_-0123456789ABCDEFGHIJKLMNOPQRST"  # a key id of full length
KEYS = [  # id, owner, state, bytes of the secret
    ("k1", "abcde", "active", 32),
    ("k2", "abcde", "active", 48),
    ("k0", "abcde", "retiring", 33),
    ("kx", "abcde", "gone", 32),
    ("six", "AbCd12", "active", 64),  # a block of SHA-256
    (ALPHABET, "Zz9Zz", "active", 65),  # longer than a block: HMAC hashes it first
    ("Q", "quiet", "retiring", 32),
    ("star", "*", "active", 100),
]
LISTED = ["bare1"]  # an organisation without a key


def expand(text, length):
    """Bytes that look random and are not."""
    blocks = (hashlib.sha256(f"{text} {n}".encode()).digest() for n in range(length // 32 + 1))
    return b"".join(blocks)[:length]


SECRETS = {kid: expand(f"secret of {kid}", length) for kid, _, _, length in KEYS}

# --- The grants -----------------------------------------------------------------------------------------------------

ISSUED = 1_700_000_000
EXPIRES = 1_700_003_600


def grant(name, *streams, **fields):
    """A grant whose id follows from the name of its case. Without streams and organisation: of one stream."""
    result = {"id": expand(f"id of {name}", 16).hex(), "issued_at": ISSUED}
    if "organisation" not in fields:
        result["streams"] = list(streams) or ["abcde-one"]
    return result | fields


def of_mask(mask):
    fields = {}
    if mask & 1:
        fields["expires"] = EXPIRES
    if mask & 2:
        fields["addresses"] = ["192.0.2.17"]
    if mask & 4:
        fields["referers"] = ["demo.example.com"]
    if mask & 8:
        fields["tag"] = "customer-4711"
    if mask & 16:
        fields["organisation"] = "abcde"
    return fields


def streams_of_token(characters):
    """Names of sixteen streams that make a token by k1 of exactly so many characters."""
    claims = (characters - len("h1.k1..") - 43) * 3 // 4
    total = claims - len(claims_of(grant("any", "x"))) + 2 - 16
    lengths = [total // 16 + (n < total % 16) for n in range(16)]
    streams = [f"abcde-{n:02}-".ljust(length, "x") for n, length in enumerate(lengths)]
    assert len(mint("k1", grant("any", *streams))["token"]) == characters
    return streams


MINTED = []  # (name, kid, grant)


def minted(name, kid, *streams, **fields):
    MINTED.append((name, kid, grant(name, *streams, **fields)))


VENDOR = {
    0: "one stream, no limit",
    1: "until a time",
    2: "one address",
    9: "until a time, with a tag",
    12: "one page, with a tag",
    13: "until a time, one page, with a tag",
    15: "everything that a stream can be bound to",
    25: "an organisation until a time, with a tag",
}
for bits in range(32):
    minted(f"mask {bits}: {VENDOR[bits]}" if bits in VENDOR else f"mask {bits}", "k1", **of_mask(bits))

minted("the shortest stream name", "star", "a")
minted("the longest stream name", "k1", "abcde-" + "x" * 122)
minted("every character of a stream name", "star", "AZ.az_09~-")
minted("a stream name with two hyphens", "k1", "abcde-one-two")
minted("a stream name that ends behind the organisation", "k1", "abcde-")
minted("a stream of an organisation that is not listed", "star", "other-one")
minted("a stream whose organisation differs in letter case from a listed one", "star", "ABCDE-one")
minted("a stream named like an organisation, without a hyphen, is of none", "star", "abcde")
minted("a stream whose head is too long for an organisation", "star", "abcdefg-one")
minted("an organisation of six characters", "six", organisation="AbCd12")
minted("a stream of an organisation of six characters", "six", "AbCd12-one")
minted("several streams, given out of order", "k1", "abcde-high", "abcde-low", "abcde-Medium", "abcde-high2")
minted("a stream given twice is carried once", "k1", "abcde-one", "abcde-one")
minted("sixteen streams", "k1", *[f"abcde-{n}" for n in range(16)])
minted("a secret of 64 bytes", "six", "AbCd12-one", expires=EXPIRES)
minted("a secret of 65 bytes, a key id of 32 characters", ALPHABET, "Zz9Zz-one", expires=EXPIRES)
minted("a token of 2048 characters", "k1", *streams_of_token(2048))
minted("an IPv4 prefix", "k1", addresses=["198.51.100.0/24"])
minted("the shortest IPv4 prefix", "k1", addresses=["128.0.0.0/1"])
minted("one IPv6 address", "k1", addresses=["2001:db8::17"])
minted("an IPv6 prefix", "k1", addresses=["2001:db8::/32"])
minted("an IPv6 prefix that ends within a byte", "k1", addresses=["2001:db8:8000::/33"])
minted(
    "several addresses: a short prefix sorts before a long one",
    "k1",
    addresses=["2001:db8::/32", "192.0.2.17", "10.0.0.0/8", "192.0.2.16", "2001:db8:1::/48"],
)
minted("a wildcard referer", "k1", referers=["*.example.com"])
minted("several referers", "k1", referers=["www.example.org", "*.example.com", "example.com", "demo-123.example.com"])
minted("an internationalised referer as A-labels", "k1", referers=["xn--bcher-kva.example"])
minted("the longest referer", "k1", referers=["*." + ".".join(["a" * 63] * 3 + ["b" * 61])])
minted("a tag outside ASCII", "k1", tag="K\u00e4se \u65e5\u672c \U0001f9c0")
minted("a tag with everything that a URL escapes", "k1", tag="a+b c%20d&e=f/?#\"'\\")
minted("a tag of 256 bytes", "k1", tag="\u00e4" * 128)
minted("a tag of one space", "k1", tag=" ")
minted("not before", "k1", not_before=1_700_000_060, expires=EXPIRES)
minted("a user", "k1", user="f0e1d2c3-user@example.com")
minted("a user outside ASCII, of 128 bytes", "k1", user="\u00fc" * 64)
minted("one session", "k1", user="u1", sessions=1)
minted("as many sessions as can be written", "k1", sessions=65535)
minted("256 sessions: a number of two bytes that ends in zero", "k1", sessions=256)
minted("cut at expiry", "k1", expires=EXPIRES, at_expiry="cut")
minted("issued at 1, the least", "k1", issued_at=1)
minted("a number whose first bit is set", "k1", issued_at=0x80)
minted("expires at 0", "k1", expires=0)
minted("expires at 2^31", "k1", expires=2**31)
minted("expires at 2^32", "k1", expires=2**32)
minted("expires at 2^53 + 1, which a double cannot hold", "k1", expires=2**53 + 1)
minted("expires at 2^63", "k1", expires=2**63)
minted("expires at 2^64 - 1, the last", "k1", expires=2**64 - 1)
minted("times of eight bytes", "k1", issued_at=2**64 - 1, not_before=2**63)
minted(
    "everything at once",
    "k1",
    "abcde-one",
    "abcde-two",
    not_before=1_700_000_060,
    expires=EXPIRES,
    at_expiry="cut",
    addresses=["192.0.2.0/24", "2001:db8::17"],
    referers=["example.com", "*.example.com"],
    tag="customer-4711",
    user="u1",
    sessions=3,
)

# --- What verifies though this ring would not mint it ----------------------------------------------------------------

VERIFIED = []  # (name, kid, grant)
for name, kid, fields in [
    ("a retiring key", "k0", of_mask(9)),
    ("a retiring key, the only one of its owner", "Q", {"organisation": "quiet"}),
    ("the second active key of an owner", "k2", of_mask(25)),
    ("the second active key of an owner, everything bound", "k2", of_mask(15)),
]:
    VERIFIED.append((name, kid, grant(name, **fields)))
name = "a retiring key and several streams"
VERIFIED.append((name, "k0", grant(name, "abcde-a", "abcde-b", expires=EXPIRES)))

# --- What is refused ------------------------------------------------------------------------------------------------

REFUSED = []  # (name, reason, the four strings)


def refused(name, reason, security, **changes):
    REFUSED.append((name, reason, security | changes))


def parts(security):
    return security["token"].split(".")


def with_part(security, index, text):
    changed = parts(security)
    changed[index] = text
    return {"token": ".".join(changed)}


def flip(text, index):
    """The lowest bit of one character."""
    return text[:index] + chr(ord(text[index]) ^ 1) + text[index + 1 :]


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def flip_byte(text, index):
    """The lowest bit of one byte behind base64url."""
    data = bytearray(unb64(text))
    data[index] ^= 1
    return b64(data)


def respell(text):
    """Base64url with other bits in the last character that no byte holds."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 in (2, 3), "there are bits to spare"
    changed = text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]
    assert unb64(changed) == unb64(text)
    return changed


typical = mint("k1", grant("typical", **of_mask(15)))
other = mint("k1", grant("other", "abcde-two", **of_mask(15)))
plain = mint("k1", grant("plain"))
organisation = mint("k1", grant("organisation", **of_mask(25)))
kid, claims, signature = parts(typical)[1:]

# Absent, and malformed in form. What is there and unreadable is never treated as absent.
nothing = {"expires": "", "tag": "", "token": "", "options": ""}
refused("nothing at all", "missing_token", nothing)
refused("no token", "missing_token", typical, token="")
refused("no options", "missing_options", typical, options="")
refused("no expires, though options say so", "missing_expires", typical, expires="")
refused("no token, and malformed options", "malformed_options", typical, token="", options="9 ")
refused("no token, and malformed expires", "malformed_expires", typical, token="", expires="soon")
refused("no token, and a malformed tag", "malformed_tag", typical, token="", tag="a\nb")
refused("no options, and a malformed token", "malformed_token", typical, options="", token="h1.")
for name, token in [
    ("one space", " "),
    ("a space before it", " " + typical["token"]),
    ("a line feed behind it", typical["token"] + "\n"),
    ("a NUL behind it", typical["token"] + "\0"),
    ("a dot behind it", typical["token"] + "."),
    ("a fifth part", typical["token"] + ".AA"),
    ("no signature", f"h1.{kid}.{claims}"),
    ("an empty signature", f"h1.{kid}.{claims}."),
    ("an empty key id", f"h1..{claims}.{signature}"),
    ("another form", f"h2.{kid}.{claims}.{signature}"),
    ("the form in upper case", f"H1.{kid}.{claims}.{signature}"),
    ("a JWT", "eyJhbGciOiJub25lIn0.eyJzdHJlYW0iOiJhYmNkZS1vbmUifQ."),
    ("a legacy hash", "5f4dcc3b5aa765d61d8327deb882cf99"),
    ("a key id of 33 characters", f"h1.{ALPHABET}a.{claims}.{signature}"),
    ("a key id with a slash", f"h1.k/1.{claims}.{signature}"),
    ("a key id outside ASCII", f"h1.k\u00e4.{claims}.{signature}"),
    ("claims with padding", f"h1.{kid}.{b64(b'1')}==.{signature}"),
    ("claims in standard base64", f"h1.{kid}.ab+/.{signature}"),
    ("claims of an impossible length", f"h1.{kid}.AAAAA.{signature}"),
    ("claims with a line break", f"h1.{kid}.{claims[:40]}\n{claims[40:]}.{signature}"),
    ("a signature with padding", f"h1.{kid}.{claims}.{signature}="),
    ("a second spelling of the claims", f"h1.{kid}.{respell(claims)}.{signature}"),
    ("a second spelling of the signature", f"h1.{kid}.{claims}.{respell(signature)}"),
    ("a signature of 31 bytes", f"h1.{kid}.{claims}.{b64(bytes(31))}"),
    ("a signature of 33 bytes", f"h1.{kid}.{claims}.{b64(bytes(33))}"),
    ("a signature cut to its first 16 bytes", f"h1.{kid}.{claims}.{b64(unb64(signature)[:16])}"),
    ("a signature in hexadecimal", f"h1.{kid}.{claims}.{unb64(signature).hex()}"),
]:
    refused(f"token: {name}", "malformed_token", typical, token=token)
# Signed all the same: what is too long is not looked at.
refused("token: 2049 characters", "malformed_token", mint("k1", grant("too long", *streams_of_token(2049))))
for text in ["09", "+9", "9 ", " 9", "-9", "9.0", "0x9", "1e1", "nine", "\u0669", "32", "255", "256", "265"]:
    refused(f"options: {text!a}", "malformed_options", typical, options=text)
refused("options: 2^32 + 15", "malformed_options", typical, options=str(2**32 + 15))
refused("options: 2^64 + 15", "malformed_options", typical, options=str(2**64 + 15))
for text in ["01700003600", "+1700003600", "-1", "1700003600 ", " 1700003600", "1700003600.0", "1.7e9", "0x6553f100",
             "2023-11-14T22:13:20Z", "1_700_003_600", "1700003600\0", "null", "-9223372036854775808"]:
    refused(f"expires: {text!a}", "malformed_expires", typical, expires=text)
refused("expires: 2^64", "malformed_expires", typical, expires=str(2**64))
refused("expires: 25 digits", "malformed_expires", typical, expires="1700003600000000000000000")
for name, text in [
    ("257 bytes", "x" * 257),
    ("129 characters of two bytes", "\u00e4" * 129),
    ("a line feed", "a\nX-Header: b"),
    ("a NUL", "a\0"),
    ("a DEL", "a\x7f"),
    ("a C1 control", "a\x85b"),
]:
    refused(f"tag: {name}", "malformed_tag", typical, tag=text)
# Even when it is what the key signed.
refused("options: 00, signed", "malformed_options", sign("k1", claims_of(grant("any")), "00"))
refused("expires: 01700003600, signed", "malformed_expires", sign("k1", claims_of(grant("any")), "1", "01700003600"))
refused("tag: a line feed, signed", "malformed_tag", sign("k1", claims_of(grant("any")), "8", "", "a\nb"))

# Keys.
refused("a key that nobody knows", "unknown_key", typical, **with_part(typical, 1, "k9"))
refused("a key id in other letter case", "unknown_key", typical, **with_part(typical, 1, "K1"))
refused("a key that is gone", "unknown_key", mint("kx", grant("gone", **of_mask(9))))
refused("another key of the same owner", "signature", typical, **with_part(typical, 1, "k2"))
refused("a key of somebody else", "signature", typical, **with_part(typical, 1, "star"))
refused("signed with another secret", "signature", sign("k1", claims_of(grant("any")), secret=SECRETS["k2"]))
refused("signed with a secret of zeros", "signature", sign("k1", claims_of(grant("any")), secret=bytes(32)))

# One bit, in each field and part.
for name, at in [("first", 0), ("tenth", 9), ("last", -1)]:
    for index, part in [(2, "claims"), (3, "signature")]:
        changed = with_part(typical, index, flip_byte(parts(typical)[index], at))
        refused(f"a bit of the {name} byte of the {part}", "signature", typical, **changed)
refused("a bit of the key id", "unknown_key", typical, **with_part(typical, 1, flip(kid, 0)))
refused("a bit of the form", "malformed_token", typical, token=flip(typical["token"], 1))
refused("a bit of options", "signature", typical, options=flip(typical["options"], 1))
refused("a bit of expires", "signature", typical, expires=flip(typical["expires"], 9))
refused("a bit of the tag", "signature", typical, tag=flip(typical["tag"], 0))
refused("the tag in upper case", "signature", typical, tag=typical["tag"].upper())

# Other values in the fields beside the token.
refused("expires a year later", "signature", typical, expires=str(EXPIRES + 31_536_000))
refused("expires in milliseconds", "signature", typical, expires=f"{EXPIRES}000")
refused("expires at 2^31, changed", "signature", typical, expires=str(2**31))
refused("expires at 2^63, changed", "signature", typical, expires=str(2**63))
refused("expires at 2^64 - 1, changed", "signature", typical, expires=str(2**64 - 1))
refused("expires at 0, changed", "signature", typical, expires="0")
refused("expires and its bit taken away", "signature", typical, expires="", options="14")
refused("expires added", "signature", plain, expires=str(EXPIRES))
refused("expires added with its bit", "signature", plain, expires=str(EXPIRES), options="1")
refused("the tag taken away", "signature", typical, tag="")
refused("the tag taken away with its bit", "signature", typical, tag="", options="7")
refused("a tag added", "signature", plain, tag="customer-4711", options="8")
for options in ["0", "1", "13", "11", "31"]:
    refused(f"options 15 changed to {options}", "signature", typical, options=options)
refused("options 25 changed to 9", "signature", organisation, options="9")
refused("options 9 changed to 25", "signature", mint("k1", grant("nine", **of_mask(9))), options="25")

# Bytes moved from one field to its neighbour: the lengths are signed too.
moved = mint("k1", grant("moved", expires=EXPIRES, tag="00x"))
refused("two digits moved from the tag to expires", "signature", moved, expires=f"{EXPIRES}00", tag="x")
refused("two digits moved from expires to the tag", "signature", moved, expires=str(EXPIRES)[:-2], tag="0000x")
timed = mint("k1", grant("timed", expires=EXPIRES))
refused("a digit moved from expires to options", "signature", timed, options="11", expires=str(EXPIRES)[1:])
refused("a digit moved from options to expires", "signature", typical, options="1", expires=f"5{EXPIRES}")
both = mint("k1", grant("both", expires=17, tag="18"))
refused("expires and tag exchanged", "signature", both, expires="18", tag="17")

# Parts of two valid tokens.
refused("claims of another token", "signature", typical, **with_part(typical, 2, parts(other)[2]))
refused("signature of another token", "signature", typical, **with_part(typical, 3, parts(other)[3]))
theirs = mint("six", grant("theirs", "AbCd12-one", **of_mask(15)))
refused("claims and signature of another owner's token", "signature", typical, **with_part(theirs, 1, "k1"))
refused("the token of a stream beside an organisation's fields", "signature", organisation, token=typical["token"])
refused("the token of an organisation beside a stream's fields", "signature", typical, token=organisation["token"])

# Signed, but the issuer signed what a token must not say.
def signed(name, reason, *claims, kid="k1", options="0", expires="", tag=""):
    refused(f"signed: {name}", reason, sign(kid, b"".join(claims), options, expires, tag))


an_id = claim(ID, expand("id of signed", 16))
at = claim(ISSUED_AT, number(ISSUED))
stream = claim(STREAMS, items([b"abcde-one"]))
orga = claim(ORGANISATION, b"abcde")
ip = claim(ADDRESSES, items([address("192.0.2.17")]))
page = claim(REFERERS, items([b"example.com"]))

signed("no claims", "claims_missing")
signed("no id", "claims_missing", at, stream)
signed("no time of issue", "claims_missing", an_id, stream)
signed("no scope", "claims_scope", an_id, at)
signed("streams and an organisation", "claims_scope", an_id, at, stream, orga, options="16")
signed("an id of 15 bytes", "claims_value", claim(ID, bytes(15)), at, stream)
signed("an id of 17 bytes", "claims_value", claim(ID, bytes(17)), at, stream)
signed("issued at 0", "claims_value", an_id, claim(ISSUED_AT, b""), stream)
signed("a leading zero byte", "claims_value", an_id, claim(ISSUED_AT, b"\0" + number(ISSUED)), stream)
signed("a number of nine bytes", "claims_value", an_id, claim(ISSUED_AT, b"\1" + bytes(8)), stream)
signed("a time in decimal digits", "claims_value", an_id, claim(ISSUED_AT, b"1700000000"), stream)
signed("not before 0", "claims_value", an_id, at, claim(NOT_BEFORE, b"\0"), stream)
signed("a claim twice", "claims_order", an_id, at, at, stream)
signed("an id twice", "claims_order", an_id, an_id, at, stream)
signed("claims out of order", "claims_order", at, an_id, stream)
signed("organisation before streams", "claims_order", an_id, at, orga, stream)
signed("claim type 0", "claims_unknown_type", claim(0, b""), an_id, at, stream)
signed("claim type 11", "claims_unknown_type", an_id, at, stream, claim(11, b"x"))
signed("claim type 255", "claims_unknown_type", an_id, at, stream, claim(255, b""))
signed("one byte behind the claims", "claims_truncated", an_id, at, stream, b"\n")
signed("a length that goes past the end", "claims_truncated", an_id, at, b"\x04\x00\xff" + items([b"abcde-one"]))
signed("a length in little-endian", "claims_truncated", an_id, at, b"\x04\x0a\x00" + items([b"abcde-one"]))
signed("an empty list of streams", "claims_value", an_id, at, claim(STREAMS, b""))
signed("an empty stream name", "claims_value", an_id, at, claim(STREAMS, items([b""])))
signed("a list without lengths", "claims_value", an_id, at, claim(STREAMS, b"abcde-one"))
signed("a list whose last item is cut", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-one"])[:-1]))
signed("streams out of order", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-b", b"abcde-a"])))
signed("streams sorted by length", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-b", b"abcde-aa"])))
signed("a stream twice", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-a", b"abcde-a"])))
signed("seventeen streams", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-%02d" % n for n in range(17)])))
signed("a stream name of 129 characters", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-" + b"x" * 123])))
signed("a stream name with a slash", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-a/b"])))
signed("a stream name with a percent sign", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-a%2f"])))
signed("a stream name with a NUL", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-a\0"])))
signed("a stream name that is no UTF-8", "claims_value", an_id, at, claim(STREAMS, items([b"abcde-\xff"])))
signed("the stream name ..", "claims_value", an_id, at, claim(STREAMS, items([b".."])), kid="star")
signed("an organisation of four characters", "claims_value", an_id, at, claim(ORGANISATION, b"abcd"), options="16")
signed("an organisation with a hyphen", "claims_value", an_id, at, claim(ORGANISATION, b"abcd-"), options="16")
signed("the organisation *", "claims_value", an_id, at, claim(ORGANISATION, b"*"), options="16", kid="star")
for name, bad in [
    ("a prefix length of 0", b"\0" + bytes(4)),
    ("an IPv4 prefix length of 33", b"\x21\xc0\0\2\x11"),
    ("an IPv6 prefix length of 129", b"\x81" + bytes(15) + b"\1"),
    ("bits behind the prefix", b"\x18\xc0\0\2\x11"),
    ("IPv4-mapped IPv6", b"\x80" + bytes(10) + b"\xff\xff\xc0\0\2\x11"),
    ("an address without a prefix length", b"\xc0\0\2\x11"),
    ("an address as text", b"192.0.2.17"),
    ("a network of five bytes", b"\x20\xc0\0\2\x11\0"),
]:
    signed(name, "claims_value", an_id, at, stream, claim(ADDRESSES, items([bad])), options="2")
signed("an empty list of addresses", "claims_value", an_id, at, stream, claim(ADDRESSES, b""), options="2")
signed("addresses sorted as text", "claims_value", an_id, at, stream,
       claim(ADDRESSES, items([address("10.0.0.0/9"), address("10.0.0.0/8")])), options="2")
for name, bad in [
    ("in upper case", b"Example.com"),
    ("with a trailing dot", b"example.com."),
    ("of one label", b"localhost"),
    ("with a scheme", b"https://example.com"),
    ("with a port", b"example.com:443"),
    ("with a path", b"example.com/"),
    ("with an underscore", b"a_b.example.com"),
    ("that is an IPv4 address", b"192.0.2.17"),
    ("that is all of a top-level domain", b"*.com"),
    ("with a wildcard within", b"a.*.example.com"),
    ("that is a wildcard", b"*"),
    ("with two wildcards", b"*.*.example.com"),
    ("with an empty label", b"example..com"),
    ("with a label that starts with a hyphen", b"-a.example.com"),
    ("with a label of 64 characters", b"a" * 64 + b".com"),
    ("of 254 characters", b".".join([b"a" * 63] * 3 + [b"b" * 62])),
    ("of other letters than those of ASCII", "b\u00fccher.example".encode()),
]:
    signed(f"a referer {name}", "claims_value", an_id, at, stream, claim(REFERERS, items([bad])), options="4")
signed("an empty user", "claims_value", an_id, at, stream, claim(USER, b""))
signed("a user of 129 bytes", "claims_value", an_id, at, stream, claim(USER, b"u" * 129))
signed("a user with a line feed", "claims_value", an_id, at, stream, claim(USER, b"a\nb"))
signed("a user that is no UTF-8", "claims_value", an_id, at, stream, claim(USER, b"\xc3"))
signed("a user with a NUL in overlong UTF-8", "claims_value", an_id, at, stream, claim(USER, b"\xc0\x80"))
signed("no session at once", "claims_value", an_id, at, stream, claim(SESSIONS, b"\0"))
signed("65536 sessions at once", "claims_value", an_id, at, stream, claim(SESSIONS, b"\1\0\0"))
for bad in [b"", b"\0", b"\2", b"\0\1"]:
    ending = claim(AT_EXPIRY, bad)
    signed(f"at expiry {bad.hex() or 'nothing'}", "claims_value", an_id, at, stream, ending, options="1", expires="17")
signed("cut, but no expires", "claims_cut_without_expiry", an_id, at, stream, claim(AT_EXPIRY, b"\1"))
signed("an address, and its bit not set", "claims_mask", an_id, at, stream, ip)
signed("no address, and its bit set", "claims_mask", an_id, at, stream, options="2")
signed("a referer, and its bit not set", "claims_mask", an_id, at, stream, page)
signed("no referer, and its bit set", "claims_mask", an_id, at, stream, options="4")
signed("an organisation, and its bit not set", "claims_mask", an_id, at, orga)
signed("a stream, and the bit of an organisation set", "claims_mask", an_id, at, stream, options="16")
signed("expires, and its bit not set", "claims_mask", an_id, at, stream, expires=str(EXPIRES))
signed("a tag, and its bit not set", "claims_mask", an_id, at, stream, tag="customer-4711")
signed("no tag, and its bit set", "claims_mask", an_id, at, stream, options="8")


def foreign(name, reason, kid, *streams, **fields):
    refused(f"signed: {name}", reason, mint(kid, grant(name, *streams, **fields)))


foreign("a stream of another organisation", "claims_foreign_stream", "k1", "AbCd12-one")
foreign("a stream of another organisation among one's own", "claims_foreign_stream", "k1", "abcde-one", "Zz9Zz-one")
foreign("a stream whose organisation differs in letter case", "claims_foreign_stream", "k1", "ABCDE-one")
foreign("a stream of no organisation", "claims_foreign_stream", "k1", "live")
foreign("a stream named like the organisation, without a hyphen", "claims_foreign_stream", "k1", "abcde")
foreign("a stream whose name begins with the organisation", "claims_foreign_stream", "k1", "abcdef-one")
foreign("a stream of a listed organisation, by the key of *", "claims_foreign_stream", "star", "abcde-one")
foreign("a stream of an organisation without a key, by the key of *", "claims_foreign_stream", "star", "bare1-one")
foreign("another organisation", "claims_foreign_organisation", "k1", organisation="AbCd12")
foreign("the organisation in other letter case", "claims_foreign_organisation", "k1", organisation="ABCDE")
foreign("an organisation, by the key of *", "claims_foreign_organisation", "star", organisation="other")
foreign("a listed organisation, by the key of *", "claims_foreign_organisation", "star", organisation="abcde")

# --- What is not minted -----------------------------------------------------------------------------------------------

NOT_MINTED = []  # (name, owner, reason, grant)


def not_minted(name, owner, reason, *streams, **fields):
    NOT_MINTED.append((name, owner, reason, grant(name, *streams, **fields)))


not_minted("an owner whose only key is retiring", "quiet", "no_active_key", "quiet-one")
not_minted("an organisation without a key", "bare1", "no_active_key", "bare1-one")
not_minted("an organisation that is not listed", "other", "no_active_key", "other-one")
not_minted("a stream of another organisation", "abcde", "claims_foreign_stream", "AbCd12-one")
not_minted("a stream of no organisation", "abcde", "claims_foreign_stream", "live")
not_minted("a stream of a listed organisation", "*", "claims_foreign_stream", "abcde-one")
not_minted("another organisation", "abcde", "claims_foreign_organisation", organisation="AbCd12")
not_minted("an organisation for *", "*", "claims_foreign_organisation", organisation="other")
not_minted("cut, but no expires", "abcde", "claims_cut_without_expiry", at_expiry="cut")
not_minted("issued at 0", "abcde", "claims_value", issued_at=0)
not_minted("not before 0", "abcde", "claims_value", not_before=0)
not_minted("no stream", "abcde", "claims_value", streams=[])
not_minted("seventeen streams", "abcde", "too_many", *[f"abcde-{n}" for n in range(17)])
not_minted("seventeen addresses", "abcde", "too_many", addresses=[f"192.0.2.{n}" for n in range(17)])
not_minted("seventeen referers", "abcde", "too_many", referers=[f"a{n}.example.com" for n in range(17)])
not_minted("a token of 2049 characters", "abcde", "too_long", *streams_of_token(2049))

# --- The file ---------------------------------------------------------------------------------------------------------

ABOUT = [
    "The h5gate playback token h1 by example. The form is described in src/token.rs and src/token/wire.rs.",
    "All secrets in this file are public: use them for nothing but tests.",
    "minted: this owner and grant give exactly these four strings, and they verify to the grant, its lists without"
    " repetitions.",
    "verified: these four strings, signed by this key, verify to the grant, though the owner's first active key is"
    " another one.",
    "refused: these four strings are refused, for the named reason. not_minted: no token is made of this grant.",
    "The first active key of an owner signs. Retiring keys verify. A key that is gone is not loaded at all.",
    "listed: organisations that are known without having a key. Owners of keys are known by that.",
    "A grant's id is 16 bytes in hexadecimal, its times are Unix seconds up to 2^64 - 1: read them as 64-bit integers.",
]
OWNERS = {kid: owner for kid, owner, _, _ in KEYS}


def document():
    keys = [
        {"id": kid, "owner": owner, "state": state, "secret": base64.b64encode(SECRETS[kid]).decode()}
        for kid, owner, state, _ in KEYS
    ]

    def case(kid, of):
        return {"key": kid, "owner": OWNERS[kid], "grant": of, "security": mint(kid, of)}

    return {
        "header": {"form": "h1", "about": ABOUT, "keys": keys, "listed": LISTED},
        "minted": [{"name": name} | case(kid, of) for name, kid, of in MINTED],
        "verified": [{"name": name} | case(kid, of) for name, kid, of in VERIFIED],
        "refused": [{"name": name, "reason": why, "security": four} for name, why, four in REFUSED],
        "not_minted": [
            {"name": name, "reason": why, "owner": owner, "grant": of} for name, owner, why, of in NOT_MINTED
        ],
    }


def main(arguments):
    cases = document()
    for section in ("minted", "verified", "refused", "not_minted"):
        names = [case["name"] for case in cases[section]]
        repeated = {name for name in names if names.count(name) > 1}
        assert not repeated, f"{section} has two cases of the name {repeated}"
    # json leaves DEL alone, the only control character that it does not escape.
    text = json.dumps(cases, indent=1).replace("\x7f", "\\u007f") + "\n"
    path = Path(__file__).with_name("token.json")
    if arguments == ["--check"]:
        if not path.exists() or path.read_text(encoding="ascii") != text:
            sys.exit(f"{path.name} is not what {Path(__file__).name} writes: run it, and look at what has changed")
    elif arguments:
        sys.exit(__doc__)
    else:
        path.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
