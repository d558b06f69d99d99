"""Exported models: open an ONNX file, know its labels, feed it images while others are being
decoded.

No torch. What a model is stands in its metadata (`metadata_props`, each value JSON; the same
object in NAME.json beside NAME.onnx): kind (classifier, editor, sampler), architecture, aus (AU
names in order of the output), expressions, image_size, color_order, resize_filter, crop,
registration, thresholds ({AU name: value}), thresholds_au_present (the same, of a model that reads
levels and presence), trained_on, versions.
"""
import ctypes
import functools
import json
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lib import images, references
from lib.choices import THRESHOLDS
from lib.cli import BadInput, note, progress
from lib.labels import Labels
from lib.manifest import mode

GENERATORS = ("editor", "sampler")
AHEAD = 3  # batches that are decoded before the model asks for them


class Model:
    """An ONNX model of this project, ready to run. Make one with `Model.open`."""

    def __init__(self, path, session, meta):
        self.path, self.session, self.meta = str(path), session, meta
        self.inputs = {item.name: item for item in session.get_inputs()}
        self.outputs = [item.name for item in session.get_outputs()]
        # where an IO binding leaves outputs; "" runs without one
        self.bound_to = "cuda" if "CUDAExecutionProvider" in session.get_providers() else ""
        self.kind = meta["kind"]
        if self.kind == "generator":  # as earlier versions called both
            self.kind = "editor" if "edited" in self.outputs else "sampler"
        labels = meta.get("labels")
        labels = labels if isinstance(labels, dict) else {}
        self.aus = list(meta.get("aus") or labels.get("aus") or [])
        self.expressions = list(meta.get("expressions") or labels.get("expressions") or [])
        self.labels = Labels(tuple(self.aus), bool(meta.get("valence_arousal")),
                             tuple(self.expressions))
        self.image_size = int(meta["image_size"])

    @classmethod
    def open(cls, path, device="auto", threads=None, kind=None):
        """Open a model file. device: auto (a GPU when there is one), cpu or cuda. threads: of the
        CPU, None is OMP_NUM_THREADS (see `threads_of_openmp`) or else all cores. kind: what it must
        be, when given (generator: editor or sampler).

        BadInput when it is missing, no ONNX model, without metadata, of another kind, or when the
        GPU that was asked for is not there."""
        if not Path(path).is_file():
            raise BadInput(
                f"{path}: no such model; make it with export_onnx.py, or correct the path"
            )
        import onnxruntime

        # its warnings about providers are not the user's
        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or threads_of_openmp()
        available = onnxruntime.get_available_providers()
        gpu = device != "cpu" and "CUDAExecutionProvider" in available and has_gpu()
        if device == "cuda" and not gpu:
            raise BadInput(f"{path}: --device cuda, but ONNX Runtime finds no NVIDIA GPU "
                           "here; use --device cpu")
        if gpu and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls(directory="")  # CUDA's libraries lie in the nvidia-* wheels
        providers = ["CUDAExecutionProvider"] * gpu + ["CPUExecutionProvider"]
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its own exception classes have no common base
            reason = " ".join(str(error).split())[:120]
            raise BadInput(f"{path}: not a usable ONNX model ({reason}); export it again") from None
        model = cls(path, session, read_metadata(path, session))
        if kind and kind != model.kind and not (kind == "generator" and model.kind in GENERATORS):
            article = "an" if model.kind == "editor" else "a"
            raise BadInput(f"{path}: is {article} {model.kind}, not a {kind}; give a {kind}.onnx")
        return model

    @property
    def edits(self):
        """Whether it is a generator that edits images, not one that samples them from noise."""
        return "edited" in self.outputs

    @property
    def reads_presence(self):
        """Whether `au_present` is a reading of its own beside `au`. (A model with a head of
        presence alone gives the same as both.)"""
        told = THRESHOLDS["au_present"] in self.meta or self.meta.get("au_kind") == "intensity"
        return told and "au_present" in self.outputs

    def thresholds(self, default=0.5, output="au"):
        """Per-AU thresholds of an output, `au` or `au_present`, chosen on validation data, float32
        [A]; `default` where none is stored."""
        return stored_thresholds(self, output, default).astype(np.float32)

    def stream(self, data=None, batch=64, what="", outputs=None, **extra_inputs):
        """Yield (slice, {output: array}) batch by batch, in order; the next batches are decoded
        meanwhile.

        data: N references or uint8 [N,H,W,3], resized to the model's size; None for a sampling
        generator. extra_inputs: arrays [N,...] by input name (source, target, noise); images
        (reference) as `data`.
        """
        feeds = {name: rows for name, rows in {"image": data, **extra_inputs}.items()
                 if rows is not None}
        for name in self.inputs:
            if name not in feeds:
                raise BadInput(
                    f"{self.path}: needs the input {name!r}; this command does not feed it"
                )
        feeds = {name: rows for name, rows in feeds.items() if name in self.inputs}
        total = len(next(iter(feeds.values())))
        fixed = next(iter(self.inputs.values())).shape[0]
        batch = fixed if isinstance(fixed, int) else batch
        parts = deque(slice(start, min(start + batch, total)) for start in range(0, total, batch))
        wanted = outputs or self.outputs
        ready = deque()
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool, \
                progress(total=total, what=what or self.kind, unit="image") as bar:
            while parts or ready:
                while parts and len(ready) < AHEAD:
                    part = parts.popleft()
                    ready.append((part, self._prepared(pool, feeds, part)))
                part, feed = ready.popleft()
                results = self.run(wanted, feed())
                yield part, dict(zip(wanted, results))
                bar.update(part.stop - part.start)

    def _prepared(self, pool, feeds, part):
        """A function () -> the inputs of a batch. Images that have to be decoded or resized are so
        in another thread, from now on; a view of a pack costs less than a thread does."""
        shown = [rows[part] for name, rows in feeds.items() if self.shows(name)]
        if all(images.at_hand(rows, self.image_size) is not None for rows in shown):
            return functools.partial(self._feed, feeds, part)
        return pool.submit(self._feed, feeds, part).result

    def shows(self, name):
        """Whether an input is images."""
        return "uint8" in self.inputs[name].type and len(self.inputs[name].shape) == 4

    def predict(self, data=None, batch=64, what="", outputs=None, **extra_inputs):
        """All outputs (or those named) for N images, {name: array [N,...]}; arguments as for
        `stream`."""
        collected = {}
        for _, results in self.stream(data, batch, what, outputs, **extra_inputs):
            for name, values in results.items():
                collected.setdefault(name, []).append(values)
        return {name: np.concatenate(values) for name, values in collected.items()}

    def once(self, **inputs):
        """All outputs for one batch of arrays, {name: array}, in the foreground and without a
        bar."""
        feeds = {name: rows for name, rows in inputs.items() if name in self.inputs}
        values = self.run(self.outputs, self._feed(feeds, slice(None)))
        return dict(zip(self.outputs, values))

    def run(self, wanted, feed):
        """The wanted outputs of one batch, arrays. feed: {input: array}.

        On a GPU through an IO binding: ONNX Runtime puts inputs and outputs where the model runs,
        and each is copied once."""
        if not self.bound_to:
            return self.session.run(wanted, feed)
        binding = self.session.io_binding()
        for name, values in feed.items():
            binding.bind_cpu_input(name, values)
        for name in wanted:
            binding.bind_output(name, self.bound_to)
        self.session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    def _feed(self, feeds, part):
        """The inputs of one batch, decoded and resized."""
        out = {}
        for name, rows in feeds.items():
            if self.shows(name):
                out[name] = images.batch(rows[part], self.image_size)
            else:
                out[name] = np.ascontiguousarray(rows[part], np.float32)
        return out


