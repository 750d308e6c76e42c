"""The plan before any weight is loaded, as text and as HTML: window, memory, disk, the budget of each source, warnings.

Reads the JSON form of a plan and nothing else: ``model``, ``fits``, ``window``, ``native_window``, ``yarn_factor`` (None or 1
for none), ``prompt_tokens``, ``memory`` (bytes of each component, ``total``, ``available``, ``basis``), ``disk``, ``chunk``,
``sources`` (each ``path`` and ``tokens``; of videos ``frames``, ``fps`` and ``frame_size`` too, ``estimated`` where the tokens
are, and ``budget`` where it has one), ``left_out`` (paths, or objects with ``path``, ``tokens``, ``reason``), ``ways`` (to read
what is not read whole, each with its cost), ``warnings`` and ``notes``; ``mode``, ``counts_basis``, ``bits``, ``dtype``,
``device``, ``kv_dtype`` and ``kv_device`` where they are given; ``time`` (``prefill_seconds``,
``tokens_per_second``, ``basis``), or None. A key that is missing is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from longctx.views import units
from longctx.views.cells import bar, cut, cut_path, table, wrap
from longctx.views.progress import component_name
from longctx.views.safe import escape, oneline
from longctx.views.style import COMPONENTS, frame, heading, meter, note, path_html, stack

Plan = Mapping[str, Any]

#: Sources shown one by one; the others are summed up.
MOST_SOURCES = 12
MOST_LEFT_OUT = 12
_MODES = {"whole": "read whole", "retrieval": "segments are chosen for each question"}
#: Sources that are left out for the same reason and still get a line each.
FEW = 3
_TOTALS = ("total", "available", "basis")


def left_out_line(entry: Mapping[str, Any] | str) -> str:
    """One entry of what was left out, on one line.

    >>> left_out_line({"path": "big.svg", "tokens": 81000, "reason": "past the window"})
    'big.svg · 81,000 tokens · past the window'
    """
    if isinstance(entry, str):
        return oneline(entry)
    tokens = entry.get("tokens")
    words = [entry.get("path", ""), units.plural(tokens, "token") if tokens else "", entry.get("reason") or ""]
    return " · ".join(oneline(word) for word in words if word)


def left_out_lines(entries: Sequence[Mapping[str, Any] | str], most: int) -> list[str]:
    """What was left out, in ``most`` lines and one that counts the rest; many with the same reason share a line.

    >>> left_out_lines([{"path": f"{n}.py", "tokens": n, "reason": "not chosen"} for n in range(1, 6)], 8)
    ['5.py, 4.py, 3.py and 2 more · 15 tokens · not chosen']
    """
    alike: dict[str, list[Mapping[str, Any] | str]] = {}
    for entry in entries:
        alike.setdefault("" if isinstance(entry, str) else entry.get("reason") or "", []).append(entry)
    groups = [
        group for reason, some in alike.items() for group in ([some] if reason and len(some) > FEW else [[e] for e in some])
    ]
    lines = [left_out_line(group[0]) if len(group) == 1 else _together(group) for group in groups[:most]]
    hidden = sum(len(group) for group in groups[most:])
    return lines + ([f"and {units.count(hidden)} more"] if hidden else [])


def _together(group: Sequence[Any]) -> str:
    """Sources with the same reason on one line, the largest by name."""
    largest = sorted(group, key=lambda entry: -(entry.get("tokens") or 0))[:FEW]
    names = ", ".join(str(entry.get("path", "")) for entry in largest)
    path = f"{names} and {units.count(len(group) - FEW)} more"
    return left_out_line({**group[0], "path": path, "tokens": sum(entry.get("tokens") or 0 for entry in group)})


def _components(plan: Plan) -> dict[str, int]:
    memory = plan.get("memory") or {}
    return {name: value for name, value in memory.items() if name not in _TOTALS and isinstance(value, int) and value > 0}


def _disk(plan: Plan) -> str:
    """What the prefix takes on disk, and where."""
    size = f"{units.size(plan['disk'])} for the prefix"
    if plan.get("store"):
        return f"{size}, in {oneline(plan['store'])}"
    return f"{size}, which is not kept" if "store" in plan and plan.get("mode") != "window" else size


def _window(plan: Plan) -> str:
    """The window, the model's own, and what YaRN does between them."""
    words = f"{units.count(plan['window'])} tokens" if plan.get("window") else "not known"
    native, factor = plan.get("native_window"), plan.get("yarn_factor")
    own = f"the model's own {units.count(native)}" if native else "the model's own"
    return f"{words} ({own} × YaRN {factor:g})" if factor and factor != 1 else f"{words} ({own}, no YaRN)"


