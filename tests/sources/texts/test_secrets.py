"""Secrets are found wherever they stand; examples, programs and prose are left alone."""

from __future__ import annotations

import json
import time

import pytest

from longctx.sources.texts.secrets import find
from tests.sources.secret_samples import IN_CONTEXT, TOKENS, armour, token


def _found(text):
    return [(secret.what, text[secret.start : secret.stop]) for secret in find(text)]


@pytest.mark.parametrize(("what", "secret"), TOKENS, ids=lambda value: value[:12])
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "key = '{}'\n",
        "Authorization: Bearer {}\r\n",
        "(see {}).",
        "a={}&b=1",
        '"x\\n{}"',
        "`{}`",
        "key%3D{}%26",
        "\x1b[31m{}\x1b[0m",
        "\x1b[1;32m{}",
    ],
)
def test_a_token_is_found_whatever_stands_around_it(what, secret, around):
    assert _found(around.format(secret)) == [(what, secret)]


def test_a_random_token_with_a_short_word_in_it_is_no_example():
    assert _found(secret := "gh" + "p_" + token(2, 16) + "Your" + token(3, 16)) == [("GitHub token", secret)]
    assert not find("gh" + "p_your" + token(2, 32))


@pytest.mark.parametrize(("what", "before", "secret", "after"), IN_CONTEXT)
def test_of_what_only_its_place_tells_the_secret_alone_is_taken(what, before, secret, after):
    assert _found(before + secret + after) == [(what, secret)]


KINDS = [
    "RSA PRIVATE KEY",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "EC PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PGP PRIVATE KEY BLOCK",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_private_key_is_found_whole(kind, end):
    key = armour(kind, end=end)
    assert _found(f"before{end}{key}after") == [("private key", key.rstrip("\r\n"))]


def test_a_private_key_with_headers_and_one_of_ssh2_are_found():
    headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,3F17F5316E2BAC89\n"
    for key in (armour(headers=headers), armour("SSH2 ENCRYPTED PRIVATE KEY", dashes="---- ").replace("---- \n", "----\n")):
        assert [what for what, _ in _found(key)] == ["private key"]


def test_a_private_key_in_json_and_in_programs_is_found():
    key = armour()
    quoted = " +\n".join(f'  "{line}\\n"' for line in key.splitlines())
    commented = "".join(f"# {line}\n" for line in key.splitlines())
    for text in (
        json.dumps({"private_key": key}),
        f"const key = {quoted};\n",
        commented,
        f"  key: |\n    {key.replace(chr(10), chr(10) + '    ')}",
    ):
        (secret,) = find(text)
        assert "BEGIN" not in text[: secret.start] + text[secret.stop :]
        assert "END" not in text[: secret.start] + text[secret.stop :]


@pytest.mark.parametrize("part", [slice(0, 300), slice(0, 700), slice(400, None)])
def test_a_part_of_a_private_key_is_one_too(part):
    text = f"before\n{armour()[part]}\nafter the key\n"
    (secret,) = find(text)
    left = text[: secret.start] + text[secret.stop :]
    assert not [line for line in left.split() if len(line) > 40]
    assert left.startswith("before")
    assert left.endswith("after the key\n")


@pytest.mark.parametrize("lines", [2, 3, 5])
def test_a_key_that_is_cut_off_by_the_end_of_the_text_is_one_however_short(lines):
    key = "".join(armour().splitlines(keepends=True)[:lines])
    assert _found(f"before\n{key}") == [("private key", key.rstrip())]


def test_two_keys_are_two():
    text = armour() + "between\n" + armour("PRIVATE KEY")
    assert [what for what, _ in _found(text)] == ["private key"] * 2


def test_the_lines_of_a_putty_key_that_are_private_are_found():
    lines = "\n".join(token(seed, 64) for seed in range(3))
    text = f"PuTTY-User-Key-File-2: ssh-rsa\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 3\n{lines}\nPrivate-MAC: 12\n"
    assert [text[secret.start : secret.stop].strip() for secret in find(text)] == [lines]


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",  # of Amazon's own manuals
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_" + "x" * 36,
        "ghp_" + "0123456789" * 4,
        "sk-ant-api03-your-key-goes-here-" + "a1B2" * 10,
        "sk-proj-<your-key>",
        "glpat-XXXXXXXXXXXXXXXXXXXX",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    raise ValueError("-----END RSA PRIVATE KEY-----")\n',
        armour("PUBLIC KEY"),
        armour("CERTIFICATE"),
        "https://user:password@host.org/",
        "https://user:pass%20pass@host.org/",
        "https://{user}:{password}@{host}/",
        "https://$USER:$TOKEN@github.com/x.git",
        "https://<user>:<password>@github.com",
        "https://ada:${CI_JOB7_DEPLOY}@github.com/x.git",
        "https://ada:{settings.deploy9}@github.com/x.git",
        "mysql://ada:%(deploy9q)s@db/app",
        "redis://:kV8m…9q@cache",
        "amqp://ada:kV8***9q@queue",
        '"%s://%s:%s@%s" % parts',
        "postgres://postgres:postgres@db/app",
        "ftp://ada:kV8!mm3q@ftp.example.com/",
        "http://host:8080/a@b",
        "git@github.com:psf/requests.git",
        "see https://a.org:443 and mail to me@b.org",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b\n",
        "sha512-" + token(50, 86) + "==",
        "_npm_config_registry_with_a_long_name_of_its_own",
        "task-" + token(51, 48),
        "eyJhbGciOiJIUzI1NiJ9",
        "SKELETON and MASK",
    ],
)
def test_examples_and_programs_hold_no_secrets(text):
    assert _found(text) == []


def test_a_program_that_knows_of_keys_is_left_whole():
    between = "".join(f"    certificate_chain_of_{number} = loadCertificatesFromFolder({number})\n" for number in range(99))
    text = f'BEGIN = "-----BEGIN PRIVATE KEY-----"\n{between}END = "-----END PRIVATE KEY-----"\n'
    assert _found(text) == []


@pytest.mark.parametrize(
    "unit",
    [
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n" + "A1b2" * 16 + "\n",
        "eyJ",
        "eyJhbGciOi.eyJhbGciOi.",
        "://a:",
        "://a:b@",
        "\\nsk-",
        "secret_access_key=",
        "Private-Lines: 9\nAAAA",
        "A1b2",
        "xoxb-",
        ".atlasv1.",
    ],
)
def test_no_text_takes_long(unit):
    text = unit * (1_000_000 // len(unit))
    began = time.process_time()
    find(text)
    assert time.process_time() - began < 2


def test_a_token_behind_what_only_begins_like_it_is_found() -> None:
    token = "AKIA" + "Z7Q2LMN4XK3P5RTV"
    text = f"see_AKIA_in_the_manual_of_it\nid={token}\nagain={token};\n"
    assert [text[secret.start : secret.stop] for secret in find(text)] == [token, token]


def test_a_token_that_begins_inside_of_another_hint_is_found() -> None:
    secret = "GOC" + "SPX-" + token(4, 28)
    assert _found(f"client.{secret}") == [("Google OAuth secret", secret)]
