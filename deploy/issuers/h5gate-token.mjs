#!/usr/bin/env node
/**
 * Mints playback tokens for h5gate with one of its keys. Copy this file: it needs Node 18.3 or later and nothing else.
 *
 *     const expires = Math.floor(Date.now() / 1000) + 3600;
 *     const security = mint({ keyId: "k1", secret, streams: "abcde-one", expires });
 *
 * gives what a player takes as `h5live.security`: the four strings expires, tag, token and options. On a command line
 * (`--help` lists the options):
 *
 *     node h5gate-token.mjs --key-id k1 --secret-file k1.secret --stream abcde-one --for 3600
 */

import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { isIP } from "node:net";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const LIST_LIMIT = 16;
const TOKEN_LIMIT = 2048;
const MILLISECONDS_FROM = 100_000_000_000n; // in seconds the year 5138, in milliseconds 1973
const STREAM = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const REFERER = new RegExp(String.raw`^(\*\.)?(?=.{1,253}\.?$)(${LABEL}\.)+(?![0-9]+\.?$)${LABEL}\.?$`);
const GRANT = ["keyId", "secret", "streams", "organisation", "owner", "expires", "tag", "ips", "referers", "notBefore",
  "user", "sessions", "cutAtExpiry", "issuedAt", "tokenId"];

/** The gate would refuse such a token, so there is none. */
export class MintError extends Error {}

/**
 * The security object for one stream, for up to 16, or for all streams of an organisation. What `grant` must have is
 * keyId, secret, and streams or organisation.
 *
 * secret         as `h5gate key new` prints it
 * owner          the owner of the key, an organisation or "*": what the key may not sign is then refused here
 * expires        Unix time in seconds, like notBefore; without it the token is valid for ever
 * tag            your own string, which travels beside the token and is covered by it
 * ips, referers  any of up to 16 will do: "192.0.2.1", "2001:db8::/32"; "example.com", "*.example.com"
 * user           the user that it is for
 * sessions       how many viewers may play at once: counted by user where one is named, else by token
 * cutAtExpiry    end running playbacks at expires; otherwise they go on, and only a new start is refused
 * issuedAt, tokenId  now and 16 random bytes; tests give them
 */
export function mint(grant) {
  // A misspelled binding, or one that was looked up and not found, would be a token for every viewer.
  for (const [name, value] of Object.entries(grant)) {
    need(GRANT.includes(name), `${name} is not known`);
    need(value !== undefined && value !== null, `${name} is ${value}: leave it out, or give a value`);
  }
  const { keyId, organisation, owner, tag = "", notBefore, user, sessions, cutAtExpiry = false } = grant;
  // Neither is ever part of a message: messages end up in logs, and the two are easily exchanged.
  text("keyId", keyId, /^[A-Za-z0-9_-]{1,32}$/, "1 to 32 characters of A-Z a-z 0-9 _ -");
  const secret = secretBytes(grant.secret);
  const streams = items("streams", grant.streams ?? [], stream);
  need((streams.length === 0) !== (organisation === undefined), "there must be either streams or an organisation");
  if (organisation !== undefined) {
    text(`organisation ${quoted(organisation)}`, organisation, /^[A-Za-z0-9]{5,6}$/, "5 or 6 letters and digits");
  }
  if (owner !== undefined) checkOwner(owner, streams, organisation);
  const tagBytes = utf8("tag", tag, 0, 256);
  const expires = grant.expires === undefined ? "" : String(number("expires", grant.expires, 0n));
  need(!cutAtExpiry || expires !== "", "cutAtExpiry needs expires");
  const now = Math.floor(Date.now() / 1000);
  // A given time of issue may be meant for a token that has expired.
  const free = expires === "" || grant.issuedAt !== undefined;
  const future = free || (BigInt(expires) > now && BigInt(expires) < MILLISECONDS_FROM);
  need(future, `expires ${expires} must be a time to come, in seconds, not in milliseconds`);

  const nothing = Buffer.alloc(0);
  const claims = { // in the order of their types, 1 to 10; what was not asked for is empty
    tokenId: Buffer.from(grant.tokenId ?? randomBytes(16)),
    issuedAt: bytes(number("issuedAt", grant.issuedAt ?? now)),
    notBefore: notBefore === undefined ? nothing : bytes(number("notBefore", notBefore)),
    streams: list(streams),
    organisation: Buffer.from(organisation ?? ""),
    ips: list(items("ips", grant.ips ?? [], address)),
    referers: list(items("referers", grant.referers ?? [], referer)),
    user: user === undefined ? nothing : utf8("user", user, 1, 128),
    sessions: sessions === undefined ? nothing : bytes(number("sessions", sessions, 1n, 65535n)),
    cutAtExpiry: cutAtExpiry ? Buffer.of(1) : nothing,
  };
  need(claims.tokenId.length === 16, "tokenId must be 16 bytes");
  const packed = Buffer.concat(Object.values(claims).flatMap((value, index) =>
    value.length > 0 ? [Buffer.of(index + 1, value.length >> 8, value.length & 255), value] : []));
  const bits = { 1: expires, 2: claims.ips, 4: claims.referers, 8: tag, 16: claims.organisation };
  const options = String(Object.keys(bits).reduce((sum, bit) => sum + (bits[bit].length > 0 ? Number(bit) : 0), 0));

  // What is signed is the strings as they travel, each behind its length.
  const hmac = createHmac("sha256", secret).update("h5gate-token/h1\0");
  for (const part of [Buffer.from(keyId), Buffer.from(options), Buffer.from(expires), tagBytes, packed]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hmac.update(length).update(part);
  }
  const token = `h1.${keyId}.${packed.toString("base64url")}.${hmac.digest("base64url")}`;
  const [longest, { length }] = Object.entries(claims).reduce((a, b) => (b[1].length > a[1].length ? b : a));
  need(token.length <= TOKEN_LIMIT, `the token would be ${token.length} characters long, at most ${TOKEN_LIMIT} are ` +
    `allowed; the longest claim is ${longest}, with ${length} bytes`);
  return { expires, tag, token, options };
}

