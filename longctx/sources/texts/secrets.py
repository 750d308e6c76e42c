r"""Where secrets stand in a text: private keys, tokens of well-known issuers, passwords in addresses. Knows no files.

The forms of tokens are those that their issuers publish, and for lengths and alphabets those of gitleaks
(config/gitleaks.toml); armoured keys are as in RFC 7468, RFC 4716, RFC 9580, of OpenSSH and PuTTY. A word such as
``password`` before a string is no form: what it marks is far more often no secret.

What says that it is an example is left as it stands, since a manual is about it: a token with "example", "your", "xxxx" or a
run of the alphabet in it, or of few different characters; a key whose armour holds no 100 characters of base64; in addresses,
passwords such as ``password`` and ``{password}``, one that is the user's name, and hosts reserved for examples (RFC 2606).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

PRIVATE_KEY, PASSWORD = "private key", "password"


@dataclass(frozen=True, slots=True)
class Secret:
    """A stretch of a text that must not be read.

    Args:
        start: its first character.
        stop: after its last character.
        what: it is, in words.
    """

    start: int
    stop: int
    what: str


@dataclass(frozen=True)
class _Form:
    """What a kind of token looks like.

    Args:
        what: it is.
        hints: one of these stands in every text that has such a token; looking for them is fast.
        form: of the token, or with a group that is it.
    """

    what: str
    hints: tuple[str, ...]
    form: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The form between what may stand around it. Compiled when a hint was met: most texts have none."""
        return re.compile(f"{_BEGINS}(?:{self.form}){_ENDS}")

    def found(self, text: str, start: int, stop: int) -> Iterator[Secret]:
        """The tokens between two places of a text."""
        group = self.pattern.groups
        for match in self.pattern.finditer(text, start, stop):
            if not _is_example(match[group]):
                yield Secret(*match.span(group), self.what)


#: Tokens are runs of such characters without a gap, at least so long. Runs are few, so that looking for hints in them takes a
#: tenth of the time that it takes in a whole text.
_SOLID, _LENGTH = re.compile(r"[A-Za-z0-9_.~:/+=-]"), 20
_IS_SOLID = bytes(ord("x") if _SOLID.fullmatch(chr(code)) else ord(" ") for code in range(256))

#: Characters of a token that is told by its name alone, and of the name with what is between them.
_NAMELESS, _BEFORE = 40, 100
_NAMELESS_RUN = re.compile(r"[A-Za-z0-9_/+]{40}")

