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
    ("Hugging Face token", "api" + "_org_" + token(16, 34, _ALNUM[:52])),
    ("npm token", "np" + "m_" + token(17, 36)),
    ("PyPI token", "py" + "pi-AgEIcHlwaS5vcmc" + token(18, 70, _WORD)),
    ("SendGrid key", "S" + "G." + token(19, 22, _WORD[:62]) + "." + token(20, 43, _WORD[:62])),
    ("Twilio key", "S" + "K" + token(21, 32, _HEX)),
    ("Telegram bot token", token(22, 10, "123456789") + ":A" + "A" + token(23, 33, _WORD[:62])),
    ("JSON web token", "ey" + "J" + token(24, 33) + ".ey" + "J" + token(25, 60) + "." + token(26, 43)),
    ("DigitalOcean token", "do" + "p_v1_" + token(27, 64, _HEX)),
    ("Databricks token", "da" + "pi" + token(28, 32, _HEX)),
    ("AWS access key", "AB" + "IA" + token(50, 16, _UPPER)),
    ("GitLab token", "gl" + "cbt-64_" + token(51, 20)),
    ("GitLab token", "GR13" + "48941" + token(52, 20)),
    ("OpenAI key", "sk" + "-" + token(53, 32, _HEX)),
    ("xAI key", "xa" + "i-" + token(54, 80)),
    ("Perplexity key", "pp" + "lx-" + token(55, 48)),
    ("NVIDIA key", "nv" + "api-" + token(56, 64, _WORD[:62])),
    ("LangSmith key", "ls" + "v2_pt_" + token(57, 32, _HEX) + "_" + token(58, 10, _HEX)),
    ("Pinecone key", "pc" + "sk_" + token(59, 5) + "_" + token(60, 63)),
    ("Mailchimp key", token(61, 32, _HEX) + "-us" + "12"),
    ("Brevo key", "xkey" + "sib-" + token(62, 64, _HEX) + "-" + token(63, 16)),
    ("Postman key", "PM" + "AK-" + token(64, 24, _HEX) + "-" + token(65, 34, _HEX)),
    ("Square token", "sq" + "0csp-" + token(66, 43, _WORD[:62])),
    ("Linear key", "lin" + "_api_" + token(67, 40)),
    ("Notion token", "nt" + "n_" + token(68, 11, "0123456789") + token(69, 35)),
    ("Figma token", "fi" + "gd_" + token(70, 40, _WORD[:62])),
    ("Atlassian token", "AT" + "ATT3xFfGF0" + token(71, 180)),
    ("Doppler token", "dp" + ".pt." + token(72, 43)),
    ("Grafana token", "gl" + "sa_" + token(73, 32) + "_" + token(74, 8, _HEX)),
    ("New Relic key", "NR" + "AK-" + token(75, 27, _UPPER)),
    ("Dynatrace token", "dt" + "0c01." + token(76, 24, _UPPER) + "." + token(77, 64, _UPPER)),
    ("Sentry token", "snt" + "ryu_" + token(78, 64, _HEX)),
    ("PlanetScale secret", "psc" + "ale_tkn_" + token(79, 43)),
    ("RubyGems key", "ruby" + "gems_" + token(80, 48, _HEX)),
    ("Supabase token", "sb" + "p_" + token(81, 40, _HEX)),
    ("HubSpot token", "pat" + "-na1-" + "-".join(token(82 + n, long, _HEX) for n, long in enumerate((8, 4, 4, 4, 12)))),
    ("Tailscale key", "ts" + "key-auth-" + token(88, 12) + "-" + token(89, 32)),
    ("Heroku key", "HR" + "KU-AA" + token(90, 58, _WORD[:62])),
    ("Meta token", "EA" + "AC" + token(91, 170)),
    ("Discord bot token", "MT" + token(92, 24) + ".G" + token(93, 5) + "." + token(94, 38)),
    ("age key", "AGE-SECRET-" + "KEY-1" + token(29, 58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
]

#: With what stands around them: what they are, what stands before, the secret, what stands after.
IN_CONTEXT = [
    ("AWS secret key", "AWS_SECRET_ACCESS_KEY=", token(40, 40), "\n"),
    ("AWS secret key", '{"SecretAccessKey": "', token(41, 40), '"}'),
    ("Azure storage or bus key", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=", token(42, 86) + "==", ";"),
    ("Amazon Bedrock key", "key: ", "AB" + "SK" + token(95, 128) + "==", "\n"),
    ("Google refresh token", 'refresh_token = "', "1/" + "/0" + token(96, 98), '"'),
    ("WireGuard key", "PrivateKey = ", token(97, 43) + "=", "\n"),
    ("Slack webhook", "https://hooks.slack." + "com/services/", f"T{token(43, 8)}/B{token(44, 8)}/{token(45, 24)}", "\n"),
    ("password", "postgres://app:", "s3cr!et-of-mine", "@db.internal:5432/app"),
    ("password", "redis://:", token(46, 20), "@cache"),
]
