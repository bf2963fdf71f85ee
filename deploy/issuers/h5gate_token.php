<?php

/**
 * Mints playback tokens for h5gate with one of its keys. Copy this file: it needs PHP 8.1 or later and nothing else.
 *
 *     $security = H5gate\mint('k1', $secret, streams: 'abcde-one', expires: time() + 3600);
 *
 * gives what a player takes as `h5live.security`: the four strings expires, tag, token and options. On a command line
 * (`--help` lists the options):
 *
 *     php h5gate_token.php --key-id k1 --secret-file k1.secret --stream abcde-one --for 3600
 */

declare(strict_types=1);

namespace H5gate;

const LIST_LIMIT = 16;
const TOKEN_LIMIT = 2048;
const LAST_NUMBER = '18446744073709551615'; // 2^64 - 1: text, because an int ends at 2^63 - 1
const MILLISECONDS_FROM = '100000000000'; // in seconds the year 5138, in milliseconds 1973
const STREAM = '(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}';
const LABEL = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const REFERER = '(\*\.)?(?=.{1,253}\.?$)(' . LABEL . '\.)+(?![0-9]+\.?$)' . LABEL . '\.?';

/** The gate would refuse such a token, so there is none. */
final class MintError extends \InvalidArgumentException {}

/**
 * The security object for one stream, for up to 16, or for all streams of an organisation.
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
 *
 * @return array{expires: string, tag: string, token: string, options: string}
 */
function mint(
    string $keyId,
    #[\SensitiveParameter] string $secret,
    string|array $streams = [],
    ?string $organisation = null,
    ?string $owner = null,
    int|string|null $expires = null,
    string $tag = '',
    string|array $ips = [],
    string|array $referers = [],
    int|string|null $notBefore = null,
    ?string $user = null,
    int|string|null $sessions = null,
    bool $cutAtExpiry = false,
    int|string|null $issuedAt = null,
    ?string $tokenId = null,
): array {
    // Neither is ever part of a message: messages end up in logs, and the two are easily exchanged.
    text('keyId', $keyId, '[A-Za-z0-9_-]{1,32}', '1 to 32 characters of A-Z a-z 0-9 _ -');
    $secret = secret($secret);
    $streams = items('streams', $streams, stream(...));
    need(($streams === []) !== ($organisation === null), 'there must be either streams or an organisation');
    if ($organisation !== null) {
        text('organisation ' . quoted($organisation), $organisation, '[A-Za-z0-9]{5,6}', '5 or 6 letters and digits');
    }
    if ($owner !== null) {
        check_owner($owner, $streams, $organisation);
    }
    utf8('tag', $tag, 0, 256);
    $expires = $expires === null ? '' : number('expires', $expires, '0');
    need(!$cutAtExpiry || $expires !== '', 'cutAtExpiry needs expires');
    $future = $expires === '' || (compare($expires, (string) time()) > 0 && compare($expires, MILLISECONDS_FROM) < 0);
    // A given time of issue may be meant for a token that has expired.
    need($future || $issuedAt !== null, "expires $expires must be a time to come, in seconds, not in milliseconds");

    $claims = [ // in the order of their types, 1 to 10; what was not asked for is empty
        'tokenId' => $tokenId ?? random_bytes(16),
        'issuedAt' => bytes(number('issuedAt', $issuedAt ?? time())),
        'notBefore' => $notBefore === null ? '' : bytes(number('notBefore', $notBefore)),
        'streams' => pack_list($streams),
        'organisation' => $organisation ?? '',
        'ips' => pack_list(items('ips', $ips, address(...))),
        'referers' => pack_list(items('referers', $referers, referer(...))),
        'user' => $user === null ? '' : utf8('user', $user, 1, 128),
        'sessions' => $sessions === null ? '' : bytes(number('sessions', $sessions, '1', '65535')),
        'cutAtExpiry' => $cutAtExpiry ? "\x01" : '',
    ];
    need(strlen($claims['tokenId']) === 16, 'tokenId must be 16 bytes');
    $packed = '';
    foreach (array_values($claims) as $index => $value) {
        $packed .= $value === '' ? '' : pack('Cn', $index + 1, strlen($value)) . $value;
    }
    $bits = [1 => $expires, 2 => $claims['ips'], 4 => $claims['referers'], 8 => $tag, 16 => $claims['organisation']];
    $options = (string) array_sum(array_keys(array_filter($bits, fn (string $value): bool => $value !== '')));

    // What is signed is the strings as they travel, each behind its length.
    $message = "h5gate-token/h1\0";
    foreach ([$keyId, $options, $expires, $tag, $packed] as $part) {
        $message .= pack('N', strlen($part)) . $part;
    }
    $token = "h1.$keyId." . base64url($packed) . '.' . base64url(hash_hmac('sha256', $message, $secret, true));
    $lengths = array_map(strlen(...), $claims);
    $longest = array_search(max($lengths), $lengths, true);
    need(strlen($token) <= TOKEN_LIMIT, 'the token would be ' . strlen($token) . ' characters long, at most '
        . TOKEN_LIMIT . " are allowed; the longest claim is $longest, with $lengths[$longest] bytes");
    return ['expires' => $expires, 'tag' => $tag, 'token' => $token, 'options' => $options];
}

