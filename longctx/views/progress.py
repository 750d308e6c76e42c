"""How far a job is and what memory it holds against the plan, as HTML and as text. Knows no session and no engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from longctx.jobs import Progress, State
from longctx.views import units
from longctx.views.cells import bar, cut, table
from longctx.views.safe import escape, oneline
from longctx.views.style import COMPONENTS, error_note, frame, heading, sheet

#: Measured bytes may be so many times the planned ones before the view speaks of it.
TOLERANCE = 1.02
_DONE_WORDS = {"done": "✓", "failed": "✗", "stopped": "■"}

CSS = """
.lcx .stage{font-weight:600}
.lcx .memory{display:grid;grid-template-columns:max-content 1fr max-content;gap:1px 12px;align-items:center;margin:8px 0 0;
font-size:12px}
.lcx .bar.busy{background:repeating-linear-gradient(120deg,var(--lcx-track) 0 10px,var(--lcx-line) 10px 20px)}
.lcx .memory .planned{flex:none;background:var(--lcx-track);border-radius:99px;overflow:hidden;display:flex}
.lcx .memory .bar{margin:0;background:none}
.lcx details.plain{margin:8px 0 0;font-size:12px}
.lcx details.plain>summary{color:var(--lcx-soft)}
"""


@dataclass(frozen=True)
class ProgressState:
    """What the progress view shows.

    Args:
        title: what is being done, in the user's words.
        state: of the job.
        progress: the stage and how far it is.
        elapsed: seconds since the job began.
        planned: bytes of each component of memory as the plan has it; empty where there is no plan.
        measured: bytes of each component as they are now.
        peak: most bytes held at once so far; 0 where it is not measured.
        available: bytes that the plan may use; 0 where it is not known.
        stopping: a stop was asked for and the work has not ended yet.
        error: what went wrong, where the state is ``"failed"``.
        summary: a sentence about the result, shown when the work is done.
    """

    title: str
    state: State = "queued"
    progress: Progress = field(default_factory=Progress)
    elapsed: float = 0.0
    planned: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, int] = field(default_factory=dict)
    peak: int = 0
    available: int = 0
    stopping: bool = False
    error: str = ""
    summary: str = ""

    @property
    def word(self) -> str:
        """The state in one word: ``"stopping"`` between the wish and the end."""
        return "stopping" if self.stopping and self.state in ("queued", "running") else self.state

    @property
    def failure(self) -> str:
        """What went wrong; a stop on request is no failure, whatever was raised for it."""
        return self.error if self.state == "failed" else ""

    @property
    def components(self) -> tuple[str, ...]:
        """Every component of which some is planned or held, those of the plan first."""
        names = dict.fromkeys([*self.planned, *self.measured])
        return tuple(name for name in names if self.planned.get(name) or self.measured.get(name))

    @property
    def top(self) -> int:
        """The measured peak; 0 where it is below what is held now: mapped weights are held, but not measured."""
        return self.peak if self.peak >= sum(self.measured.values()) - self.measured.get("host", 0) else 0


def component_name(name: str) -> str:
    """A component of memory in the user's words.

    >>> component_name("kv_cache")
    'KV cache'
    """
    return oneline({"kv_cache": "KV cache", "host": "KV in CPU memory"}.get(name, name.replace("_", " ")))


# -- text --------------------------------------------------------------------------------------------------------------
def text(state: ProgressState, *, width: int = 100) -> str:
    """The state in one to three lines, each at most ``width`` columns.

    >>> print(text(ProgressState("Load", "running", Progress("prefill", 1536, 3012, seconds=2.56))))
    prefill  1,536/3,012 tokens  51 %  600 tok/s  ETA 0:02
    """
    if state.state in ("queued", "running"):
        lines = ["  ".join(_running_words(state))]
    else:
        lines = ["  ".join([f"{_DONE_WORDS[state.state]} {oneline(state.title)}", *_final_words(state)])]
        lines += [f"  {'  '.join(_final_memory(state))}"] if _final_memory(state) else []
        lines += [f"  {oneline(line)}" for line in state.failure.splitlines()[:2] if line.strip()]
    return "\n".join(cut(line, width) for line in lines)


def bars(state: ProgressState, *, width: int = 100) -> str:
    """The memory of each component against the plan, a line for each."""
    top = max([*state.planned.values(), *state.measured.values(), 1])
    rows = [
        [component_name(name), bar(state.measured.get(name, 0), top, 24), _against(state, name) + _over(state, name)]
        for name in state.components
    ]
    return "\n".join(cut(line, width) for line in table(rows, indent="  "))


def _running_words(state: ProgressState) -> Iterable[str]:
    if state.state == "queued":
        return [oneline(state.title), "stopping" if state.stopping else "waiting for its turn"]
    return [oneline(state.progress.stage), *_counted(state), *(["stopping …"] if state.stopping else []), *_memory_words(state)]


def _counted(state: ProgressState) -> list[str]:
    now = state.progress
    if not now.done and not now.total:
        return [units.countdown(state.elapsed)] if state.elapsed else []
    words = [_amount(now)]
    words += [units.percent(now.done, now.total)] if now.total else []
    words += [units.rate(now.rate, now.unit)] if now.rate else []
    return words + ([f"ETA {units.countdown(now.eta)}"] if now.eta is not None else [])


def _amount(now: Progress) -> str:
    if now.unit == "bytes":
        return units.size_of(now.done, now.total) if now.total else units.size(now.done)
    return f"{units.count(now.done)}{f'/{units.count(now.total)}' if now.total else ''} {now.unit}"


def _memory_words(state: ProgressState) -> list[str]:
    held, planned = sum(state.measured.values()), sum(state.planned.values())
    if held and planned:
        return [f"memory {units.size_of(held, planned)} planned"]
    return [f"memory {units.size(held)}"] if held else []


def _final_words(state: ProgressState) -> list[str]:
    words = [state.word] if state.state != "done" else [oneline(state.summary)] if state.summary else ["done"]
    return words + ([f"in {units.seconds(state.elapsed)}"] if state.elapsed else [])


def _final_memory(state: ProgressState) -> list[str]:
    return _memory_words(state) + ([f"peak {units.size(state.top)}"] if state.top else [])


def _against(state: ProgressState, name: str) -> str:
    now, planned = state.measured.get(name, 0), state.planned.get(name)
    if not state.measured and planned is not None:
        return units.size(planned)
    return units.size(now) if planned is None else units.size_of(now, planned)


def _over(state: ProgressState, name: str) -> str:
    """A word where a component takes clearly more than planned."""
    planned = state.planned.get(name)
    return " over plan" if planned is not None and state.measured.get(name, 0) > planned * TOLERANCE else ""


# -- html --------------------------------------------------------------------------------------------------------------
def html(state: ProgressState) -> str:
    """The state as HTML that stands alone."""
    body = heading(state.title, state.state, state.word) + inside(state)
    return frame(body, kind="work", label=f"{state.title}: {state.word}", css=CSS)


def parts(state: ProgressState) -> list[str]:
    """The state in parts, as :class:`~longctx.views.live.Parted` has them."""
    return [sheet(CSS), heading(state.title, state.state, state.word, spoken=True), inside(state)]


def inside(state: ProgressState) -> str:
    """The view without its heading, for views that contain it. Needs :data:`CSS`."""
    running = state.state in ("queued", "running")
    parts = [_stage(state) if running else _ended(state)]
    if state.components:
        grid = f'<div class="memory">{"".join(_component(state, name) for name in state.components)}</div>'
        total = f"<div>{escape(_memory_line(state))}</div>"
        folded = f'<details class="plain"><summary>{escape(_memory_line(state))}</summary>{grid}</details>'
        parts.append(f'<div class="foot">{total}{grid}</div>' if running else folded)
    return "".join(parts)


def _stage(state: ProgressState) -> str:
    now = state.progress
    if state.state == "queued":
        return '<p class="soft">Waits for its turn.</p>'
    shown = _counted(state) if now.done or now.total else []
    left = f'<span class="stage">{escape(now.stage)}</span>' + (f" &nbsp;{escape(shown[0])}" if shown else "")
    right = escape(" · ".join([*shown[1:], *([f"{units.countdown(state.elapsed)} elapsed"] if state.elapsed else [])]))
    return f'{_bar(now, ", ".join(shown))}<div class="row"><span>{left}</span><span class="soft">{right}</span></div>'


def _bar(now: Progress, spoken: str) -> str:
    """A progress bar; without a total it says that it is busy and no more."""
    label = f'role="progressbar" aria-label="{escape(now.stage)}" aria-valuetext="{escape(spoken or "busy")}"'
    if not now.total:
        return f'<div class="bar busy" {label}></div>'
    share = min(1.0, now.done / now.total)
    values = f'aria-valuemin="0" aria-valuemax="{now.total}" aria-valuenow="{min(now.done, now.total)}"'
    return f'<div class="bar" {label} {values}><b style="width:{100 * share:.4g}%"></b></div>'


def _ended(state: ProgressState) -> str:
    if state.failure:
        return error_note(state.failure)
    took = units.seconds(state.elapsed) if state.elapsed else ""
    if state.state == "stopped":
        return f"<p>Stopped on request{f' after {took}' if took else ''}; what was finished is kept.</p>"
    words = [state.summary] if state.summary else []
    words += [f"in {took}" if words else f"Finished in {took}"] if took else []
    return f"<p>{escape(' · '.join(words))}</p>" if words else ""


def _memory_line(state: ProgressState) -> str:
    held, planned = sum(state.measured.values()), sum(state.planned.values())
    figure = units.size_of(held, planned) if held and planned else units.size(held or planned)
    words = [f"Memory {figure}{' planned' if planned else ''}"]
    words += [f"peak {units.size(state.top)}"] if state.top else []
    return " · ".join(words + ([f"{units.size(state.available)} available"] if state.available else []))


def _component(state: ProgressState, name: str) -> str:
    """A row: the measured bytes inside the planned ones; what goes beyond the plan has a colour and a word of its own."""
    top = max([*state.planned.values(), *state.measured.values(), 1])
    now = state.measured.get(name, 0)
    planned = state.planned.get(name, now)
    over = _over(state, name)
    fill = f'<i class="{COMPONENTS.get(name, "other")}" style="width:{_share(min(now, planned), max(now, planned))}"></i>'
    fill += f'<i class="over" style="width:{_share(now - planned, now)}"></i>' if over else ""
    track = f'<div class="planned" style="width:{_share(max(now, planned), top)}">{fill}</div>'
    word = escape(_against(state, name)) + (f'<b class="bad">{over}</b>' if over else "")
    label = escape(component_name(name))
    return f'<span>{label}</span><div class="bar" aria-hidden="true">{track}</div><span class="num">{word}</span>'


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.4g}%" if whole > 0 else "0"
