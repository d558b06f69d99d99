"""README.md and docs/ tell the truth: blocks of Python run with numpy, pillow and onnxruntime
alone, commands parse."""
import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import pytest
from argparse_dataclass import ArgumentParser
from PIL import Image
from test_make_targets import plan

from lib import images

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)  # what a person reads
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
ALLOWED = {"json", "numpy", "onnxruntime", "PIL"}

# what a host with three packages lacks: this repository, and everything else that training needs
BLOCKED = """import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("lib", "torch", "torchvision", "onnx", "onnxscript",
                                      "scipy", "sklearn", "cv2"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def commands():
    """Every command of the README that runs a script or module of ours: [(name, its arguments, the
    line)]."""
    found, in_python = [], False
    for line in README.splitlines():
        in_python ^= line.startswith("```")
        is_command = line.startswith("    ") and not in_python
        texts = [line] if is_command else re.findall(r"`([^`]+)`", line)
        for text in texts:
            if "python " in text or "torchrun " in text:
                found += [(*command, line) for command in split(text)]
    return found


def split(text):
    """The commands of a shell line: [(script or module, arguments)]."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|>;&")
    lexer.whitespace_split = True
    parts, redirected = [[]], False
    for word in lexer:
        if word in ("|", "&&", ";"):
            parts.append([])
        elif word == ">" or redirected:
            redirected = word == ">"
        elif word != "…":
            parts[-1].append(word)
    out = []
    for words in parts:
        script = next((k for k, word in enumerate(words)
                       if word.endswith(".py") or word.startswith("lib.")), None)
        if words[0] in ("python", "torchrun") and script is not None:
            out.append((words[script], words[script + 1:]))
    return out


def options_of(script):
    """The dataclass of a script's or module's options."""
    return importlib.import_module(script.removesuffix(".py")).Options


def parser_of(script):
    """A parser that raises in place of leaving."""
    parser = ArgumentParser(options_of(script), allow_abbrev=False, add_help=False)

    def error(message):
        raise ValueError(message)

    parser.error = error
    return parser


def run_block(code, folder):
    """Run a block as it stands in a folder, without this repository on the path; its stdout."""
    (folder / "block.py").write_text(BLOCKED + code, encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", "block.py"], cwd=folder, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def host(tmp_path):
    """A folder with two models and a photo that is larger than they want and wider than high."""
    models.classifier(tmp_path / "classifier.onnx",
                      thresholds={"AU01": 0.2, "AU02": 0.9, "AU12": 0.7})
    models.generator(tmp_path / "generator.onnx")
    wide = np.repeat(np.repeat(models.paint([0.3, 0.6, 0.1, 0.8]), 3, 0), 5, 1)  # 24 x 40
    # lossless; Pillow looks at the content
    Image.fromarray(wide).save(tmp_path / "face.jpg", format="PNG")
    return tmp_path, images.resize(images.load(str(tmp_path / "face.jpg")), models.SIZE)


def block(model):
    """The one block that opens a model."""
    found = [code for code in PYTHON if model in code]
    assert len(found) == 1
    return found[0]


def test_blocks_are_short_and_need_three_packages():
    assert len(PYTHON) == 2
    for code in PYTHON:
        assert len([line for line in code.splitlines() if line.strip()]) <= 15
        nodes = list(ast.walk(ast.parse(code)))
        imported = {alias.name for node in nodes
                    if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert imported <= ALLOWED


def test_block_reads_aus(host):
    folder, image = host
    said = [line.split() for line in run_block(block("classifier.onnx"), folder).splitlines()]
    # the model reads the brightness of stripes
    expected = [image[:, 2 * k:2 * k + 2].mean() / 255 for k in range(4)]
    assert [name for name, _, _ in said] == models.AUS
    assert np.allclose([float(level) for _, level, _ in said], expected, atol=1e-3)
    # AU26 at 0.5, by default
    assert [word for _, _, word in said] == ["present", "absent", "absent", "present"]


def test_block_edits_a_face(host):
    folder, image = host
    assert not run_block(block("generator.onnx"), folder)
    edited = images.load(str(folder / "edited.png"))
    expected = image.astype(float)
    expected[:, 4:6] += 0.8 * 255  # the stripe of AU12; the others are kept
    assert edited.shape == image.shape and edited.dtype == np.uint8
    assert np.abs(edited - expected.clip(0, 255)).max() <= 1


def test_every_command_parses():
    known = commands()
    scripts = {name for name, _, _ in known}
    assert {"train_classifier.py", "train_generator.py", "export_onnx.py", "pseudo_label.py",
            "synthesize.py", "evaluate.py"} <= scripts
    importers = {path.stem for path in (ROOT / "lib/datasets").glob("*.py")
                 if "importing.main(" in path.read_text()}
    assert importers - {"importing"} <= {name.rpartition(".")[2] for name in scripts}
    for name, arguments, line in known:
        if not arguments or arguments == ["--compare"]:  # only mentioned
            continue
        try:
            parser_of(name).parse_args(arguments)
        except ValueError as error:
            raise AssertionError(f"{line}\n{error}") from None


def test_flags_beside_a_command_are_its_own():
    flags = []
    for name, _, line in commands():
        if line.startswith("|"):
            known = {text for action in parser_of(name)._actions for text in action.option_strings}
            for flag in re.findall(r"`(--[\w-]+)[^`]*`", line):
                flags.append(flag)
                assert flag in known, line
    assert flags


def test_flags_in_prose_exist_somewhere():
    scripts = {name for name, _, _ in commands()} | {"lib.datasets.split"}
    known = {text for name in scripts
             for action in parser_of(name)._actions for text in action.option_strings}
    known |= {"--help", "--nproc-per-node"}
    for line in README.splitlines():
        if not line.startswith("    "):
            assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line)) <= known, line


def test_make_knows_a_way_to_every_target(tmp_path):
    # faces-CONDITION stands for any condition
    targets = set(re.findall(r"(?:^    |`)make ([a-z][a-z0-9-]*)(?![\w-])", README, re.MULTILINE))
    assert {"faces-em", "setup-photos", "test"} <= targets
    for target in sorted(targets):
        plan(tmp_path, target)


def test_files_exist():
    for path in re.findall(r"`((?:lib|tests)/[\w/]+(?:\.py|/))`", README):
        assert (ROOT / path).exists(), path
    tree = README.partition("# Where things are")[2].partition("\n**A generator**")[0]
    paths = re.findall(r"^    ((?:lib/[\w/.]+|\w+\.py)|tests/)", tree, re.MULTILINE)
    assert "tests/" in paths
    for path in paths:
        assert (ROOT / path).exists(), path


def test_readme_is_short_and_its_links_lead_somewhere():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 150
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), (page.name, link)
