"""Real faces: finding them, registering them (crop, 2D, 3D), turning and pasting them, frames of
videos.

    geometry.py   similarities, rotations, the frontal template
    raster.py     a z-buffer in NumPy
    models.py     the networks inside a PyPI wheel
    detect.py     boxes, which face to keep
    landmarks.py  468 points with depth and a confidence
    align.py      crop, 2D and 3D registration
    register.py   whole data sets: the command
    pose.py       turning faces to other poses
    sources.py    what is to be registered, in order
    journal.py    what has been, for the next run
    workers.py    work spread over processes
    video.py      frames and manifests of videos
    paste.py      one photo: find, edit, paste back
    template.py   makes the frontal template
    measure.py    is 3D nearer than 2D?
    portraits.py  rendered people for both

Nothing here imports torch, save template.py and measure.py, which render faces through
portraits.py.
"""
