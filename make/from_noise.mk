# Faces and digits from noise, and discriminators that read AUs, valence and arousal. The Makefile calls it.
include make/settings.mk
include make/samplers.mk
include make/digits.mk
include make/open_problem.mk