/** A key is good only for its owner's streams. Which streams are left for `*`, only the gate knows. */
function check_owner(string $owner, array $streams, ?string $organisation): void
{
    text('owner ' . quoted($owner), $owner, '[A-Za-z0-9]{5,6}|\*', '5 or 6 letters and digits, or *');
    $own = $organisation === null || $organisation === $owner;
    need($own, "organisation $organisation is not the key's owner $owner");
    foreach ($streams as $stream) {
        $theirs = $owner === '*' || str_starts_with($stream, "$owner-");
        need($theirs, "stream $stream is not one of the key's owner $owner");
    }
}

function need(bool $holds, string $message): void
{
    if (!$holds) {
        throw new MintError($message);
    }
}

function secret(#[\SensitiveParameter] string $text): string
{
    $secret = base64_decode(trim($text), true);
    $fits = $secret !== false && strlen($secret) >= 32 && base64_encode($secret) === trim($text);
    need($fits, 'secret must be base64 of at least 32 bytes, as `h5gate key new` prints it');
    return $secret;
}

function text(string $name, mixed $value, string $pattern, string $rule): void
{
    need(is_string($value) && preg_match("#^(?:$pattern)$#D", $value) === 1, "$name must be $rule");
}

function utf8(string $name, string $value, int $least, int $most): string
{
    // Without UTF-8, preg_match gives false.
    $fits = strlen($value) >= $least && strlen($value) <= $most && preg_match('/\p{Cc}/u', $value) === 0;
    need($fits, "$name " . quoted($value) . " must be $least to $most bytes of UTF-8 without control characters");
    return $value;
}

/** A whole number or its decimal text, as text: 9 and "9", but not "09". */
function number(string $name, int|string $value, string $least = '1', string $most = LAST_NUMBER): string
{
    $digits = (string) $value;
    $canonical = preg_match('/^(0|[1-9][0-9]*)$/D', $digits) === 1;
    $fits = $canonical && compare($digits, $least) >= 0 && compare($digits, $most) <= 0;
    need($fits, "$name " . quoted($value) . " must be a whole number from $least to $most");
    return $digits;
}

/** Compares two numbers in decimal digits. */
function compare(string $a, string $b): int
{
    return strlen($a) <=> strlen($b) ?: strcmp($a, $b);
}

/** A number as bytes: big-endian, without leading zero bytes. */
function bytes(string $digits): string
{
    $bytes = array_fill(0, 8, 0);
    foreach (str_split($digits) as $carry) {
        for ($index = 7; $index >= 0; $index--) {
            $carry = (int) $carry + 10 * $bytes[$index];
            $bytes[$index] = $carry & 255;
            $carry >>= 8;
        }
    }
    return ltrim(pack('C*', ...$bytes), "\0");
}

/** One text or several, as bytes: sorted by them, and each once. */
function items(string $name, string|array $values, callable $convert): array
{
    $items = array_unique(array_map($convert, (array) $values), SORT_STRING);
    sort($items, SORT_STRING);
    $count = count($items);
    need($count <= LIST_LIMIT, "$name has $count entries, at most " . LIST_LIMIT . ' are allowed');
    return $items;
}

function pack_list(array $items): string
{
    return implode('', array_map(fn (string $item): string => chr(strlen($item)) . $item, $items));
}

function stream(mixed $name): string
{
    text('stream ' . quoted($name), $name, STREAM, '1 to 128 characters of A-Z a-z 0-9 . _ ~ -, and not . or ..');
    return $name;
}

/** Prefix length and network. One address is a prefix of full length; IPv4-mapped IPv6 is IPv4. */
function address(mixed $text): string
{
    $named = 'ip ' . quoted($text);
    text($named, $text, '[0-9A-Fa-f.:]+(/[1-9][0-9]{0,2})?', 'an address, or a prefix such as 192.0.2.0/24');
    [$host, $length] = explode('/', $text) + [1 => null];
    $network = filter_var($host, FILTER_VALIDATE_IP) === false ? false : inet_pton($host);
    need($network !== false, "$named is no address");
    if (str_starts_with($network, str_repeat("\0", 10) . "\xff\xff")) {
        need($length === null, "$named must be written as a prefix of IPv4");
        $network = substr($network, 12);
    }
    $full = 8 * strlen($network);
    $length = (int) ($length ?? $full);
    $bits = implode('', array_map(fn (int $byte): string => sprintf('%08b', $byte), unpack('C*', $network)));
    $fits = $length <= $full && !str_contains(substr($bits, $length), '1');
    need($fits, "$named has a prefix length above $full, or bits set behind its prefix");
    return chr($length) . $network;
}

function referer(mixed $text): string
{
    text('referer ' . quoted($text), $text, REFERER, 'a host, or *.example.com for all below: no scheme, port or path');
    return preg_replace('/\.$/', '', strtolower($text));
}

function base64url(string $data): string
{
    return rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
}

function quoted(mixed $value): string
{
    return (string) json_encode($value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
}

const USAGE = <<<'TEXT'
    usage: h5gate_token.php --key-id ID --secret-file FILE [--owner HASH|*] (--stream NAME... | --orga HASH)
      [--expires UNIX-SECONDS | --for SECONDS] [--tag TEXT] [--ip ADDRESS[/LENGTH]]... [--referer HOST|*.DOMAIN]...
      [--not-before UNIX-SECONDS] [--user TEXT] [--sessions COUNT] [--cut-at-expiry]
    Prints what h5gate's token API would answer. --stream, --ip and --referer may be given several times.

    TEXT;
const ARGUMENTS = [ // the option, and what mint calls it
    '--key-id' => 'keyId', '--secret-file' => 'secret', '--owner' => 'owner', '--stream' => 'streams',
    '--orga' => 'organisation', '--expires' => 'expires', '--for' => 'lifetime', '--tag' => 'tag', '--ip' => 'ips',
    '--referer' => 'referers', '--not-before' => 'notBefore', '--user' => 'user', '--sessions' => 'sessions',
    '--cut-at-expiry' => 'cutAtExpiry',
];

function main(array $arguments): void
{
    $given = [];
    // Not getopt, which passes over what it does not know: a misspelled binding would be a token for every viewer.
    while (($option = array_shift($arguments)) !== null) {
        [$option, $value] = explode('=', $option, 2) + [1 => null];
        $name = ARGUMENTS[$option] ?? '';
        need($name !== '', "$option is not known");
        $value ??= $name === 'cutAtExpiry' ? true : array_shift($arguments);
        need($value !== null, "$option needs a value");
        $several = in_array($name, ['streams', 'ips', 'referers'], true);
        $given[$name] = $several ? [...$given[$name] ?? [], $value] : $value;
    }
    need(isset($given['keyId'], $given['secret']), '--key-id and --secret-file are needed');
    need(!isset($given['expires'], $given['lifetime']), '--expires and --for exclude each other');
    need(is_readable($given['secret']), "{$given['secret']} cannot be read");
    $given['secret'] = file_get_contents($given['secret']);
    if (isset($given['lifetime'])) {
        $given['expires'] = time() + (int) number('--for', $given['lifetime'], '1', MILLISECONDS_FROM);
        unset($given['lifetime']);
    }
    $answer = ['h5live' => ['security' => mint(...$given)]];
    echo json_encode($answer, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), "\n";
}

// Not when another file includes it.
if (PHP_SAPI === 'cli' && realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__) {
    try {
        in_array('--help', $argv, true) ? print USAGE : main(array_slice($argv, 1));
    } catch (MintError $error) {
        fwrite(STDERR, basename(__FILE__) . ": {$error->getMessage()}\n");
        exit(1);
    }
}
