"""Charts of the audit's page as inline SVG: bars of shares, and a histogram."""

from collections.abc import Mapping, Sequence
from html import escape

from turnwright.audit.report import Floor

WIDTH = 640
LABELS = 170
ROW = 26
PLOT = WIDTH - LABELS - 96


def share_bars(shares: Mapping[str, Floor], title: str, reference: float | None = None) -> str:
    """Draw two bars per row, reward above scorer.

    Args:
        shares: Rows by name.
        title: Read aloud by screen readers.
        reference: Share at which a line is drawn, such as the majority class.
    """
    height = ROW * len(shares) + 24
    parts = [_svg(height, title)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LABELS + PLOT * tick
        parts.append(f'<line class="grid" x1="{x:.0f}" y1="0" x2="{x:.0f}" y2="{height - 20}"/>')
        parts.append(f'<text class="tick" x="{x:.0f}" y="{height - 6}" text-anchor="middle">{tick:.0%}</text>')
    for row, (name, share) in enumerate(shares.items()):
        y = ROW * row + 4
        parts.append(f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(_bar(y, share.by_reward, "reward", name))
        if share.by_score is not None:
            parts.append(_bar(y + 9, share.by_score, "score", name))
        told = f"{share.by_reward:.0%}" + ("" if share.by_score is None else f" / {share.by_score:.0%}")
        parts.append(f'<text class="tick" x="{WIDTH - 84}" y="{y + 13}">{told}</text>')
    if reference is not None:
        x = LABELS + PLOT * reference
        parts.append(f'<line class="reference" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height - 20}"/>')
    return "".join((*parts, "</svg>"))


def histogram(counts: Mapping[str, int], title: str, marks: Sequence[tuple[str, int]] = ()) -> str:
    """Draw one bar per count; ``marks`` name values, such as a limit, beside the one that is equal to them."""
    most = max(counts.values(), default=1)
    parts = [_svg(ROW * len(counts), title)]
    for row, (name, count) in enumerate(counts.items()):
        y = ROW * row + 4
        beside = "".join(f", {what}" for what, value in marks if str(value) == name)
        parts.append(f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(name)}{escape(beside)}</text>')
        parts.append(f'<rect class="reward" x="{LABELS}" y="{y}" width="{PLOT * count / most:.1f}" height="16"/>')
        parts.append(f'<text class="tick" x="{WIDTH - 84}" y="{y + 13}">{count}</text>')
    return "".join((*parts, "</svg>"))


def _svg(height: int, title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>'


def _bar(y: int, share: float, kind: str, name: str) -> str:
    title = f"<title>{escape(name)} by {kind}: {share:.1%}</title>"
    # A share of 0 is drawn as well: it was measured.
    width = max(PLOT * share, 1.0)
    return f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{width:.1f}" height="8">{title}</rect>'
