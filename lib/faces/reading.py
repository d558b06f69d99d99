"""What a classifier reads in photos: faces found, registered as it was trained, and read.

    levels = read_face(reader, photo, face)      # {AU: level in [0, 1]} of one face
    pictures, found = registered(paths, "tight", 96)
"""
import numpy as np

from lib import images
from lib.cli import BadInput, progress
from lib.faces import align, landmarks, models
from lib.manifest import mode as mode_of

# shifts (of the picture's side) and sizes of the crops that a face is read in, which are averaged
CROPS = ((0, 0, 1), (.02, 0, 1), (-.02, 0, 1), (0, .02, 1), (0, -.02, 1), (0, 0, 1.04), (0, 0, .96))
USUAL = "tight"  # the framing of rendered faces, for models that name no registration


def mode_for(model):
    """How a model's images are registered, one of align.MODES. BadInput for a mode that is not
    known here."""
    mode = mode_of(model.meta.get("registration") or "") or USUAL
    if mode not in align.MODES:
        raise BadInput(f"{model.path}: expects registration {mode!r}, which is not known here; "
                       f"known are {', '.join(align.MODES)}")
    return mode


def crops(photo, face, mode, size):
    """A face registered a little differently each time, uint8 [K,S,S,3], and mirrored:
    [2K,S,S,3]."""
    if mode == "3d":
        cut = [align.register(photo, face, mode, size)[0]]
    else:
        cut = []
        for across, down, larger in CROPS:
            matrix = align.MATRICES[mode](face.points, size) * larger
            matrix[:, 2] += size * (np.array([across, down]) + (1 - larger) / 2)
            cut.append(align.warp(photo, matrix, size))
    return np.stack([*cut, *(picture[:, ::-1] for picture in cut)])


def read_face(reader, photo, face):
    """{AU: level in [0, 1]} that a classifier (lib.onnx_runtime.Model) reads in a photo's face, as
    the mean over several crops. photo: uint8 [H,W,3]; face: landmarks.Face."""
    from lib.onnx_runtime import au_scores

    pictures = crops(photo, face, mode_for(reader), reader.image_size)
    scores = au_scores(reader, reader.once(image=pictures)).clip(0, 1).mean(0)
    return dict(zip(reader.aus, np.round(scores, 4).tolist()))


def registered(paths, mode, size):
    """The largest face of each photo: (uint8 [N,S,S,3], confidence float [N], reason [N], '' where
    there is one).

    A photo without a face, or that cannot be read, gives a black picture, confidence 0 and the
    reason."""
    models.check()
    pictures = np.zeros((len(paths), size, size, 3), np.uint8)
    confidence, reasons = np.zeros(len(paths)), [""] * len(paths)
    for i, path in enumerate(progress(paths, what="finding faces", unit="image")):
        try:
            photo = images.load(path)
        except BadInput as error:
            reasons[i] = str(error)
            continue
        faces = landmarks.faces_in(photo)
        if not faces:
            reasons[i] = f"{path}: no face found"
            continue
        pictures[i], _ = align.register(photo, faces[0], mode, size)
        confidence[i] = faces[0].confidence
    return pictures, confidence, reasons