#: Before a token stands no part of a word, unless that is the end of an escape, as in JSON, in an
#: address and before coloured text of a terminal.
_BEGINS = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm)|(?<=\x1b\[[01];\d\dm))"
_ENDS = r"(?![A-Za-z0-9])"
#: Name, hints, form; of a token that is one run, then of one that is told by what stands before it.
_TOKENS = r"""
AWS access key | AKIA ASIA ABIA ACCA | (?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}
GitHub token | ghp_ gho_ ghu_ ghs_ ghr_ | gh[pousr]_[A-Za-z0-9]{36,255}
GitHub token | github_pat_ | github_pat_[A-Za-z0-9_]{36,255}
GitLab token | glpat- glptt- gldt- glrt- glcbt- glft- glsoat- | gl(?:pat|ptt|dt|rt|cbt|ft|soat)-[\w.-]{20,300}
GitLab token | GR1348941 | GR1348941[\w-]{20}
Slack token | xox xapp- | (?:xox[abeoprs]-|xapp-\d-)[A-Za-z0-9-]{16,250}
Stripe key | k_live_ k_test_ | [sr]k_(?:live|test)_[A-Za-z0-9]{16,250}
Stripe webhook secret | whsec_ | whsec_[A-Za-z0-9]{32,64}
Google API key | AIza | AIza[\w-]{35}
Google OAuth secret | GOCSPX- | GOCSPX-[\w-]{28}
Google access token | ya29. | ya29\.[\w-]{40,1000}
OpenAI key | sk- | sk-(?:(?:proj|svcacct|admin|None)-[\w-]{40,250}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|[A-Za-z0-9]{48})
OpenAI key | sk- | sk-[a-f0-9]{32}
Anthropic key | sk-ant- | sk-ant-(?:api|admin|sid|oat)\d\d-[\w-]{40,250}
OpenRouter key | sk-or-v1- | sk-or-v1-[0-9a-f]{64}
Hugging Face token | hf_ api_org_ | (?:hf|api_org)_[A-Za-z]{34}
npm token | npm_ | npm_[A-Za-z0-9]{36}
PyPI token | pypi-AgE | pypi-AgE[\w-]{50,1000}
SendGrid key | SG. | SG\.[\w-]{22}\.[\w-]{43}
Twilio key | SK | SK[0-9a-f]{32}
Telegram bot token | :AA | \d{8,10}:AA[\w-]{33}
Azure client secret | Q~ | [\w.~-]{3}\dQ~[\w.~-]{31,34}
JSON web token | .eyJ | eyJ[\w-]{8,4000}\.eyJ[\w-]{8,8000}\.[\w-]{20,2000}
DigitalOcean token | _v1_ | do[opr]_v1_[a-f0-9]{64}
Shopify token | shp | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}
Databricks token | dapi | dapi[a-f0-9]{32}(?:-\d)?
Groq key | gsk_ | gsk_[A-Za-z0-9]{52}
Replicate token | r8_ | r8_[A-Za-z0-9]{37}
Docker token | dckr_ | dckr_(?:pat|oat)_[\w-]{27,40}
Vault token | hvs. hvb. | hv[sb]\.[\w-]{90,300}
Terraform token | .atlasv1. | [A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}
xAI key | xai- | xai-[A-Za-z0-9]{80}
Perplexity key | pplx- | pplx-[A-Za-z0-9]{48}
NVIDIA key | nvapi- | nvapi-[\w-]{60,70}
LangSmith key | lsv2_ | lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}
Pinecone key | pcsk_ | pcsk_[A-Za-z0-9]{4,6}_[A-Za-z0-9]{60,66}
Mailchimp key | -us | [a-f0-9]{32}-us\d{1,2}
Brevo key | xkeysib- | xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}
Postman key | PMAK- | PMAK-[a-f0-9]{24}-[a-f0-9]{34}
Square token | sq0 | sq0(?:atp|csp)-[\w-]{22,60}
Linear key | lin_api_ | lin_api_[A-Za-z0-9]{40}
Notion token | ntn_ | ntn_\d{11}[A-Za-z0-9]{35}
Figma token | figd_ | figd_[\w-]{38,45}
Atlassian token | ATATT3 ATBB | ATATT3[\w-]{100,400}|ATBB[A-Za-z0-9]{32}
Doppler token | dp. | dp\.(?:pt|ct|st|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}
Grafana token | glsa_ | glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}
New Relic key | NRAK- | NRAK-[A-Z0-9]{27}
Dynatrace token | dt0 | dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}
Sentry token | sntryu_ sntrys_eyJ | sntryu_[a-f0-9]{64}|sntrys_eyJ[\w-]{80,500}
PlanetScale secret | pscale_ | pscale_(?:tkn|pw|oauth)_[\w.-]{32,64}
RubyGems key | rubygems_ | rubygems_[a-f0-9]{48}
Supabase token | sbp_ | sbp_[a-f0-9]{40}
HubSpot token | pat-na pat-eu | pat-(?:na|eu)\d-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}
Tailscale key | tskey- | tskey-[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{20,64}
Heroku key | HRKU- | HRKU-AA[\w-]{58}
Meta token | EAAC EAAM | EAA[CM][A-Za-z0-9]{100,500}
Discord bot token | .G .X .Y | (?:M[TjzDQ]|N[DTjz]|O[DT])[\w-]{22,26}\.[GXY][\w-]{5}\.[\w-]{27,40}
Amazon Bedrock key | ABSK | (ABSK[A-Za-z0-9+/]{109,269}={0,2})
Google refresh token | 1//0 | (1//0[\w-]{60,200})
Slack webhook | hooks.slack.com/ | hooks\.slack\.com/(?:services|workflows|triggers)/([\w/+]{30,80})
Azure storage or bus key | ccountKey= ccessKey= | (?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{43,86}={1,2})
Discord webhook | /api/webhooks/ | discord(?:app)?\.com/api/webhooks/(\d{17,20}/[\w-]{60,80})
age key | AGE-SECRET-KEY-1 | AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}
"""
_IN_CONTEXT = r"""
AWS secret key | cret_access_key CRET_ACCESS_KEY cretAccessKey | \w{0,40}(?i:secret_?access_?key)["'\s:=>,\\]{1,8}([\w/+]{40})
WireGuard key | rivateKey PresharedKey | (?:PrivateKey|PresharedKey)\s{0,4}=\s{0,4}([A-Za-z0-9+/]{43}=)
"""


