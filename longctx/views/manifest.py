"""What became of every path that was met, as text and as HTML. Reads the JSON form of ``longctx read`` and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from longctx.views import units
from longctx.views.cells import cut, cut_path, table, wrap
from longctx.views.safe import escape, oneline
from longctx.views.style import frame, heading, path_html

Rows = Sequence[Mapping[str, Any]]
#: The whole of the JSON form, with ``files`` and ``totals``, or its rows alone.
Read = Mapping[str, Any] | Rows

#: In the order in which they are told.
STATUSES = ("read", "truncated", "redacted", "skipped", "failed")
_COLOURS = {"truncated": "warn", "redacted": "warn", "skipped": "soft", "failed": "bad"}
MOST_LARGEST = 8
MOST_REMARKS = 20
MANY_ALIKE = 6


def _rows(read: Read) -> Rows:
    rows: Rows = read["files"] if isinstance(read, Mapping) else read
    return rows


def _split(read: Read) -> tuple[Rows, list[str]]:
    """The rows of files, and what a budget did to all of them, which its row tells in one long sentence."""
    of_all = [
        row for row in _rows(read) if (row.get("path"), row.get("kind"), row.get("status")) == (".", "folder", "truncated")
    ]
    return [row for row in _rows(read) if row not in of_all], [oneline(str(row.get("reason") or "")) for row in of_all]


def _basis(read: Read) -> str:
    """How tokens were counted, where that is told."""
    totals = read.get("totals") if isinstance(read, Mapping) else None
    return oneline(str((totals or {}).get("counts") or ""))


def counts(rows: Rows) -> dict[str, int]:
    """How many paths have each status; those that none has are left away.

    >>> counts([{"status": "skipped"}, {"status": "read"}, {"status": "read"}])
    {'read': 2, 'skipped': 1}
    """
    found = Counter(str(row.get("status")) for row in rows)
    return {status: found[status] for status in STATUSES if found[status]}


def _title(rows: Rows) -> str:
    return ", ".join(f"{units.count(number)} {status}" for status, number in counts(rows).items()) or "nothing was met"


def _totals(rows: Rows, basis: str) -> str:
    used = [row for row in rows if row.get("status") in ("read", "truncated", "redacted")]
    words = [units.size(sum(row.get("bytes") or 0 for row in used))]
    tokens = sum(row.get("tokens") or 0 for row in used)
    words += [units.plural(tokens, "token") + (f" ({basis})" if basis else "")] if tokens else []
    return " · ".join(words)


def _weight(row: Mapping[str, Any]) -> tuple[int, int]:
    return row.get("tokens") or 0, row.get("bytes") or 0


def _largest(rows: Rows) -> list[Mapping[str, Any]]:
    used = [row for row in rows if row.get("status") in ("read", "truncated", "redacted")]
    return sorted(used, key=_weight, reverse=True)[:MOST_LARGEST]


class _Aside(NamedTuple):
    """Some rows under a heading of their own; ``hidden`` counts those past the cap."""

    heading: str
    rows: Rows
    hidden: int


def _asides(rows: Rows) -> list[_Aside]:
    """What was not read whole, then what there is to say of what was; either only where there is any."""
    order = {"failed": 0, "truncated": 1, "redacted": 2}
    lacking = sorted((row for row in rows if row.get("status") != "read"), key=lambda row: order.get(str(row.get("status")), 3))
    noted = [row for row in rows if row.get("status") == "read" and row.get("reason")]
    kept = [(name, _grouped(some)) for name, some in (("Not read whole", lacking), ("Remarks", noted))]
    return [_Aside(name, some[:MOST_REMARKS], len(some) - MOST_REMARKS) for name, some in kept if some]


def _grouped(rows: Rows) -> list[Mapping[str, Any]]:
    """Rows of one status and reason as one row, where they are many; its path names the first few."""
    groups: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row.get("status"), row.get("reason")), []).append(row)
    return [row for group in groups.values() for row in (group if len(group) < MANY_ALIKE else [_as_one(group)])]


def _as_one(group: Rows) -> Mapping[str, Any]:
    named = ", ".join(oneline(str(row["path"])) for row in group[:3])
    return {**group[0], "path": f"{named} and {units.count(len(group) - 3)} more"}


def _amount(row: Mapping[str, Any]) -> tuple[str, str]:
    tokens = row.get("tokens")
    return units.size(row.get("bytes") or 0), "" if tokens is None else units.plural(tokens, "token")


def _more(hidden: int) -> str:
    return f"and {units.count(hidden)} more" if hidden > 0 else ""


# -- text --------------------------------------------------------------------------------------------------------------
def text(read: Read, *, width: int = 100) -> str:
    """What was read, in lines of at most ``width`` columns."""
    rows, of_all = _split(read)
    largest = [[cut_path(oneline(str(row["path"])), max(12, width - 36)), *_amount(row)] for row in _largest(rows)]
    lines = [f"{_title(rows)} · {_totals(rows, _basis(read))}", *(line for said in of_all for line in wrap(said, width))]
    lines += table(largest, right=[1, 2], indent="  ")
    for aside in _asides(rows):
        lines += [aside.heading.lower(), *table([_remark_cells(row, width) for row in aside.rows], indent="  ")]
        lines += [f"  {_more(aside.hidden)}"] if aside.hidden > 0 else []
    return "\n".join(cut(line, width) for line in lines)


def _remark_cells(row: Mapping[str, Any], width: int) -> list[str]:
    path = cut_path(oneline(str(row["path"])), max(12, width // 2))
    status = [] if row["status"] == "read" else [str(row["status"])]
    return [*status, path, oneline(str(row.get("reason") or ""))]


# -- html --------------------------------------------------------------------------------------------------------------
def html(read: Read) -> str:
    """What was read, as HTML that stands alone."""
    rows, of_all = _split(read)
    largest = "".join(_largest_row(row) for row in _largest(rows))
    body = [heading(_title(rows), ""), f'<p class="soft">{escape(_totals(rows, _basis(read)))}</p>']
    body += [f"<p>{escape(said)}</p>" for said in of_all]
    body += [f'<h4>Largest</h4><table class="grid"><tbody>{largest}</tbody></table>'] if largest else []
    body += [_aside_html(aside) for aside in _asides(rows)]
    return frame("".join(body), kind="manifest", label=f"What was read: {_title(rows)}")


def _largest_row(row: Mapping[str, Any]) -> str:
    size, tokens = _amount(row)
    path = f'<th scope="row">{path_html(str(row["path"]))}</th>'
    kind = f'<td class="fit soft">{escape(str(row.get("kind") or ""))}</td>'
    return f'<tr>{path}{kind}<td class="num fit">{size}</td><td class="num fit">{tokens}</td></tr>'


def _aside_html(aside: _Aside) -> str:
    remarks = "".join(_remark_row(row) for row in aside.rows)
    hidden = f'<p class="soft">{_more(aside.hidden)}</p>' if aside.hidden > 0 else ""
    return f'<h4>{aside.heading}</h4><table class="grid"><tbody>{remarks}</tbody></table>{hidden}'


def _remark_row(row: Mapping[str, Any]) -> str:
    status = str(row["status"])
    word = "" if status == "read" else f'<td class="fit {_COLOURS.get(status, "soft")}">{escape(status)}</td>'
    path = f'<th scope="row">{path_html(str(row["path"]))}</th>'
    return f'<tr>{word}{path}<td class="soft">{escape(str(row.get("reason") or ""))}</td></tr>'
