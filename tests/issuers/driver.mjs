// Holds the Node issuer against the cases that cases.py prints; their file is the argument.

import { readFileSync } from "node:fs";
import { MintError, mint } from "../../deploy/issuers/h5gate-token.mjs";

/** What is wrong with the issuer's answer, or null. */
function fault({ arguments: spelled, about, security: expected }) {
  const given = Object.fromEntries(Object.entries(spelled).map(([name, value]) => [camelCase(name), value]));
  if ("tokenId" in given) given.tokenId = Buffer.from(given.tokenId, "hex");
  let security;
  try {
    security = mint(given);
  } catch (error) {
    if (!(error instanceof MintError)) return `no MintError: ${error.stack}`;
    if (about === undefined) return `an error: ${error.message}`;
    const message = error.message.toLowerCase().replaceAll("_", "");
    const secret = String(given.secret).toLowerCase();
    if (secret !== "" && message.includes(secret)) return "the message gives the secret away";
    return message.includes(about) ? null : `an error about something else: ${error.message}`;
  }
  if (about !== undefined) return `mints ${JSON.stringify(security)}`;
  const names = ["expires", "tag", "token", "options"];
  const whole = Object.keys(security).length === names.length;
  const same = whole && names.every((name) => security[name] === expected[name]);
  return same ? null : `mints ${JSON.stringify(security)}\n  instead of ${JSON.stringify(expected)}`;
}

function camelCase(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

/** Arguments that only JavaScript can give: [name, value, what the message is about]. */
function ofThisLanguage(plain) {
  return [
    ["referrers", "example.com", "referrers"], ["ip", "192.0.2.17", "ip"], ["ips", undefined, "ips"],
    ["ips", null, "ips"], ["expires", undefined, "expires"], ["tag", null, "tag"],
    ["referers", [undefined], "referer"], ["ips", [["192.0.2.17"]], "ip"],
    ["streams", new Set(["abcde-one"]), "stream"], ["streams", [17], "stream"], ["tag", 17, "tag"],
    ["user", 7, "user"], ["tag", "half a pair \ud83d", "tag"], ["secret", Buffer.alloc(32), "secret"],
    ["expires", 1_700_003_600.5, "expires"], ["expires", 2 ** 53, "expires"], ["expires", NaN, "expires"],
    ["expires", new Date(), "expires"], ["sessions", true, "sessions"], ["sessions", 0n, "sessions"],
    ["issuedAt", -1n, "issuedat"],
  ].map(([name, value, about]) => {
    return { name: `${name}: ${String(value)}`, arguments: { ...plain, [name]: value }, about };
  });
}

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
if (!cases.some((one) => "security" in one) || !cases.some((one) => "about" in one)) throw new Error("no cases");
cases.push(...ofThisLanguage(cases[0].arguments));
let failed = 0;
for (const one of cases) {
  const wrong = fault(one);
  if (wrong !== null) {
    failed += 1;
    console.log(`node: ${one.name}: ${wrong}`);
  }
}
console.log(`node: ${cases.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
