"""Action units of the renderer: which face units each moves, by how much, and what excludes what.

P. Ekman, W. Friesen, J. Hager, "Facial Action Coding System", 2002. Level 1.0 is FACS level E.
Labels here are the cause of the image, not a reading of it: intensity a of an AU is rendered as a.
"""
import numpy as np

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 23, 24, 25, 26, 27, 43)
NAMES = tuple(f"AU{au:02d}" for au in AUS)
INDEX = {au: i for i, au in enumerate(AUS)}

# Face unit -> weight at level 1; a name without a side stands for Left and Right.
# Weights above 1 where the unit alone is weaker than an E-level action of a real face.
TABLE = {1: {"browInnerUp": 1.7}, 2: {"browOuterUp*": 1.6}, 4: {"browDown*": 1.5},
         5: {"eyeWide*": 1.45}, 6: {"cheekSquint*": 1.15, "eyeSquint*": 0.4},
         7: {"eyeSquint*": 1.5, "eyeBlink*": 0.4}, 9: {"noseSneer*": 1.7, "mouthUpperUp*": 0.25},
         10: {"mouthUpperUp*": 1.35}, 12: {"mouthSmile*": 0.95}, 14: {"mouthDimple*": 1.1},
         15: {"mouthFrown*": 1.6}, 17: {"mouthShrugLower": 1.5, "mouthShrugUpper": 0.9},
         18: {"mouthPucker": 1.4}, 20: {"mouthStretch*": 1.7},
         23: {"mouthRollLower": 0.75, "mouthRollUpper": 0.6, "mouthPucker": 0.35},
         24: {"mouthPress*": 0.55, "mouthShrugLower": 0.5, "mouthRollUpper": 0.35,
              "mouthRollLower": 0.25},
         25: {"mouthLowerDown*": 1.5, "mouthUpperUp*": 0.35},
         43: {"eyeBlink*": 1.0}}
REST = {"mouthLowerDown*": -0.2}  # the model's neutral lips leave a gap of a millimetre
JAW = "jawOpen"
JAW_DROP, JAW_STRETCH = 0.42, 0.40  # AU26 opens the jaw to 0.42, AU27 from there to 0.82
LEAST_AU27 = 0.2                    # below, a stretched mouth is a dropped jaw

# An open jaw parts the lips: AU25 is at least this share of AU26 or AU27, and is rendered so.
LIPS_BY_JAW = {26: 0.6, 27: 0.8}

# Muscles that pull against each other, or that hide each other.
IMPOSSIBLE = ((26, 27), (5, 43), (7, 43), (6, 43), (23, 24), (18, 12), (18, 14), (18, 20),
              (18, 15), (18, 23), (18, 24), (18, 27), (17, 26), (17, 27), (17, 25), (17, 10),
              (23, 25), (23, 26), (23, 27), (24, 25), (24, 26), (24, 27), (24, 10), (23, 10),
              (24, 20), (23, 20), (14, 15), (14, 20), (14, 26), (14, 27), (12, 15), (12, 20),
              (9, 5), (1, 9), (15, 27), (15, 10))


def possible(levels):
    """Levels [N,20] with impossible pairs resolved (the stronger stays) and AU25 made to follow
    the jaw."""
    levels = np.array(levels, np.float64)
    jaw = INDEX[27]
    levels[:, jaw] = np.where(levels[:, jaw] > 0, np.maximum(levels[:, jaw], LEAST_AU27), 0)
    for one, other in IMPOSSIBLE:
        i, j = INDEX[one], INDEX[other]
        both = (levels[:, i] > 0) & (levels[:, j] > 0)
        weaker = levels[:, i] < levels[:, j]
        levels[both & weaker, i] = 0
        levels[both & ~weaker, j] = 0
    lips = INDEX[25]
    for au, share in LIPS_BY_JAW.items():
        levels[:, lips] = np.maximum(levels[:, lips], share * levels[:, INDEX[au]])
    return levels


def face_weights(left, right, unit_names):
    """Face unit weights [N,52] from AU levels of the person's left and right half, each [N,20]."""
    column = {name: i for i, name in enumerate(unit_names)}
    weights = np.zeros((len(left), len(unit_names)))
    middle = (left + right) / 2

    def add(name, weight, half):
        if name.endswith("*"):
            weights[:, column[name[:-1] + "Left"]] += weight * half[0]
            weights[:, column[name[:-1] + "Right"]] += weight * half[1]
        else:
            weights[:, column[name]] += weight * half[2]

    for au, units in TABLE.items():
        i = INDEX[au]
        for name, weight in units.items():
            add(name, weight, (left[:, i], right[:, i], middle[:, i]))
    for name, weight in REST.items():
        add(name, weight, (1.0, 1.0, 1.0))
    drop, stretch = middle[:, INDEX[26]], middle[:, INDEX[27]]
    wide = np.where(stretch > 0, JAW_DROP + JAW_STRETCH * stretch, 0)
    weights[:, column[JAW]] += JAW_DROP * drop + wide
    for side in ("Left", "Right"):  # a lid cannot close further than shut
        blink = weights[:, column["eyeBlink" + side]]
        np.minimum(blink, 1.0, out=blink)
    return weights
