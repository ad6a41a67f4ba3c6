"""Our HTML pages: no script, no file beside them, one look."""

from __future__ import annotations

import html

STYLE = """
:root { color-scheme: light dark; --text: #222; --quiet: #5a5a5a; --page: #fff; --plot: #f7f7f7; --line: #9a9a9a;
  --bad: #b2182b; --good: #1b7837; --alarm: #fde8e4; --c0: #4477aa; --c1: #d1495b; --c2: #228833; --c3: #9a7d0a;
  --c4: #2b8cbe; --c5: #aa3377; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e4e4; --quiet: #a8a8a8; --page: #16181a; --plot: #212427;
  --line: #777; --bad: #ff8a80; --good: #81c995; --alarm: #4a2320; --c0: #7fb0e0; --c1: #ff8b96; --c2: #6fcf7c;
  --c3: #e6cf6a; --c4: #8fdcf5; --c5: #e58cc4; } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: var(--text); background: var(--page); } a { color: var(--c0); }
table { border-collapse: collapse; display: block; overflow-x: auto; max-width: 100%; }
td, th { padding: .2rem .8rem; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } small { color: var(--quiet); }
svg { background: var(--plot); max-width: 100%; height: auto; } svg text { fill: var(--text); font-size: 12px; }
svg .axis { stroke: var(--line); fill: none; }
.grid { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; max-width: 100%; }
@media (max-width: 40rem) { svg text { font-size: 15px; } }
figcaption { font-weight: 600; } .bad { color: var(--bad); } .good { color: var(--good); }
"""
_TABLE = '<table tabindex="0">'  # One that is too wide scrolls, by keys as well.


def document(title: str, body: str, style: str = "") -> str:
    """A page that needs nothing else; `style` is CSS for what only this page has."""
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}{style}</style>{body.replace('<table>', _TABLE)}</html>\n"
    )


def with_link(page: str, target: str, label: str) -> str:
    """A page of ours with a link above everything else."""
    return page.replace("</style>", f'</style><nav><a href="{html.escape(target)}">{html.escape(label)}</a></nav>', 1)


def figure(title: str, drawing: str, note: str = "") -> str:
    """A drawing with its title above and a note below."""
    below = f"<br><small>{html.escape(note)}</small>" if note else ""
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{drawing}{below}</figure>"