def _prompt(plan: Plan) -> str:
    tokens, window = plan.get("prompt_tokens") or 0, plan.get("window") or 0
    basis = f" ({oneline(plan['counts_basis'])})" if plan.get("counts_basis") else ""
    about = "≈" if any(row.get("estimated") for row in plan.get("sources") or ()) else ""
    words = [about + units.plural(tokens, "token") + basis]
    if plan.get("mode") == "window":  # nothing is read: there is no share of the window to tell
        return words[0]
    words += [f"{units.percent(tokens, window)} of the window"] if window else []
    return " · ".join(words + ([_MODES.get(plan["mode"], oneline(plan["mode"]))] if plan.get("mode") else []))


def _engine(plan: Plan) -> str:
    """How the model runs, where the plan tells."""
    words = [units.plural(plan["bits"], "bit") if plan.get("bits") else "", plan.get("dtype") or "", plan.get("device") or ""]
    if plan.get("kv_dtype") not in (None, "", plan.get("dtype")):
        words.append(f"{plan['kv_dtype']} K/V")
    if plan.get("kv_device") not in (None, "", plan.get("device")):
        words.append(f"K/V in the CPU's memory ({units.size((plan.get('memory') or {}).get('host', 0))})")
    return ", ".join(oneline(str(word)) for word in words if word)


def _time(plan: Plan) -> str:
    """How long the prompt takes, and how fast an answer comes.

    >>> _time({"time": {"prefill_seconds": 184.2, "tokens_per_second": 38.6, "basis": "calibrated"}})
    'about 3 min to read the prompt, then 39 tok/s (calibrated)'
    """
    time = plan["time"]
    read, speed = units.about(time["prefill_seconds"]), units.rate(time["tokens_per_second"])
    seeing = " besides what is seen" if (plan.get("memory") or {}).get("vision") else ""
    return f"about {read} to read the prompt{seeing}, then {speed} ({oneline(str(time['basis']))})"


def _memory(plan: Plan) -> str:
    memory = plan.get("memory") or {}
    total, available = memory.get("total", 0), memory.get("available", 0)
    words = units.size(total)
    if available:
        fits = total <= available
        words = f"{units.size_of(total, available)} available" if fits else f"{words} needed, {units.size(available)} available"
    return words + (f" ({oneline(memory['basis'])})" if memory.get("basis") else "")


class _Row(NamedTuple):
    """One source as it is shown."""

    path: str
    tokens: int
    estimated: bool
    seen: str

    @property
    def figure(self) -> str:
        return f"{'≈' if self.estimated else ''}{units.count(self.tokens)}"


def _ranked(plan: Plan) -> list[_Row]:
    """Sources with their tokens, the largest first."""
    rows = [
        _Row(oneline(str(row.get("path", ""))), int(row.get("tokens") or 0), bool(row.get("estimated")), _said(row))
        for row in plan.get("sources") or ()
    ]
    return sorted(rows, key=lambda row: -row.tokens)


def _said(row: Mapping[str, Any]) -> str:
    """What is looked at of a source, and what its budget made of it.

    >>> _said({"path": "src/a.py", "budget": {"key": "src", "tokens": 5878, "of_tokens": 4709, "read": "signatures"}})
    'of 4,709: signatures · budget of src: 5,878'
    """
    budget = row.get("budget")
    if not budget:
        return _seen(row)
    key = oneline(str(budget.get("key", "")))
    allowed = (
        f"budget{'' if key == oneline(str(row.get('path', ''))) else f' of {key}'}: {units.count(budget.get('tokens') or 0)}"
    )
    read = f"of {units.count(budget.get('of_tokens') or 0)}: {oneline(str(budget['read']))}" if budget.get("read") else "whole"
    return " · ".join(filter(None, (_seen(row), read, allowed)))


def _ways(plan: Plan) -> list[list[str]]:
    """Ways to read what is not read whole: name, window, tokens once, tokens for each question, memory, words."""
    return [
        [
            f"{'▸ ' if way.get('taken') else ''}{oneline(str(way.get('way', '')))}",
            units.count(way.get("window") or 0) + (f" ×{way['yarn_factor']:g}" if (way.get("yarn_factor") or 1) > 1 else ""),
            units.count(way.get("tokens_once") or 0),
            units.count(way.get("tokens_per_question") or 0),
            units.size(way.get("memory") or 0),
            ("" if way.get("fits", True) else "does not fit: ") + oneline(str(way.get("words") or "")),
        ]
        for way in plan.get("ways") or ()
    ]


WAYS = ("way", "window", "read once", "per question", "memory", "")