def threads_of_openmp():
    """The first number of OMP_NUM_THREADS, which may be a list ("4,2": four threads, each with two
    below it); 0, all cores, where it is not set or no number, as OpenMP takes it."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def has_gpu():
    """Whether the NVIDIA driver answers. (ONNX Runtime's GPU build names its provider on any
    machine.)"""
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


def read_metadata(path, session):
    """The model's metadata, from the file itself or NAME.json beside it; BadInput when it lacks
    what is needed."""
    beside = Path(path).with_suffix(".json")
    props = session.get_modelmeta().custom_metadata_map
    try:
        meta = {key: json.loads(value) for key, value in props.items()}
        if "kind" not in meta and beside.is_file():
            meta = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{path}: its metadata is not JSON ({error}); export it again") from None
    missing = [key for key in ("kind", "image_size") if key not in meta]
    if missing:
        raise BadInput(f"{path}: lacks the metadata {', '.join(missing)}, "
                       f"in it and in {beside.name}; export it with export_onnx.py")
    return meta


def shared_aus(model, manifest):
    """AU names that both know, in the model's order; what only one knows is said. BadInput when
    they share none."""
    shared = [name for name in model.aus if name in manifest.columns]
    if not shared:
        raise BadInput(
            f"{manifest.name}: has none of the AUs of {model.path} ({brief(model.aus)}); "
            f"it has {brief(manifest.au_names)}. Give a manifest and a model of the same labels"
        )
    for name, lacking in ((manifest.name, [au for au in model.aus if au not in shared]),
                          (model.path, [au for au in manifest.au_names if au not in shared])):
        if lacking:
            note(f"{name} lacks {brief(lacking)}; left out")
    return shared


def check_registration(model, manifest):
    """Say when images were registered differently from those that the model was trained on: in
    another mode, not at all, or where the model knows of no registration. Sizes may differ, as
    images are resized to the model's."""
    expected = model.meta.get("registration") or ""
    found = sorted({text for text in manifest.text("registration") if mode(text) != mode(expected)})
    if found:
        has = ", ".join(text or "unregistered images" for text in found)
        if expected:
            note(f"warning: {model.path} expects registration {expected!r}, {manifest.name} has "
                 f"{has}; register the images alike (python -m lib.faces.register)")
        else:
            note(f"warning: {model.path} names no registration that it was trained on, "
                 f"{manifest.name} has {has}; give images like those of its training, "
                 "or a model trained on such images")


