# Every condition: what a classifier learns from, one line each. `make help` prints these lines (see docs/results.md).
# `make faces-em` makes the condition em, `make mnist-em` the same on the MNIST grid, where edits are of all grids and
# make one digit present (level 1).
#
# without generated images
#   supervised          labelled images
#   upsampled           labelled images, rare AUs more often
#   upsampled-longer    upsampled, then 300 steps more: the counterpart of those that end in -first
#   printed             labelled images, with the thesis's Table 1: mse until validation gets no better, no
#                       dropout, augmentation or averaging
#   upsampled-printed   upsampled, with Table 1 as printed
#   balanced-real       labelled images, drawn so that six levels of every AU come equally often
#   pseudo              labelled images, and unlabelled ones as supervised reads them
#   pseudo-hard         pseudo, with labels of 0 or 1
#   pseudo-balanced     pseudo, with the surest labels of each AU only
#   pseudo-masked       pseudo, without labels that are unsure (MASK=0.5)
#   pseudo-upsampled    pseudo, as upsampled reads them, rare AUs more often
#   pseudo-first        pseudo-upsampled, then 300 steps with labelled images alone
#   pseudo-5x           pseudo-upsampled (not pseudo), with five times as many unlabelled images (rendered faces only)
#   pseudo-round2       pseudo-upsampled once more, with unlabelled images as pseudo-upsampled reads them
#   mean-teacher        upsampled, and unlabelled images that the averaged weights label while training goes on
#   reweighted          pseudo, weighted until AUs are as frequent as in em
#   truth               pseudo, with true labels: the best of pseudo-labels (not with your own data)
WITHOUT_EDITS := supervised upsampled upsampled-longer printed upsampled-printed balanced-real \
  pseudo pseudo-hard pseudo-balanced pseudo-masked pseudo-upsampled pseudo-first pseudo-5x pseudo-round2 \
  mean-teacher reweighted truth

# with edits
#   em                  labelled images, and neutral faces edited to one AU each at level 0.7
#   em-printed          em, with Table 1 as printed
#   em-activate-printed em-activate, with Table 1 as printed
#   em-checked          em, without edits that a second classifier does not confirm (CHECKER=FILE.onnx: another)
#   em-relabelled       labelled images, and edits with the labels that this second classifier reads
#   em-confident        em-relabelled, each edit with the confidence of its reading as weight
#   em-rare             labelled images, and edits to the rarest AUs only (RARE=rarest:5)
#   em-ratio            em, with edits of weight RATIO=0.5 (the condition em-ratio-0.5); labelled images have weight 1
#   em-mixed            em, and edits to the AUs of labelled rows; edits have half the weight
#   em-deactivate       labelled images, and faces with one of their AUs switched off
#   em-activate         labelled images, and labelled faces that show one AU more, at levels 0.3 to 1 (MNIST: at 1)
#   em-activate-pseudo  pseudo, and the unlabelled images once more, with an edit that shows one AU more
#   em-emotions         labelled images, and neutral faces with the AUs of an emotion
#   upsampled-em        upsampled, and edits to one AU each at levels 0.3 to 1
#   upsampled-em-activate  upsampled, and labelled faces that show one AU more
#   upsampled-em-mixed  upsampled-em, and edits to true rows, so that levels 1 to 5 of every AU come equally often
#   em-first            upsampled-em, then 300 steps with labelled images alone
#   em-activate-first   upsampled-em-activate, then 300 steps with labelled images alone
#   em-activate-then-labelled  em-activate, then 300 steps with labelled images alone, rare AUs as often as they are
#   balanced            edits alone, with six levels of every AU equally often
WITH_EDITS := em em-printed em-activate-printed em-checked em-relabelled em-confident em-rare em-ratio em-mixed em-deactivate \
  em-activate em-activate-pseudo em-emotions upsampled-em upsampled-em-activate upsampled-em-mixed em-first \
  em-activate-first em-activate-then-labelled balanced
