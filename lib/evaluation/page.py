"""One HTML page with pictures beside it: opens offline, reads on a phone, says every picture in
words.

    page = Page(folder, "Title")
    page.text("A sentence.")
    page.table(["metric", "value"], [["F1", "0.6"]], "Numbers")
    page.picture("bars.png", "Bars", "what it shows, for people who cannot see it",
                 "what to read from it")
    page.write()                                   folder/index.html, written last and at once
"""
from html import escape
from pathlib import Path

from lib.files import write_text

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 0 1rem 3rem;
       color: #222; background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
figure { margin: 1rem 0; } figcaption { color: #444; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd;
         white-space: nowrap; }
td:first-child { white-space: normal; }
"""


class Page:
    """A page that grows from top to bottom."""

    def __init__(self, folder, title):
        self.folder, self.title, self.parts = Path(folder), title, []
        self.folder.mkdir(parents=True, exist_ok=True)

    def text(self, sentence):
        """A paragraph."""
        self.parts.append(f"<p>{escape(sentence)}</p>")

    def heading(self, text):
        """A heading of a part."""
        self.parts.append(f"<h2>{escape(text)}</h2>")

    def table(self, head, rows, title):
        """A table under a heading; it scrolls sideways where the screen is narrow."""
        self.heading(title)
        cells = "".join(f'<th scope="col">{escape(str(cell))}</th>' for cell in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>\n"
            for row in rows
        )
        self.parts.append(
            f'<div class="wide" tabindex="0"><table>\n<thead><tr>{cells}</tr></thead>\n'
            f"<tbody>\n{body}</tbody></table></div>"
        )

    def picture(self, name, title, alt, caption):
        """A picture that lies in the folder already, under a heading; a click opens it alone."""
        self.heading(title)
        link = escape(name)
        self.parts.append(f'<figure><a href="{link}"><img src="{link}" alt="{escape(alt)}"></a>\n'
                          f"<figcaption>{escape(caption)}</figcaption></figure>")

    def write(self):
        """Write index.html."""
        body = "\n".join(self.parts)
        write_text(self.folder / "index.html", f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(self.title)}</title>
<style>{STYLE}</style></head>
<body>
<h1>{escape(self.title)}</h1>
{body}
</body>
</html>
""")
