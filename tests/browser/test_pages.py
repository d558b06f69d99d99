"""The pages of evaluate.py, lib.datasets.describe and lib.evaluation.feature_maps in headless
Chromium: `make test-browser`.

Chromium prints the page as it stands after a small script has looked at it: whether every picture
has loaded, and whether anything is wider than the screen. The pages themselves run no scripts.
"""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import models  # noqa: E402  of tests/
from commands import succeed  # noqa: E402
from needs import lacks  # noqa: E402

from lib import manifest  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
LOOK = """<script>addEventListener('load', () => {
  const pictures = [...document.images].map(
    i => [i.getAttribute('src'), i.naturalWidth, i.clientWidth, i.alt]);
  const page = document.documentElement;
  const seen = {pictures, inner: innerWidth, wide: page.scrollWidth};
  document.body.setAttribute('data-seen', JSON.stringify(seen));
})</script>"""
PICTURES = {  # page: all that are drawn for the labels of the set below
    "report": "au_bars au_levels coactivation au_reliability va_scatter va_density va_agreement "
              "va_traces confusion expression_bars expression_reliability features mistakes",
    "data": "people labelled au_present au_levels au_together va_density va_of_aus va_histograms "
            "expressions examples",
    "features": "features",
}
# CSS pixels: Chromium's own least width without a phone's emulation; the frame below is 360
PHONE = 500
FRAME = 360


def look(page, tmp_path, width):
    """What Chromium sees of a page in a frame `width` pixels wide."""
    copy = page.with_name("looked_at.html")
    copy.write_text(page.read_text().replace("</body>", LOOK + "</body>"))
    outer = page.with_name("frame.html")
    outer.write_text(f"""<!doctype html><body>
<iframe id=f src={copy.name} width={width} height=800></iframe>
<script>addEventListener('load', () => {{
  const inside = document.getElementById('f').contentDocument.body;
  document.body.setAttribute('data-seen', inside.getAttribute('data-seen'));
}})</script></body>""")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, PHONE) + 40},900",
         "--virtual-time-budget=20000", "--dump-dom", outer.as_uri()], capture_output=True,
        text=True, timeout=180
    )
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr[-500:]
    return json.loads(found.group(1).replace("&quot;", '"').replace("&amp;", "&"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of one small set with labels of every kind, and that of one person's features."""
    if not CHROMIUM:
        lacks("no Chromium here (apt-get install chromium)")
    place = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    models.classifier(place / "c.onnx")
    models.dataset(place, rng.integers(0, 6, (16, 4)) / 5,
                   subjects=["p0"] * 10 + ["p1", "p2", "p3"] * 2)  # 10 frames make a trace
    data = manifest.read(place / "set.csv")
    data.columns |= {"valence": [f"{v:.2f}" for v in rng.uniform(-1, 1, 16)],
                     "arousal": [f"{v:.2f}" for v in rng.uniform(-1, 1, 16)],
                     "expression": ["neutral", "happiness"] * 8, "video": ["v"] * 16}
    data.write(place / "set.csv")
    succeed("evaluate.py", "--model", place / "c.onnx", "--test", place / "set.csv",
            "--report", place / "report")
    succeed("-m lib.datasets.describe", place / "set.csv", "--report", place / "data")
    models.classifier(place / "own-p.onnx")
    models.dataset(place, rng.integers(0, 6, (16, 4)) / 5, "person.csv", subjects=["p"] * 16)
    succeed("-m lib.evaluation.feature_maps", place / "c.onnx", place / "own-{subject}.onnx",
            "--test", place / "person.csv", "--out", place / "features")
    return {name: place / name / "index.html" for name in PICTURES}


@pytest.mark.parametrize("width", [FRAME, 1200])
@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_loads_and_fits(name, width, pages, tmp_path):
    seen = look(pages[name], tmp_path, width)
    # nothing makes the page scroll sideways
    assert seen["inner"] <= width and seen["wide"] <= seen["inner"]
    expected = [f"{picture}.png" for picture in PICTURES[name].split()]
    assert [source for source, *_ in seen["pictures"]] == expected
    assert sorted(path.name for path in pages[name].parent.glob("*.png")) == sorted(expected)
    for source, natural, shown, alt in seen["pictures"]:
        assert natural > 0, f"{source} has not loaded"
        assert 0 < shown <= width and len(alt) > 40
