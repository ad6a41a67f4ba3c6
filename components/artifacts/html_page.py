"""Our HTML pages: no script, no file beside them, one look."""

from __future__ import annotations

import html

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } svg { background: #fafafa; } small { color: #666; }
.grid { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; } figcaption { font-weight: 600; }
.bad { color: #b2182b; } .good { color: #1b7837; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A page that needs nothing else; `style` is CSS for what only this page has."""
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}{style}</style>{body}</html>\n"
    )


def figure(title: str, drawing: str, note: str = "") -> str:
    """A drawing with its title above and a note below."""
    below = f"<br><small>{html.escape(note)}</small>" if note else ""
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{drawing}{below}</figure>"