def _seen(row: Mapping[str, Any]) -> str:
    """What is looked at of a video; empty for other sources.

    >>> _seen({"frames": 3348, "fps": 0.93, "frame_size": [448, 256]}), _seen({"frames": 8, "fps": 0.02}), _seen({})
    ('3,348 frames of 448×256, 0.93 a second', '8 frames, one every 50 s', '')
    """
    frames, fps, size = row.get("frames"), row.get("fps"), row.get("frame_size")
    if frames is None:
        return ""
    if not frames:
        return "no frames"
    of = f" of {size[0]}×{size[1]}" if size else ""
    rate = ""
    if fps and frames > 1:
        rate = f", {fps:.2f}".rstrip("0").rstrip(".") + " a second" if fps >= 0.1 else f", one every {1 / fps:,.0f} s"
    return f"{units.plural(frames, 'frame')}{of}{rate}"


def _total(rows: Sequence[_Row]) -> str:
    """The tokens of some sources together."""
    about = "≈" if any(row.estimated for row in rows) else ""
    return about + units.plural(sum(row.tokens for row in rows), "token")


def _rest(ranked: Sequence[_Row]) -> str:
    rest = ranked[MOST_SOURCES:]
    return f"and {units.count(len(rest))} more, {_total(rest)}" if rest else ""


def _left_out(plan: Plan) -> list[str]:
    return left_out_lines(plan.get("left_out") or (), MOST_LEFT_OUT)


# -- text --------------------------------------------------------------------------------------------------------------
def text(plan: Plan, *, width: int = 100) -> str:
    """The plan as aligned lines of at most ``width`` columns."""
    verdict = "fits" if plan.get("fits", True) else "does not fit"
    lines = [
        *_entry("plan", f"{oneline(str(plan.get('model', '')))} · {verdict}", width),
        *(_entry("runs in", _engine(plan), width) if _engine(plan) else ()),
        *_entry("window", _window(plan), width),
        *_entry("prompt", _prompt(plan), width),
        *_entry("memory", _memory(plan), width),
        *_memory_table(plan),
    ]
    lines += _entry("time", _time(plan), width) if plan.get("time") else []
    lines += _entry("disk", _disk(plan), width) if plan.get("disk") else []
    lines += _sources_table(plan, width)
    for number, entry in enumerate(_left_out(plan)):
        lines += _entry("" if number else "left out", entry, width)
    lines += _ways_table(plan, width)
    for name in ("note", "warning"):
        lines += [line for words in plan.get(f"{name}s") or () for line in _entry(name, oneline(words), width)]
    return "\n".join(cut(line, width) for line in lines)


def _entry(name: str, words: str, width: int) -> list[str]:
    return wrap(words, width, indent=" " * 10, first=f"{name:<10}")


def _memory_table(plan: Plan) -> list[str]:
    parts = _components(plan)
    total = sum(parts.values())
    rows = [[component_name(name), units.size(value), bar(value, total, 20)] for name, value in parts.items()]
    return table(rows, right=[1], indent=" " * 12)


def _ways_table(plan: Plan, width: int) -> list[str]:
    ways = _ways(plan)
    if not ways:
        return []
    head, *rows = table([WAYS[:-1], *(way[:-1] for way in ways)], right=[1, 2, 3, 4], indent=" " * 10)
    said = (line for row, way in zip(rows, ways, strict=True) for line in (row, *wrap(way[-1], width, indent=" " * 14)))
    return ["ways".ljust(10) + head[10:], *said]


def _sources_table(plan: Plan, width: int) -> list[str]:
    ranked = _ranked(plan)
    if not ranked:
        return []
    total, shown = sum(row.tokens for row in ranked), ranked[:MOST_SOURCES]
    rows = [
        [
            cut_path(row.path, max(12, width - 50)),
            row.figure,
            units.percent(row.tokens, total),
            bar(row.tokens, ranked[0].tokens, 20),
        ]
        for row in shown
    ]
    head = f"{'sources':<10}{units.plural(len(ranked), 'file')}, {_total(ranked)}"
    lines = table(rows, right=[1, 2], indent=" " * 12)
    seen = [[line, *([" " * 14 + row.seen] if row.seen else [])] for line, row in zip(lines, shown, strict=True)]
    rest = [" " * 12 + _rest(ranked)] if _rest(ranked) else []
    return [head, *(line for pair in seen for line in pair), *rest]


# -- html --------------------------------------------------------------------------------------------------------------
CSS = """
.lcx .facts{display:grid;grid-template-columns:max-content 1fr;gap:1px 16px;margin:8px 0 0}
.lcx .facts dt{display:block;float:none;width:auto;margin:0;padding:0;color:var(--lcx-soft);font-weight:400}
.lcx .facts dd{margin:0;padding:0}
.lcx .stacked{position:relative}
.lcx .limit{position:absolute;top:-4px;bottom:-4px;left:0;border-right:2px solid var(--lcx-bad)}
.lcx ul.lines{margin:2px 0 0;padding:0;list-style:none;font-size:12.5px}
"""