/** A key is good only for its owner's streams. Which streams are left for `*`, only the gate knows. */
function checkOwner(owner, streams, organisation) {
  text(`owner ${quoted(owner)}`, owner, /^([A-Za-z0-9]{5,6}|\*)$/, "5 or 6 letters and digits, or *");
  const own = organisation === undefined || organisation === owner;
  need(own, `organisation ${organisation} is not the key's owner ${owner}`);
  for (const name of streams) {
    const theirs = owner === "*" || name.toString().startsWith(`${owner}-`);
    need(theirs, `stream ${name} is not one of the key's owner ${owner}`);
  }
}

function need(holds, message) {
  if (!holds) throw new MintError(message);
}

function secretBytes(value) {
  const trimmed = typeof value === "string" ? value.trim() : "";
  const secret = Buffer.from(trimmed, "base64");
  const fits = secret.length >= 32 && secret.toString("base64") === trimmed;
  need(fits, "secret must be base64 of at least 32 bytes, as `h5gate key new` prints it");
  return secret;
}

function text(name, value, pattern, rule) {
  need(typeof value === "string" && pattern.test(value), `${name} must be ${rule}`);
}

function utf8(name, value, least, most) {
  // Half of a surrogate pair has no UTF-8.
  const clean = typeof value === "string" && !/[\p{Cc}\p{Cs}]/u.test(value);
  const data = Buffer.from(clean ? value : "");
  const fits = clean && data.length >= least && data.length <= most;
  need(fits, `${name} ${quoted(value)} must be ${least} to ${most} bytes of UTF-8 without control characters`);
  return data;
}

/** A whole number, a BigInt or decimal text: 9, 9n and "9", but not 9.5 or "09". */
function number(name, value, least = 1n, most = 2n ** 64n - 1n) {
  const digits = typeof value === "bigint" || Number.isSafeInteger(value) ? String(value) : value;
  const canonical = typeof digits === "string" && /^(0|[1-9][0-9]{0,19})$/.test(digits);
  const fits = canonical && BigInt(digits) >= least && BigInt(digits) <= most;
  need(fits, `${name} ${quoted(value)} must be a whole number from ${least} to ${most}`);
  return BigInt(digits);
}

/** One text or several, as bytes: sorted by them, and each once. */
function items(name, values, convert) {
  const texts = Array.isArray(values) ? values : [values];
  const sorted = texts.map(convert).sort(Buffer.compare);
  const unique = sorted.filter((item, index) => index === 0 || !item.equals(sorted[index - 1]));
  need(unique.length <= LIST_LIMIT, `${name} has ${unique.length} entries, at most ${LIST_LIMIT} are allowed`);
  return unique;
}

