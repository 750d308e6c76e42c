"""Secrets that nobody uses, made on the spot so that no scanner takes this repository for one that leaks."""

from __future__ import annotations

import base64
import random

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def token(seed: int, length: int, alphabet: str = _ALNUM) -> str:
    """Random characters, the same for the same seed."""
    return "".join(random.Random(seed).choices(alphabet, k=length))


def armour(kind: str = "RSA PRIVATE KEY", lines: int = 12, end: str = "\n", dashes: str = "-----", headers: str = "") -> str:
    """A private key as a file has it, with its last line end."""
    body = base64.b64encode(random.Random(7).randbytes(48 * lines - 20)).decode()
    wrapped = [body[at : at + 64] for at in range(0, len(body), 64)]
    first, last = f"{dashes}BEGIN {kind}{dashes}", f"{dashes}END {kind}{dashes}"
    return end.join([first, *([headers] if headers else []), *wrapped, last, ""])


_HEX, _UPPER = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_WORD = _ALNUM + "-_"

#: One of each kind, by what it is called.
TOKENS = [
    ("AWS access key", "AK" + "IA" + token(1, 16, _UPPER)),
    ("GitHub token", "gh" + "p_" + token(2, 36)),
    ("GitHub token", "github" + "_pat_" + token(3, 22) + "_" + token(4, 59)),
    ("GitLab token", "gl" + "pat-" + token(5, 20)),
    ("Slack token", "xo" + "xb-" + token(6, 12, "0123456789") + "-" + token(7, 24)),
    ("Stripe key", "sk" + "_live_" + token(8, 24)),
    ("Google API key", "AI" + "za" + token(9, 35, _WORD)),
    ("Google OAuth secret", "GOC" + "SPX-" + token(10, 28, _WORD)),
    ("OpenAI key", "sk" + "-proj-" + token(11, 74, _WORD) + "T3Blbk" + "FJ" + token(12, 74, _WORD[:62])),
    ("OpenAI key", "sk" + "-" + token(13, 20) + "T3Blbk" + "FJ" + token(14, 20)),
    ("Anthropic key", "sk" + "-ant-api03-" + token(15, 93, _WORD) + "AA"),
    ("Hugging Face token", "h" + "f_" + token(16, 34, _ALNUM[:52])),
    ("npm token", "np" + "m_" + token(17, 36)),
    ("PyPI token", "py" + "pi-AgEIcHlwaS5vcmc" + token(18, 70, _WORD)),
    ("SendGrid key", "S" + "G." + token(19, 22, _WORD[:62]) + "." + token(20, 43, _WORD[:62])),
    ("Twilio key", "S" + "K" + token(21, 32, _HEX)),
    ("Telegram bot token", token(22, 10, "123456789") + ":A" + "A" + token(23, 33, _WORD[:62])),
    ("JSON web token", "ey" + "J" + token(24, 33) + ".ey" + "J" + token(25, 60) + "." + token(26, 43)),
    ("DigitalOcean token", "do" + "p_v1_" + token(27, 64, _HEX)),
    ("Databricks token", "da" + "pi" + token(28, 32, _HEX)),
    ("age key", "AGE-SECRET-" + "KEY-1" + token(29, 58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
]

#: With what stands around them: what they are, what stands before, the secret, what stands after.
IN_CONTEXT = [
    ("AWS secret key", "AWS_SECRET_ACCESS_KEY=", token(40, 40), "\n"),
    ("AWS secret key", '{"SecretAccessKey": "', token(41, 40), '"}'),
    ("Azure storage or bus key", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=", token(42, 86) + "==", ";"),
    ("Slack webhook", "https://hooks.slack." + "com/services/", f"T{token(43, 8)}/B{token(44, 8)}/{token(45, 24)}", "\n"),
    ("password", "postgres://app:", "s3cr!et-of-mine", "@db.internal:5432/app"),
    ("password", "redis://:", token(46, 20), "@cache"),
]
