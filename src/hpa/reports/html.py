"""The look that all pages share: one HTML file, its pictures and its few lines of script inside."""

import base64
import html
import io

from matplotlib.figure import Figure

from hpa.reports.figures import BLUE, GREY, INK, ORANGE, house_style

CSS = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; max-width: 1080px; margin: 2rem auto;
       padding: 0 1rem; }}
h1 {{ font-size: 1.8rem; margin-bottom: .5rem }} h2 {{ font-size: 1.2rem; margin: 2.5rem 0 0 }}
h3 {{ font-size: 1rem; margin: 1.5rem 0 .3rem }}
section > p {{ margin: .2rem 0 1rem; color: #5b6873; max-width: 75ch }} img {{ max-width: 100% }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0 }}
th, td {{ padding: .25rem .9rem .25rem 0; text-align: right }} th {{ font-weight: 600 }}
th.text, td.text {{ text-align: left }} tr.first td {{ border-top: 1px solid #e6eaee }}
td {{ white-space: nowrap }} td.drift {{ color: {ORANGE}; font-weight: 600 }}
.grid {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 1rem }}
.group {{ border-top: 1px solid #e6eaee; padding: .8rem 0 }}
figure {{ margin: 0 }} figure img {{ width: 100%; display: block }}
figcaption {{ font-size: 12px; overflow-wrap: anywhere; line-height: 1.35; margin-top: .3rem }}
.wide {{ overflow-x: auto }} svg {{ display: block; max-width: 100%; height: auto }}
.headline {{ font-size: 3rem; font-weight: 650; line-height: 1.1; color: {BLUE} }}
.headline small {{ font-size: 1.1rem; font-weight: 400; color: {INK}; white-space: nowrap }}
.cards {{ display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0 }}
.cards div {{ border: 1px solid #e6eaee; border-radius: 8px; padding: .5rem .9rem;
              min-width: 118px; flex: 1 }}
.cards b {{ display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }}
.cards span {{ font-size: 12px; color: #5b6873 }}
.sortable td.text:first-child {{ white-space: normal; min-width: 9rem }}
.sortable tbody tr:hover {{ background: #f4f7f9 }} .sortable {{ font-size: 14px }}
.sortable thead th {{ background: white; border-bottom: 1px solid {GREY} }}
.sortable svg {{ min-width: 80px; width: 80px }}
.sortable td, .sortable th {{ padding-right: .6rem }}
.sortable th button {{ all: unset; cursor: pointer; font-weight: 600 }}
.sortable th button:focus-visible {{ outline: 2px solid {BLUE} }}
.sortable th[aria-sort=ascending] button::after {{ content: " ▲"; font-size: 9px }}
.sortable th[aria-sort=descending] button::after {{ content: " ▼"; font-size: 9px }}
tr.flagged td {{ color: #7c8893 }}
td.note {{ white-space: normal; min-width: 11rem; font-size: 12px }}
.curves, .pictures {{ display: grid; gap: .9rem;
                    grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)) }}
.curves.large {{ grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)) }}
.curves figcaption {{ margin: 0 0 .15rem; min-height: 2.7em }}
.pictures {{ grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)) }}
.found {{ color: {BLUE} }} .invented {{ color: {ORANGE} }} .missed {{ font-weight: 600 }}
details > summary {{ cursor: pointer; color: #5b6873; margin: .4rem 0 }}
code {{ font-size: 13px; overflow-wrap: anywhere }} ul {{ padding-left: 1.2rem }}
@media (max-width: 600px) {{ body {{ margin: 1rem auto }} .headline {{ font-size: 2.3rem }}
  .headline small {{ display: block; white-space: normal; font-size: 1rem; margin-top: .3rem }} }}
"""

SORT = """
document.querySelectorAll("table.sortable th button").forEach(button => {
  button.onclick = () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex, down = head.getAttribute("aria-sort") !== "descending";
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)], [p, q] = [parseFloat(x), parseFloat(y)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(p) || isNaN(q) ? x.localeCompare(y) : p - q;
      return down ? -order : order;
    };
    table.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    [...body.rows].sort(compare).forEach(row => body.append(row));
  };
});
"""


def page(title: str, body: str, *, script: str = "") -> str:
    """Return a whole page that refers to nothing outside itself; `body` is HTML, `title` text."""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>"
        f'<meta name="viewport" content="width=device-width"><style>{CSS}</style></head><body>'
        f"<h1>{html.escape(title)}</h1>{body}"
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def section(title: str, note: str, content: str) -> str:
    """Return a section; `title` and `note` are text, `content` is HTML."""
    return f"<section><h2>{html.escape(title)}</h2><p>{html.escape(note)}</p>{content}</section>"


def table(header: list[str], rows: list[list[str]], *, n_text: int = 1) -> str:
    """Return a table that scrolls where it is too wide; cells are text, the first `n_text` left."""

    def cells(tag: str, row: list[str]) -> str:
        return "".join(
            f"<{tag}{' class=text' if place < n_text else ''}>{html.escape(cell)}</{tag}>"
            for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{cells('th', header)}</tr>{body}</table></div>"


def inline_figure(figure: Figure, caption: str) -> str:
    """Return a matplotlib figure as an image inside the page."""
    content = io.BytesIO()
    with house_style():
        figure.savefig(content, format="png", metadata={"Software": None})
    return inline_image(content.getvalue(), caption)


def inline_image(content: bytes, caption: str, kind: str = "png") -> str:
    """Return the bytes of a PNG or JPEG as an image inside the page."""
    encoded = base64.b64encode(content).decode("ascii")
    return f'<img alt="{html.escape(caption)}" src="data:image/{kind};base64,{encoded}">'
