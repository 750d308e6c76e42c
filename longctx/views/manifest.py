"""What became of every path that was met, as text and as HTML. Reads the JSON form of ``longctx read`` and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from longctx.views import units
from longctx.views.cells import cut, cut_path, table
from longctx.views.safe import escape, oneline
from longctx.views.style import frame, heading, path_html

Rows = Sequence[Mapping[str, Any]]
#: The whole of the JSON form, with ``files`` and ``totals``, or its rows alone.
Read = Mapping[str, Any] | Rows

#: In the order in which they are told.
STATUSES = ("read", "truncated", "redacted", "skipped", "failed")
_COLOURS = {"read": "good", "truncated": "warn", "redacted": "warn", "skipped": "soft", "failed": "bad"}
MOST_LARGEST = 8
MOST_REMARKS = 20
MANY_ALIKE = 6


def _rows(read: Read) -> Rows:
    rows: Rows = read["files"] if isinstance(read, Mapping) else read
    return rows


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


def _remarks(rows: Rows) -> list[Mapping[str, Any]]:
    """Rows that are not a plain ``read``: what failed first, then what is not whole, then what was skipped."""
    order = {"failed": 0, "truncated": 1, "redacted": 2}
    odd = [row for row in rows if row.get("status") != "read" or row.get("reason")]
    return sorted(_grouped(odd), key=lambda row: order.get(str(row.get("status")), 3))


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
    rows = _rows(read)
    odd = _remarks(rows)
    largest = [[cut_path(oneline(str(row["path"])), max(12, width - 36)), *_amount(row)] for row in _largest(rows)]
    remarks = [_remark_cells(row, width) for row in odd[:MOST_REMARKS]]
    lines = [f"{_title(rows)} · {_totals(rows, _basis(read))}", *table(largest, right=[1, 2], indent="  ")]
    lines += ["not read plainly", *table(remarks, indent="  ")] if remarks else []
    lines += [f"  {_more(len(odd) - MOST_REMARKS)}"] if len(odd) > MOST_REMARKS else []
    return "\n".join(cut(line, width) for line in lines)


def _remark_cells(row: Mapping[str, Any], width: int) -> list[str]:
    path = cut_path(oneline(str(row["path"])), max(12, width // 2))
    return [str(row["status"]), path, oneline(str(row.get("reason") or ""))]


# -- html --------------------------------------------------------------------------------------------------------------
def html(read: Read) -> str:
    """What was read, as HTML that stands alone."""
    rows = _rows(read)
    odd = _remarks(rows)
    largest = "".join(_largest_row(row) for row in _largest(rows))
    remarks = "".join(_remark_row(row) for row in odd[:MOST_REMARKS])
    hidden = _more(len(odd) - MOST_REMARKS)
    body = [heading(_title(rows), ""), f'<p class="soft">{escape(_totals(rows, _basis(read)))}</p>']
    body += [f'<h4>Largest</h4><table class="grid"><tbody>{largest}</tbody></table>'] if largest else []
    body += [f'<h4>Not read plainly</h4><table class="grid"><tbody>{remarks}</tbody></table>'] if remarks else []
    body += [f'<p class="soft">{hidden}</p>'] if hidden else []
    return frame("".join(body), kind="manifest", label=f"What was read: {_title(rows)}")


def _largest_row(row: Mapping[str, Any]) -> str:
    size, tokens = _amount(row)
    path = f'<th scope="row">{path_html(str(row["path"]))}</th>'
    kind = f'<td class="fit soft">{escape(str(row.get("kind") or ""))}</td>'
    return f'<tr>{path}{kind}<td class="num fit">{size}</td><td class="num fit">{tokens}</td></tr>'


def _remark_row(row: Mapping[str, Any]) -> str:
    status = str(row["status"])
    word = f'<td class="fit {_COLOURS.get(status, "soft")}">{escape(status)}</td>'
    path = f'<th scope="row">{path_html(str(row["path"]))}</th>'
    return f'<tr>{word}{path}<td class="soft">{escape(str(row.get("reason") or ""))}</td></tr>'