def _forms(table: str) -> Iterator[_Form]:
    for line in table.strip().splitlines():
        what, hints, form = line.split(" | ", 2)
        yield _Form(what, tuple(hints.split()), form)


def _any_of(words: Sequence[str]) -> str:
    """A pattern of any of some words, of two that begin alike the longer one; their beginnings stand in it once."""
    rest: dict[str, list[str]] = {}
    for word in words:
        rest.setdefault(word[:1], []).append(word[1:])
    branches = [re.escape(first) + _any_of(others) for first, others in rest.items() if first]
    return f"(?:{'|'.join(branches)}){'?' if '' in rest else ''}" if branches else ""


_SOLID_FORMS, _FORMS_IN_CONTEXT = tuple(_forms(_TOKENS)), tuple(_forms(_IN_CONTEXT))
_HINTS = sorted({hint for form in _SOLID_FORMS for hint in form.hints})
_FORMS_BY_HINT = {hint: [form for form in _SOLID_FORMS if hint.startswith(form.hints)] for hint in _HINTS}
_HINT = re.compile(_any_of(_HINTS))
_EXAMPLE = re.compile(
    r"example|(?:^|[-_.])your|xxxxx|\*\*\*|\.\.\.|placeholder|dummy|redacted|0123456789|1234567890|abcdefgh|deadbeef", re.I
)
#: A token of fewer different characters in its last sixteen was typed by somebody.
_FEW = 6

