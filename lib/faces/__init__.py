"""Real faces: finding them, registering them (crop, 2D, 3D), turning and pasting them, frames of videos.

    geometry.py   similarities, rotations, the frontal template     raster.py    a z-buffer in NumPy
    models.py     the networks inside a PyPI wheel                  detect.py    boxes, which face to keep
    landmarks.py  468 points with depth and a confidence            align.py     crop, 2D and 3D registration
    register.py   whole data sets, resumable                        pose.py      turning faces to other poses
    video.py      frames and manifests of videos                    paste.py     one photo: find, edit, paste back
    template.py   makes the frontal template                        measure.py   is 3D nearer than 2D?

Nothing here imports torch, save template.py and measure.py, which render faces.
"""
