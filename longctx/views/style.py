"""The look of every view, and the frame around one. Knows no state.

A view stands alone: one style element, no script, nothing from outside. Light or dark follows JupyterLab where it is the host
and the system elsewhere; no colour says what no word says, so that a reader without the style (an untrusted notebook, a screen
reader) loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from longctx.views.safe import escape

_LIGHT = {
    "fg": "#1f2328", "soft": "#59636e", "line": "#d8dee4", "panel": "#f3f5f7", "track": "#e4e9ee", "accent": "#2f6fb3",
    "good": "#1a7f4b", "warn": "#8a5d00", "bad": "#c2362f", "quote": "#fff3c4", "weights": "#5b7fb5", "kv": "#3f9c97",
    "state-c": "#8f74bd", "act": "#bd8420", "other": "#818b96",
}  # fmt: skip
_DARK = {
    "fg": "#e6e9ec", "soft": "#9aa4ae", "line": "#3b424a", "panel": "#21262c", "track": "#343b43", "accent": "#79afe6",
    "good": "#5cc98c", "warn": "#e0b04e", "bad": "#f2837b", "quote": "#3f3713", "weights": "#7d9fd3", "kv": "#5dbab4",
    "state-c": "#b09ade", "act": "#dfb35c", "other": "#8b949e",
}  # fmt: skip

#: The colour of each component of memory; what is not named here is drawn in the colour of "other".
COMPONENTS = {"weights": "weights", "kv_cache": "kv", "state": "state-c", "activations": "act"}


def _palette(colours: Mapping[str, str]) -> str:
    return "".join(f"--lcx-{name}:{value};" for name, value in colours.items())


_THEME = (
    f".lcx{{color-scheme:light;{_palette(_LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]) .lcx{{color-scheme:dark;{_palette(_DARK)}}}"
    f"body[data-jp-theme-light=true] .lcx.lcx,body.vscode-light .lcx.lcx{{color-scheme:light;{_palette(_LIGHT)}}}}}"
    f"body[data-jp-theme-light=false] .lcx.lcx,body.vscode-dark .lcx.lcx,:root[data-theme=dark] .lcx.lcx,"
    f":root[theme=dark] .lcx.lcx{{color-scheme:dark;{_palette(_DARK)}}}"
)

_BASE = """
.lcx{box-sizing:border-box;max-width:54rem;margin:2px 0 6px;padding:14px 18px 12px;border:1px solid var(--lcx-line);
border-radius:10px;color:var(--lcx-fg);font:13px/1.5 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif);
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.lcx *{box-sizing:border-box}
.lcx p,.lcx ul,.lcx ol,.lcx pre,.lcx h4{margin:0}
.lcx .soft{color:var(--lcx-soft)}
.lcx .good{color:var(--lcx-good)}.lcx .warn{color:var(--lcx-warn)}.lcx .bad{color:var(--lcx-bad)}
.lcx .num{text-align:right;white-space:nowrap}
.lcx code,.lcx pre,.lcx .mono{font-family:var(--jp-code-font-family,ui-monospace,SFMono-Regular,Menlo,Consolas,monospace);
font-size:12px}
.lcx .head{display:flex;gap:12px;align-items:baseline;justify-content:space-between;margin:0 0 8px}
.lcx .title{font-size:14px;font-weight:600;line-height:1.4}
.lcx .pill{flex:none;padding:0 9px;border:1px solid currentColor;border-radius:99px;font-size:11.5px;line-height:18px;
color:var(--lcx-soft);white-space:nowrap}
.lcx .pill.running{color:var(--lcx-accent)}.lcx .pill.done{color:var(--lcx-good)}
.lcx .pill.failed{color:var(--lcx-bad)}.lcx .pill.stopped{color:var(--lcx-warn)}
.lcx .row{display:flex;flex-wrap:wrap;gap:2px 16px;justify-content:space-between}
.lcx .foot{margin:12px 0 0;padding:8px 0 0;border-top:1px solid var(--lcx-line);color:var(--lcx-soft);font-size:12px}
.lcx .note{margin:8px 0 0;padding:5px 10px;border-left:3px solid var(--lcx-line);border-radius:0 4px 4px 0;
background:var(--lcx-panel);font-size:12.5px}
.lcx .note.warn{color:inherit;border-color:var(--lcx-warn)}.lcx .note.bad{color:inherit;border-color:var(--lcx-bad)}
.lcx .bar{display:flex;height:6px;margin:6px 0 2px;border-radius:99px;background:var(--lcx-track);overflow:hidden}
.lcx .bar i,.lcx .bar b{display:block;height:100%;background:var(--lcx-accent)}
.lcx .bar.tall{height:12px}
.lcx .weights{background:var(--lcx-weights)!important}.lcx .kv{background:var(--lcx-kv)!important}
.lcx .state-c{background:var(--lcx-state-c)!important}.lcx .act{background:var(--lcx-act)!important}
.lcx .other{background:var(--lcx-other)!important}.lcx .over{background:var(--lcx-bad)!important}
.lcx .dot{display:inline-block;width:9px;height:9px;margin-right:6px;border-radius:3px}
.lcx .hid{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.lcx summary{cursor:pointer;border-radius:5px}
.lcx summary:hover{background:var(--lcx-panel)}
.lcx :focus-visible{outline:2px solid var(--lcx-accent);outline-offset:1px}
.lcx table.grid{width:100%;margin:6px 0 0;border-collapse:collapse;border:0;color:inherit;font-size:12.5px;table-layout:auto}
.lcx table.grid tr{background:none}
.lcx table.grid th,.lcx table.grid td{max-width:none;padding:2px 14px 2px 0;border:0;text-align:left;
vertical-align:top;white-space:normal;font-weight:400;line-height:1.5}
.lcx table.grid th.sub{padding-top:6px;color:var(--lcx-soft);font-size:12px}
.lcx table.grid .num{text-align:right}
.lcx table.grid .fit{width:1%;white-space:nowrap}
.lcx table.grid td:last-child,.lcx table.grid th:last-child{padding-right:0}
.lcx table.grid .bar{min-width:70px;margin:6px 0 0}
.lcx h4{margin:14px 0 2px;color:var(--lcx-fg);font-size:12.5px;font-weight:600}
.lcx h4 .soft,.lcx .title .soft{margin-left:6px;font-weight:400}
.lcx .key{display:flex;flex-wrap:wrap;gap:2px 18px;margin:4px 0 0;font-size:12.5px}
@media print{.lcx{break-inside:avoid}}
"""


def frame(body: str, *, kind: str, label: str, css: str = "") -> str:
    """A view as HTML that stands alone.

    Args:
        body: the view's HTML; what is foreign in it is escaped already.
        kind: the view's class: ``"answer"``; none that a host styles, as ipywidgets does ``"progress"``.
        label: what a screen reader calls the view; escaped here.
        css: rules of this view alone.
    """
    return f'{sheet(css)}<section class="lcx {kind} mathjax_ignore" aria-label="{escape(label)}">{body}</section>'


def sheet(css: str = "") -> str:
    """The style element of a view, with its own rules."""
    return f"<style>{(_THEME + _BASE + css).replace(chr(10), '')}</style>"


def heading(title: str, state: str, word: str = "", *, spoken: bool = False) -> str:
    """The first line of a view: its title, and a state as a pill.

    Args:
        title: what the view is about.
        state: of the job; empty shows none.
        word: shown for the state, where it is another.
        spoken: whether screen readers say the state when it changes; for views that are redrawn in parts.
    """
    live = ' role="status"' if spoken else ""
    pill = f'<span class="pill {escape(state)}"{live}>{escape(word or state)}</span>' if state else ""
    return f'<div class="head"><span class="title" role="heading" aria-level="3" dir="auto">{escape(title)}</span>{pill}</div>'


def meter(share: float, *, css: str = "", label: str = "") -> str:
    """A thin bar that is filled to ``share`` (0 to 1). Without a label it is decoration that screen readers skip."""
    spoken = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return f'<div class="bar" {spoken}><i class="{css}" style="width:{_percent(share)}"></i></div>'


def stack(parts: Iterable[tuple[float, str]], *, label: str) -> str:
    """One tall bar of several parts, each a share of the whole (0 to 1) and its class."""
    pieces = "".join(f'<i class="{css}" style="width:{_percent(share)}"></i>' for share, css in parts)
    return f'<div class="bar tall" role="img" aria-label="{escape(label)}">{pieces}</div>'


def path_html(path: str) -> str:
    """A path that may break after its slashes and whose letters do not reorder what stands around it."""
    return f"<bdi>{escape(path).replace('/', '/<wbr>')}</bdi>"


def error_note(error: str) -> str:
    """What went wrong, and below it what can be done about it."""
    first, _, rest = error.partition("\n")
    more = f'<br><span class="soft">{escape(rest.strip())}</span>' if rest.strip() else ""
    return note(f"✗ {escape(first)}{more}", css="bad")


def note(html: str, *, css: str = "") -> str:
    """A remark set apart; ``html`` is escaped already."""
    return f'<p class="note {css}" dir="auto">{html}</p>'


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.4g}%"