_BEGIN = re.compile(r"-{4,5} ?BEGIN ((?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?) ?-{4,5}")
_END = re.compile(r"-{4,5} ?END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_PUTTY = re.compile(r"Private-Lines: \d{1,4}\s{1,4}((?:[A-Za-z0-9+/=]{4,}+(?:\\[nr]|[\r\n]){1,4}+){1,400}+)")
#: Characters of armour at most; of base64 in it at least, in runs of at least so many, and their share of what is no space.
_ARMOUR, _LEAST, _RUN, _SHARE = 32_768, 100, 16, 0.6
_BASE64 = re.compile(rf"[A-Za-z0-9+/=]{{{_RUN},}}+")
#: Lines of a key whose end is missing: headers, then base64 between line ends, escapes, quotes and signs of comments.
_OPEN_END = re.compile(
    r"(?:\s*+[A-Z][A-Za-z-]{2,20}: [^\r\n]{0,100}[\r\n]){0,6}+(?:(?:\\[nr]|[\s\"'+,*#>|])*+[A-Za-z0-9+/=]{16,}+)++"
)

_ADDRESS = re.compile(r"://([^\s/?#:@'\"<>`]{0,64}):([^\s/?#'\"<>`]{5,128})@([\w.\[\]%-]{1,253})")
#: What passwords are called in examples, word by word; and what fills one in.
_WORD = re.compile(
    r"(?:(?:my|your|the|some|a|db|user|test|super|admin|proxy|secret)?(?:password|passwd|passphrase|passw|pass|pwd|pw|secret|token|key)"
    r"|an?|my|of|user|username|name|tests?|testing|tester|example|here|change|me|changeme|guest|admin|root|postgres|mysql|redis|foo|bar|baz"
    r"|foobar|hunter|tiger|x+|ab|abc|abcd|abcdef|none|null|with|word)?\d{0,4}",
    re.I,
)
_BETWEEN_WORDS = re.compile(r"%[0-9a-f]{2}|[\W_]+", re.I)
_FILLED_IN = re.compile(r"[{}$<>*…]|%[(s]|%7b|\.\.\.", re.I)
_NO_HOST = re.compile(r"(?:.*\.)?(?:example(?:\.\w+)?|test|invalid|localhost)\.?", re.I)


def find(text: str) -> list[Secret]:
    """The secrets of a text, in order, none over another.

    >>> find("id = 'AKIA" + "Z7Q2LMN4XK3P5RTV'")
    [Secret(start=6, stop=26, what='AWS access key')]
    """
    runs = _runs(text)
    found = [*_keys(text), *_tokens(text, runs), *_named(text, runs), *_passwords(text)]
    kept: list[Secret] = []
    for secret in sorted(found, key=lambda one: (one.start, -one.stop)):
        if not kept or secret.start >= kept[-1].stop:
            kept.append(secret)
    return kept


def _tokens(text: str, runs: Sequence[tuple[int, int]]) -> Iterator[Secret]:
    """Tokens that are told by what they are."""
    solid = "\n".join([text[start:stop] for start, stop in runs])
    if hinted := list(_hints(solid)):
        begins = list(accumulate((stop - start + 1 for start, stop in runs), initial=0))
        owners = ((bisect_right(begins, at) - 1, form) for at, hint in hinted for form in _FORMS_BY_HINT[hint])
        for number, form in dict.fromkeys(owners):
            yield from form.found(text, *runs[number])


def _named(text: str, runs: Sequence[tuple[int, int]]) -> Iterator[Secret]:
    """Tokens that are told by the name before them. What they are is one long run, and so only there a name is looked for."""
    for start, stop in runs:
        if stop - start >= _NAMELESS and _NAMELESS_RUN.search(text, start, stop):
            first = max(0, start - _BEFORE)
            for form in _FORMS_IN_CONTEXT:
                if any(text.find(hint, first, stop) >= 0 for hint in form.hints):
                    yield from form.found(text, first, stop)


def _runs(text: str) -> list[tuple[int, int]]:
    """Where runs begin and end that are long enough for a token."""
    marks = text.encode("ascii", "replace").translate(_IS_SOLID) + b" "
    run, find = b"x" * _LENGTH, marks.find
    found = []
    start = find(run)
    while start >= 0:
        stop = find(b" ", start + _LENGTH)
        found.append((start, stop))
        start = find(run, stop)
    return found


def _hints(text: str) -> Iterator[tuple[int, str]]:
    """Where hints stand in a text, and which; one may begin inside another."""
    found = _HINT.search(text)
    while found is not None:
        yield found.start(), found[0]
        found = _HINT.search(text, found.start() + 1)


def _is_example(token: str) -> bool:
    return bool(_EXAMPLE.search(token)) or len(set(token[-16:])) < _FEW


def _passwords(text: str) -> Iterator[Secret]:
    """Passwords in addresses: scheme://user:password@host."""
    if "@" not in text or "://" not in text:
        return
    for match in _ADDRESS.finditer(text):
        user, password, host = match.groups()
        if not (_is_no_password(password) or password.lower() == user.lower() or _NO_HOST.fullmatch(host)):
            yield Secret(*match.span(2), PASSWORD)


def _is_no_password(password: str) -> bool:
    return bool(_FILLED_IN.search(password)) or all(_WORD.fullmatch(word) for word in _BETWEEN_WORDS.split(password))


# -- private keys ------------------------------------------------------------------------------------------------------
def _keys(text: str) -> Iterator[Secret]:
    if "Private-Lines:" in text:
        yield from (Secret(*match.span(1), PRIVATE_KEY) for match in _PUTTY.finditer(text))
    if "PRIVATE KEY" not in text:
        return
    begins = list(_BEGIN.finditer(text))
    reached = 0
    for number, begin in enumerate(begins):
        after = begins[number + 1].start() if number + 1 < len(begins) else len(text)
        stop = _stop(text, begin.end(), min(after, begin.end() + _ARMOUR))
        if stop > begin.end():
            yield from _headless(text, reached, begin.start())
            yield Secret(begin.start(), stop, PRIVATE_KEY)
            reached = stop
    yield from _headless(text, reached, len(text))


def _stop(text: str, start: int, limit: int) -> int:
    """Where a key ends whose armour begins before ``start``; ``start`` if there is no key in it."""
    end = _END.search(text, start, limit)
    if end is not None:
        return end.end() if _is_key(text[start : end.start()]) else start
    open_end = _OPEN_END.match(text, start, limit)
    if open_end is None:
        return start
    is_cut_off = not text[open_end.end() : open_end.end() + 100].strip()  # then a little of it is enough
    return open_end.end() if is_cut_off or _is_key(open_end[0]) else start


def _is_key(armoured: str) -> bool:
    encoded = sum(map(len, _BASE64.findall(armoured)))
    return encoded >= max(_LEAST, _SHARE * len("".join(armoured.split())))


def _headless(text: str, start: int, stop: int) -> Iterator[Secret]:
    """The ends of keys that begin outside of the text, such as in an output that was shortened."""
    for end in _END.finditer(text, start, stop):
        first = end.start()
        for line in reversed(text[max(start, first - _ARMOUR) : first].splitlines(keepends=True)):
            is_last = first == end.start()  # which may be short
            if not (is_last or not line.strip() or _BASE64.fullmatch(line.strip())):
                break
            first -= len(line)
        if _is_key(text[first : end.start()]):
            yield Secret(first, end.end(), PRIVATE_KEY)
        start = end.end()
