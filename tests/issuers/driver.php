<?php

// Holds the PHP issuer against the cases that cases.py prints; their file is the argument.

declare(strict_types=1);

require __DIR__ . '/../../deploy/issuers/h5gate_token.php';

// A warning or a notice is a fault too.
set_error_handler(function (int $level, string $message, string $file, int $line): never {
    throw new ErrorException($message, 0, $level, $file, $line);
});

/** What is wrong with the issuer's answer, or null. */
function fault(array $case): ?string
{
    $given = [];
    foreach ($case['arguments'] as $name => $value) {
        $given[lcfirst(str_replace('_', '', ucwords($name, '_')))] = $name === 'token_id' ? hex2bin($value) : $value;
    }
    try {
        $security = H5gate\mint(...$given);
    } catch (H5gate\MintError $error) {
        if (!isset($case['about'])) {
            return "an error: {$error->getMessage()}";
        }
        $message = str_replace('_', '', strtolower($error->getMessage()));
        if ($given['secret'] !== '' && str_contains($message, strtolower($given['secret']))) {
            return 'the message gives the secret away';
        }
        return str_contains($message, $case['about']) ? null : "an error about something else: {$error->getMessage()}";
    } catch (Throwable $error) {
        return "no MintError: $error";
    }
    if (isset($case['about'])) {
        return 'mints ' . json_encode($security);
    }
    $same = $security == $case['security'] && count(array_filter($security, is_string(...))) === 4;
    return $same ? null : 'mints ' . json_encode($security) . "\n  instead of " . json_encode($case['security']);
}

/** Arguments that only PHP can give; most of the rest are TypeErrors of its own. */
function of_this_language(array $plain): iterable
{
    $no_utf8 = ['a byte' => "a\xff", 'overlong' => "a\xc0\x80", 'cut' => "\xe2\x82", 'half a pair' => "\xed\xa0\xbd"];
    foreach ($no_utf8 as $what => $text) {
        foreach (['tag', 'user', 'organisation', 'key_id', 'expires'] as $name) {
            $about = str_replace('_', '', $name);
            $scope = $name === 'organisation' ? ['streams' => []] : [];
            yield ['name' => "$name: $what", 'arguments' => [...$plain, ...$scope, $name => $text], 'about' => $about];
        }
        foreach (['streams' => 'stream', 'ips' => 'ip', 'referers' => 'referer'] as $name => $about) {
            yield ['name' => "$name: $what", 'arguments' => [...$plain, $name => [$text]], 'about' => $about];
        }
    }
    foreach ([null, 17, 1.5, true, ['abcde-one']] as $value) {
        $name = 'streams: ' . json_encode($value);
        yield ['name' => $name, 'arguments' => [...$plain, 'streams' => [$value]], 'about' => 'stream'];
    }
}

$cases = json_decode(file_get_contents($argv[1]), true, flags: JSON_THROW_ON_ERROR);
if (array_column($cases, 'security') === [] || array_column($cases, 'about') === []) {
    throw new RuntimeException('no cases');
}
array_push($cases, ...of_this_language($cases[0]['arguments']));
$failed = 0;
foreach ($cases as $case) {
    $wrong = fault($case);
    if ($wrong !== null) {
        $failed++;
        echo "php: {$case['name']}: $wrong\n";
    }
}
echo 'php: ', count($cases) - $failed, " passed, $failed failed\n";
exit($failed > 0 ? 1 : 0);