def html(plan: Plan) -> str:
    """The plan as HTML that stands alone."""
    fits = plan.get("fits", True)
    word = "fits" if fits else "does not fit"
    facts = [("Runs in", _engine(plan))] if _engine(plan) else []
    facts += [("Window", _window(plan)), ("Prompt", _prompt(plan))]
    facts += [("Time", _time(plan))] if plan.get("time") else []
    facts += [("Disk", _disk(plan))] if plan.get("disk") else []
    facts += [("Prefill", f"in steps of {units.plural(plan['chunk'], 'token')}")] if plan.get("chunk") else []
    rows = "".join(f"<dt>{name}</dt><dd>{escape(words)}</dd>" for name, words in facts)
    body = [
        heading(f"Plan for {oneline(str(plan.get('model', '')))}", "done" if fits else "failed", word),
        *(note(f"⚠ {escape(warning)}", css="warn") for warning in plan.get("warnings") or ()),
        *(note(escape(words)) for words in plan.get("notes") or ()),
        f'<dl class="facts">{rows}</dl>',
        _memory_html(plan),
        _sources_html(plan),
        _left_out_html(plan),
        _ways_html(plan),
    ]
    return frame("".join(body), kind="plan", label=f"Plan for {oneline(str(plan.get('model', '')))}: {word}", css=CSS)


def _memory_html(plan: Plan) -> str:
    parts = _components(plan)
    if not parts:
        return ""
    memory = plan["memory"]
    available = memory.get("available") or 0
    whole = max(available, sum(parts.values()))
    spoken = ", ".join(f"{component_name(name)} {units.size(value)}" for name, value in parts.items())
    pieces = stack(((value / whole, COMPONENTS.get(name, "other")) for name, value in parts.items()), label=spoken)
    key = "".join(_key(name, value) for name, value in parts.items())
    limit = f'<div class="limit" style="width:{100 * available / whole:.4g}%"></div>' if 0 < available < whole else ""
    head = f'<h4>Memory <span class="soft">{escape(_memory(plan))}</span></h4>'
    return f'{head}<div class="stacked">{pieces}{limit}</div><div class="key">{key}</div>'


def _key(name: str, value: int) -> str:
    dot = f'<span class="dot {COMPONENTS.get(name, "other")}" aria-hidden="true"></span>'
    return f'<span>{dot}{escape(component_name(name))} <span class="soft">{units.size(value)}</span></span>'


def _sources_html(plan: Plan) -> str:
    ranked = _ranked(plan)
    if not ranked:
        return ""
    total = sum(row.tokens for row in ranked)
    rows = "".join(_source_row(row, row.tokens / (ranked[0].tokens or 1), total) for row in ranked[:MOST_SOURCES])
    rest = f'<p class="soft">{escape(_rest(ranked))}</p>' if _rest(ranked) else ""
    head = f'<h4>Sources <span class="soft">{units.plural(len(ranked), "file")}, {_total(ranked)}</span></h4>'
    return f'{head}<table class="grid"><tbody>{rows}</tbody></table>{rest}'


def _source_row(row: _Row, length: float, total: int) -> str:
    seen = f'<br><span class="soft">{escape(row.seen)}</span>' if row.seen else ""
    count = f'<td class="num fit">{row.figure}</td>'
    share = f'<td class="num fit soft">{units.percent(row.tokens, total)}</td><td style="width:30%">{meter(length)}</td>'
    return f'<tr><th scope="row">{path_html(row.path)}{seen}</th>{count}{share}</tr>'


def _left_out_html(plan: Plan) -> str:
    lines = _left_out(plan)
    if not lines:
        return ""
    entries = "".join(f"<li><bdi>{escape(line)}</bdi></li>" for line in lines)
    head = f'<h4>Left out <span class="soft">{units.plural(len(plan["left_out"]), "source")}</span></h4>'
    return f'{head}<ul class="lines">{entries}</ul>'


def _ways_html(plan: Plan) -> str:
    ways = _ways(plan)
    if not ways:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in WAYS)
    rows = "".join(_way_row(way) for way in ways)
    return f'<h4>Ways to read it</h4><table class="grid"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _way_row(way: Sequence[str]) -> str:
    name, *figures, words = way
    cells = "".join(f'<td class="num fit">{escape(figure)}</td>' for figure in figures)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}<td class="soft">{escape(words)}</td></tr>'