def brief(names):
    """Names as a short text: 'AU01, AU02 … AU26 (20)', or 'none'."""
    names = list(names)
    if len(names) > 6:
        return f"{', '.join(names[:2])} … {names[-1]} ({len(names)})"
    return ", ".join(names) or "none"


def au_scores(model, outputs):
    """AU values [N,A] in [0, 1] from a classifier's outputs: `au`, or the mean of the six levels /
    5."""
    if "au" in outputs:
        return outputs["au"]
    if "au_level" in outputs:
        return outputs["au_level"] @ np.linspace(0, 1, outputs["au_level"].shape[2],
                                                 dtype=np.float32)
    raise BadInput(f"{model.path}: has no AU output (it gives {', '.join(model.outputs)}); "
                   "give an AU classifier")


def stored_thresholds(model, output="au", default=0.5):
    """Thresholds, float64 [A], of an AU output, `au` or `au_present`, as the metadata write them:
    0.35 is printed as 0.35. `default` where none is stored."""
    stored = model.meta.get(THRESHOLDS[output]) or {}
    return np.array([stored.get(name, default) for name in model.aus], np.float64)


def reference_images(model, manifest):
    """The reference of each row (lib.references.of_rows) for models with an input `reference`;
    else None."""
    if "reference" not in model.inputs:
        return None
    return references.of_rows(manifest, model.image_size, model.path)


def shard(text, total):
    """'2/4' -> the second quarter of range(total), a slice; '' is everything. ValueError for
    anything else."""
    if not text:
        return slice(0, total)
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise ValueError(f"--shard {text}: say i/n, 1/4 to 4/4 for four parts")
    start, stop = (int(part) - 1) * total // int(parts), int(part) * total // int(parts)
    if start == stop:
        raise BadInput(f"--shard {text} of {total} images is empty; use fewer parts")
    return slice(start, stop)
