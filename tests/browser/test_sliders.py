"""The page with sliders (`make page`) in headless Chromium: it finds the astronaut's face, and a
slider moves her mouth.

A small page in a frame of a phone's width drives the real one by keyboard events, and sends what
it sees to this test's server. It also counts requests: after the models are loaded there must be
none.
"""
import http.server
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from lib.onnx_runtime import Model  # noqa: E402, I001
from needs import lacks  # noqa: E402  of tests/

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FRAME = 360
LOOK = """<!doctype html><body>
<iframe id=f src=index.html width=%d height=800></iframe>
<script type=module>
const send = said => fetch('said', {method: 'POST', body: JSON.stringify(said)})
try {
  const frame = document.getElementById('f')
  const loaded = () => frame.contentDocument?.readyState === 'complete'
    && frame.contentWindow.location.href !== 'about:blank'
  await new Promise(done => loaded() ? done() : frame.addEventListener('load', done))
  const inner = frame.contentWindow, doc = frame.contentDocument
  const { ready, page } = await inner.eval("import('./page.js')")
  await ready
  const photo = new Image()
  photo.src = 'astronaut.png'
  await photo.decode()
  await page.open(photo, photo.naturalWidth, photo.naturalHeight)
  const canvas = doc.getElementById('canvas'), state = page.shown()
  const drawn = async () => {
    do { await new Promise(r => setTimeout(r, 50)) } while (!page.idle())
  }
  // how high the corners of the mouth stand over its middle, in heights of the face
  const corners = async () => {
    const pixels = page.pixels(canvas.getContext('2d'), canvas)
    const { points } = await page.find(page.mesh, {...pixels, channels: 4})
    const middle = points[13][1] + points[14][1], ends = points[61][1] + points[291][1]
    return (middle - ends) / 2 / (points[152][1] - points[10][1])
  }
  const before = doc.getElementById('canvas').toDataURL()
  const requests = inner.performance.getEntriesByType('resource').length
  const slide = async (name, key, times) => {
    const slider = doc.getElementById(name)
    slider.focus()
    for (let k = 0; k < times; k++) {  // as Chromium does for a key: one step
      slider[key === 'ArrowRight' ? 'stepUp' : 'stepDown']()
      slider.dispatchEvent(new inner.Event('input', {bubbles: true}))
    }
    await drawn()
    return doc.activeElement === slider
  }
  const focused = await slide('AU12', 'ArrowLeft', 100)
  const low = await corners()
  await slide('AU12', 'ArrowRight', 100)
  const high = await corners()
  doc.getElementById('reset').click()
  await drawn()
  await send({seen: Array.from(state.seen), shown: state.shown,
    found: state.face.confidence, smile: state.shown.AU12, low, high, focused,
    same: doc.getElementById('canvas').toDataURL() === before,
    wide: doc.documentElement.scrollWidth, inner: inner.innerWidth,
    requests: inner.performance.getEntriesByType('resource').length - requests,
    said: doc.getElementById('said').textContent,
    labels: [...doc.querySelectorAll('#sliders input')].every(
      i => i.closest('label')?.textContent.includes(i.id))})
} catch (error) { await send({error: String(error) + String(error.stack)}) }
</script>""" % FRAME


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The built page with the astronaut beside it."""
    try:
        from skimage import data
    except ImportError:
        lacks("scikit-image is not installed (make setup-faces)")
    if not CHROMIUM:
        lacks("no Chromium here (apt-get install chromium)")
    out = tmp_path_factory.mktemp("page")
    done = subprocess.run(["make", "page", f"PAGE={out}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"make page failed: {done.stderr[-2000:]}"
    from lib import images

    images.save(out / "astronaut.png", data.astronaut())
    (out / "look.html").write_text(LOOK)
    return out


@pytest.fixture(scope="module")
def said(place, tmp_path_factory):
    """What the small page has seen."""
    heard, there = {}, threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map,
                          ".mjs": "text/javascript", ".wasm": "application/wasm"}

        def __init__(self, *rest):
            super().__init__(*rest, directory=str(place))

        def do_POST(self):
            heard.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            there.set()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
         f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=540,900",
         f"http://127.0.0.1:{server.server_port}/look.html"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL
    )
    try:
        assert there.wait(240), "the page said nothing"
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
    assert "error" not in heard, heard["error"]
    return heard


def test_a_slider_moves_the_corners_of_the_mouth(said):
    assert said["found"] > 0.9 and said["smile"] > 0.4  # she smiles
    assert said["high"] > said["low"] + 0.01


def test_the_browser_reads_the_numbers_that_python_reads(said):
    """The reader's levels of the very pixels that the page has cut out, to 1e-4."""
    reader = Model.open(ROOT / "runs/models/reader.onnx", "cpu")
    size = reader.image_size
    picture = np.array(said["seen"], np.uint8).reshape(1, size, size, 3)
    read = reader.once(image=picture)["au"][0].clip(0, 1)
    assert set(said["shown"]) == set(reader.aus) and read.max() > 0.4
    np.testing.assert_allclose([said["shown"][name] for name in reader.aus], read, atol=1e-4)


def test_reset_gives_the_photograph_back_and_nothing_is_sent(said):
    assert said["same"] and said["requests"] == 0


def test_phone_and_keyboard(said):
    assert said["wide"] <= said["inner"] <= FRAME
    assert said["focused"] and said["labels"] and said["said"].startswith("Move a slider")