function stream(name) {
  text(`stream ${quoted(name)}`, name, STREAM, "1 to 128 characters of A-Z a-z 0-9 . _ ~ -, and not . or ..");
  return Buffer.from(name);
}

/** Prefix length and network. One address is a prefix of full length; IPv4-mapped IPv6 is IPv4. */
function address(value) {
  const named = `ip ${quoted(value)}`;
  text(named, value, /^[0-9A-Fa-f.:]+(\/[1-9][0-9]{0,2})?$/, "an address, or a prefix such as 192.0.2.0/24");
  const [host, prefix] = value.split("/");
  need(isIP(host) !== 0, `${named} is no address`);
  let network = isIP(host) === 4 ? host.split(".").map(Number) : sixteenBytes(host);
  if (network.length === 16 && network.slice(0, 12).join() === "0,0,0,0,0,0,0,0,0,0,255,255") {
    need(prefix === undefined, `${named} must be written as a prefix of IPv4`);
    network = network.slice(12);
  }
  const full = network.length * 8;
  const length = Number(prefix ?? full);
  const behind = network.some((byte, index) => byte & (255 >> Math.min(8, Math.max(0, length - index * 8))));
  need(length <= full && !behind, `${named} has a prefix length above ${full}, or bits set behind its prefix`);
  return Buffer.of(length, ...network);
}

function sixteenBytes(host) {
  // A URL's spelling of an IPv6 address has hexadecimal groups only, and at most one `::`.
  const spelled = new URL(`http://[${host}]`).hostname.slice(1, -1);
  const [head, tail] = spelled.split("::").map((side) => (side === "" ? [] : side.split(":")));
  const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail];
  return groups.map((group) => parseInt(group, 16)).flatMap((group) => [group >> 8, group & 255]);
}

function referer(value) {
  text(`referer ${quoted(value)}`, value, REFERER, "a host, or *.example.com for all below: no scheme, port or path");
  return Buffer.from(value.toLowerCase().replace(/\.$/, ""));
}

/** Big-endian, without leading zero bytes. */
function bytes(number) {
  const digits = number.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex");
}

function list(items) {
  return Buffer.concat(items.flatMap((item) => [Buffer.of(item.length), item]));
}

function quoted(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

const USAGE = `usage: h5gate-token.mjs --key-id ID --secret-file FILE [--owner HASH|*] (--stream NAME... | --orga HASH)
  [--expires UNIX-SECONDS | --for SECONDS] [--tag TEXT] [--ip ADDRESS[/LENGTH]]... [--referer HOST|*.DOMAIN]...
  [--not-before UNIX-SECONDS] [--user TEXT] [--sessions COUNT] [--cut-at-expiry]
Prints what h5gate's token API would answer. --stream, --ip and --referer may be given several times.`;
const ARGUMENTS = { // the option, and what mint calls it
  "key-id": "keyId", "secret-file": "secret", owner: "owner", stream: "streams", orga: "organisation",
  expires: "expires", for: "expires", tag: "tag", ip: "ips", referer: "referers", "not-before": "notBefore",
  user: "user", sessions: "sessions", "cut-at-expiry": "cutAtExpiry",
};

function main() {
  const options = { help: { type: "boolean" } };
  for (const name of Object.keys(ARGUMENTS)) {
    const multiple = ["stream", "ip", "referer"].includes(name);
    options[name] = { type: name === "cut-at-expiry" ? "boolean" : "string", multiple };
  }
  try {
    const { values } = parseArgs({ options });
    if (values.help) return console.log(USAGE);
    need(values["key-id"] && values["secret-file"], "--key-id and --secret-file are needed");
    need(!(values.expires && values.for), "--expires and --for exclude each other");
    values["secret-file"] = readFileSync(values["secret-file"], "utf8");
    if (values.for !== undefined) values.for = BigInt(Math.floor(Date.now() / 1000)) + number("--for", values.for);
    const security = mint(Object.fromEntries(Object.entries(values).map(([name, value]) => [ARGUMENTS[name], value])));
    console.log(JSON.stringify({ h5live: { security } }));
  } catch (error) {
    console.error(`${basename(process.argv[1])}: ${error.message}`);
    process.exitCode = 1;
  }
}

// Not when another module imports it.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main();
