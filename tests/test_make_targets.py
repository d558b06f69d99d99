"""What `make -n` of the protocols' targets says it will run: the commands that a person would
type."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.evaluation import comparison

ROOT = Path(__file__).parents[1]
EXPECTED = {  # target and variables: pieces of the commands that it runs
    "faces-supervised": ["train_classifier.py", "--losses au=bce"],
    "faces-balanced": ["--recipe balanced --targets",
                       "--train runs/quick/faces/balanced/synthetic"],
    "faces-printed": ["--resume --dropout 0"],
    "faces-em-printed": ["em/synthetic/manifest.csv", "--resume --dropout 0"],
    "faces-em-activate-printed": ["em-activate/synthetic/manifest.csv", "--resume --dropout 0"],
    "faces-upsampled-printed": ["--upsample 3000", "--resume --dropout 0"],
    "faces-balanced-real": ["lib.balance data/quick/faces/labelled.csv --levels --count 3000"],
    "faces-em-activate-first": ["--recipe activate --level-range 0.3 1", "--upsample 3000",
                                "--init runs/"],
    "mnist-em-activate-pseudo EPOCHS=10": [
        "--source runs/quick/mnist-medium-3000/pseudo/seed1/pseudo.csv --recipe activate --level 1"
        " --sources all",
        "labelled.csv runs/quick/mnist-medium-3000-epochs10/pseudo/seed1/pseudo.csv"
        " runs/quick/mnist-medium-3000/em-activate-pseudo/synthetic/manifest.csv",
        "--out runs/quick/mnist-medium-3000-epochs10/em-activate-pseudo/seed1/classifier.pt",
    ],
    "faces-em-first": ["--recipe single-au --level-range 0.3 1", "--upsample 3000", "--init runs/"],
    "faces-em-rare": ["--aus rarest:5 --recipe single-au",
                      "--train data/quick/faces/labelled.csv runs/quick/faces/em-rare/synthetic"],
    "faces-em-relabelled": ["--check runs/quick/faces/supervised/seed2/classifier.onnx --relabel",
                            "labelled.csv runs/quick/faces/em-relabelled/synthetic/manifest.csv"],
    "faces-em-confident": ["lib.balance runs/quick/faces/em-relabelled/synthetic/manifest.csv"
                           " --by confidence --out runs/quick/faces/em-confident/weighted.csv",
                           "labelled.csv runs/quick/faces/em-confident/weighted.csv"],
    "faces-em-ratio RATIO=0.3 SEED=2": [
        "em/synthetic/manifest.csv --weights 1 0.3 --validation",
        "--out runs/quick/faces/em-ratio-0.3/seed2/classifier.pt --seed 2",
    ],
    "mnist-em-rare RARE=rarest:2": ["--aus rarest:2 --recipe single-au --level 1"],
    "mnist-em-first": ["mnist-medium-3000/em-range/synthetic",
                       "--recipe single-au --level 1 --sources all",
                       "--max-steps 300 "],
    "mnist-supervised N=30000": ["--max-steps 3600 "],
    "mnist-supervised N=30000 PRESET=long": ["--max-steps 3600 "],
    "mnist-supervised N=30000 PRESET=smoke": ["mnist-medium-300/supervised", "--max-steps 40 "],
    "mnist-supervised PRESET=long": ["--max-steps 3000 "],
    "mnist-em-confident": ["--relabel --recipe single-au --level 1", "--by confidence"],
    "mnist-em-ratio": ["--weights 1 0.5", "mnist-medium-3000/em-ratio-0.5/seed1/report.json"],
    "compare-faces BESIDES=em-ratio-0.1": ["--weights 1 0.1", "em-ratio-0.1/seed3/report.json"],
    "faces-va": ["--tasks va --losses va=ccc"],
    "faces-expressions": ["--tasks expression"],
    "faces-va-mse": ["--tasks va --losses va=mse"],
    "faces-joint": ["--tasks au va expression --losses au=bce va=mse"],
    "faces-joint-ccc": ["--tasks au va expression --losses au=bce va=ccc"],
    "faces-joint PRESET=paper": ["--tasks au va expression --losses va=mse"],
    "faces-emotions": ["--recipe emotions", "--tasks expression"],
    "faces-pseudo SEED=4": ["pseudo_label.py", "--train data/quick/faces/labelled.csv runs/"],
    "faces-pseudo-5x": ["pseudo_label.py", "5x/unlabelled.csv"],
    "faces-pseudo-5x SEED=2": ["--model runs/quick/faces/upsampled/seed2/", "--upsample 3000"],
    "faces-pseudo-masked": ["--mask-confidence 0.5",
                            "labelled.csv runs/quick/faces/pseudo-masked/seed1/pseudo.csv"],
    "faces-pseudo-round2": ["--model runs/quick/faces/pseudo-upsampled/seed1/classifier.onnx",
                            "labelled.csv runs/quick/faces/pseudo-round2/seed1/pseudo.csv --ups"],
    "faces-pseudo-round2 SEED=4": ["--model runs/quick/faces/pseudo-upsampled/seed4/"],
    "faces-pseudo-first": ["--init runs/quick/faces/pseudo-upsampled/seed1/classifier.pt",
                           "--max-steps 300 --learning-rate 3e-4"],
    "mnist-pseudo-round2": ["--model runs/quick/mnist-medium-3000/pseudo-upsampled/seed1/"],
    "faces-mean-teacher PRESET=smoke": ["--unlabelled", "--ema 0.99"],
    "compare-pseudo SEEDS=3": ["pseudo-upsampled/seed3/report.json", "pseudo-5x/seed3/report.json"],
    "compare-faces SEEDS=3 BESIDES=pseudo-round2": ["pseudo-upsampled/seed3/classifier.onnx"],
    "faces-mean-teacher": ["--unlabelled data/quick/faces/unlabelled.csv",
                           "lib.model_card runs/quick/faces/mean-teacher/seed1/classifier.onnx",
                           "--licence 'rendered faces: CC0'"],
    "faces-personalised": ["lib.references", "synthesize.py", "--assume-neutral", "--personalise"],
    "faces-normalised": ["lib.references", "--reference"],
    "compare-faces SEEDS=2": [
        "personal/seed2/generic/report.json", "runs/quick/faces/personal/seed2/personal/{subject}",
        "--compare runs/quick/faces/personal/seed2/personal/$file --against"
        " runs/quick/faces/personal/seed2/generic/$file"],
    "compare-personal": ["lib.datasets.split runs/quick/faces/personal/seed1/test_natural.csv",
                         "--folds 3", "--train runs/quick/faces/personal/seed1/target-domain/fold3",
                         "--model 'runs/quick/faces/personal/seed1/target-domain/{subject}.onnx'",
                         "lib.evaluation.feature_maps runs/quick/faces/supervised/seed1/"],
    "faces-networks": ["--arch vgg16", "--aus AU12 --per-au", "--losses au_level=ce", "--size 224",
                       "--test runs/quick/faces/networks/few/test.csv"],
    "faces-networks NETWORKS=resnet50 NETWORK_AUS=AU01 PRESET=paper": [
        "--arch resnet50", "--epochs 10 --pretrained imagenet", "--test data/paper/faces/test_nat",
        "--reports runs/paper/faces/networks/resnet50/seed1/report-AU01.json"],
    "faces-sources": ["--look world --seed 7", "lib.balance data/quick/faces-world/labelled.csv",
                      "--images data/quick/faces-world/labelled.csv --relabel",
                      "--targets data/quick/faces/labelled.csv --recipe balanced",
                      "--test data/quick/faces-world/test_natural.csv"],
    "compare-personal ACROSS=1": [
        "lib.references data/quick/faces-world/test_natural.csv --by least --model runs/quick/",
        "lib.datasets.split runs/quick/faces/personal-across/seed1/test.csv --out",
        "--model 'runs/quick/faces/personal-across/seed1/personal/{subject}.onnx' > runs/quick",
        "lib.evaluation.personal_table runs/quick/faces/personal-across/seed1/generic/report.json"],
    "compare-personal ACROSS=1 OTHER=disfa": [
        "lib.references disfa/test.csv --by least", "runs/quick/faces/personal-across-disfa/seed1"],
    "compare-domain": ["--fractions 0.1 0 0.9", "--weights 1 0.5 --upsample 3000",
                       "--init runs/quick/faces/sources/home/seed3/classifier.pt",
                       "--max-steps 300 --learning-rate 3e-4", "lib.evaluation.source_table"],
    "compare-sources OTHER=disfa": ["lib.evaluation.source_table", "--test disfa/test.csv",
                                    "runs/quick/faces/sources-disfa/real-other/seed1"],
    "results-domain OTHER=../bp4d/": ["runs/quick/faces/sources-..-bp4d/few/seed1",
                                      "runs/results/quick/faces/domain-..-bp4d/table.md"],
    "results-faces-paired SEEDS=2 BEST=em-mixed BASE=em": [
        "; } > runs/results/quick/faces/paired/em-mixed-against-em.md",
        "--against runs/quick/faces/em/seed2/$file"],
    "results-mnist-paired SEEDS=1": [
        "> runs/results/quick/mnist-medium-3000/paired/em-activate-against-pseudo.md"],
    "faces-gan": ["pseudo_label.py --model", "--arch gan", "samplers/gan/pseudo.csv"],
    "faces-categorical-gan": ["--arch categorical-gan", "samplers/categorical-gan/pseudo.csv"],
    "faces-multitask-gan": ["--arch multitask-gan", "samplers/multitask-gan/pseudo.csv"],
    "faces-conditional-wgan": ["conditional-wgan/seed1/training_samples/manifest.csv",
                               "--upsample"],
    "compare-samplers": ["--arch relativistic-sampler", "--arch gan", "--identity"],
    "compare-digits": ["lib.datasets.mnist_digits", "--arch conditional-wgan", "--identity"],
    "open-problem": ["--preset joint --tasks au va", "--arch multitask-gan --train",
                     "--as classifier --validation"],
    "open-problem-grid": [
        "grid-va-0.001-u2-a0.9/seed1/generator.pt",
        "learning_rate=0.001 update_rate=2 alpha=0.9",
        "lib.evaluation.loss_curves",
    ],
    "compare-editors EDITOR_SEEDS=2": [
        "GENERATOR_SEED=2 runs/quick/faces/generators/stargan/seed2/generator.onnx",
        "> runs/quick/faces/generators/stargan-strong/seed2/report_aus.json.tmp",
        "> runs/quick/faces/generators/warp-editor/seed2/report_aus.json.tmp",
        "--out runs/quick/faces/generators/aus.png",
    ],
    "results-editors EDITOR_SEEDS=1": [
        "cp --parents warp-editor/seed1/report_aus.json",
        "fexgan-expressions/seed1/report_expressions.json aus.png expressions.png",
    ],
    "idiosyncratic": [
        "--out runs/quick/faces/generators/ganimation-no-pairs/seed1/generator.pt",
        "w_pair=0 shares=single=1,permuted=1 critic_every=1 cycle_every=1",
    ],
    "discriminators": [
        "--as classifier --validation data/quick/faces/validation.csv "
        "--out runs/quick/faces/ganimation-discriminator-g1/seed1/classifier.onnx",
        "runs/quick/faces/stargan-discriminator-g1/seed1/report_natural.json",
    ],
    "fexgan-table EDITOR_SEEDS=2": [
        "fexgan-expressions/seed2/generator.pt --as classifier",
        "--recipe expressions --sources all --count $(",
        "--as sampler",
        "--recipe mix",
        "lib.evaluation.discriminator_table",
    ],
    "mnist-tune NOISE=0.4": ["--tuning-per-au 200", "--noise 0.4", "--test data/quick/mnist-noise"],
}


def plan(folder, *arguments):
    """What make would run in a fresh copy of the makefiles, one line a command."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "make", folder / "make", dirs_exist_ok=True)
    for needed in ROOT.glob("requirements*.txt"):
        shutil.copy(needed, folder)
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("\\\n", " ")


def before_personal(text):
    """What is planned before the personal models, whose tables stand below the others."""
    return text.split("make -f make/personal.mk")[0]


def table(text):
    """The reports that make puts in its last tables, but those of personal models."""
    lines = [line for line in before_personal(text).splitlines() if "evaluate.py --compare" in line]
    return [line for line in lines if ".json" in line][-1].split()


@pytest.mark.parametrize("target", EXPECTED)
def test_target_runs_what_it_says(target, tmp_path):
    text = " ".join(plan(tmp_path, *target.split()).split())
    for piece in EXPECTED[target]:
        assert piece in text, piece
    assert "evaluate.py" in text


@pytest.mark.parametrize("preset", ["smoke", "quick", "long"])
def test_shares_of_a_split_add_up_to_1(preset, tmp_path):
    for target in ("faces-networks", "compare-domain"):
        text = plan(tmp_path, target, f"PRESET={preset}")
        (shares,) = {line.split("--fractions ")[1] for line in text.splitlines()
                     if "--fractions " in line}
        assert sum(map(float, shares.split()[:3])) == pytest.approx(1), target


def test_discriminators_without_aus_choose_no_thresholds(tmp_path):
    exported = [line for line in plan(tmp_path, "open-problem", "SEEDS=1").splitlines()
                if "export_onnx.py" in line and "--as classifier" in line]
    assert {"/d-va/" in line for line in exported} == {True, False}
    for line in exported:
        assert ("--validation" in line) == ("/d-va/" not in line), line


def test_the_models_of_people_have_their_cards_in_one_call(tmp_path):
    text = plan(tmp_path, "compare-personal")
    for row in ("personal", "last-layer", "target-domain"):
        place = f"runs/quick/faces/personal/seed1/{row}"
        cards = [" ".join(line.split()) for line in text.splitlines()
                 if f"lib.model_card '{place}/{{subject}}.onnx'" in line]
        assert len(cards) == (1 if row == "target-domain" else 2)  # after each test
        for line in cards:
            assert f"--licence 'rendered faces: CC0' --reports $(ls {place}/report.json" in line
            assert f" {place}/report_natural.json 2> /dev/null)" in line
        assert text.index(f"--model '{place}/") < text.index(f"lib.model_card '{place}/")


def test_folds_split_people_first(tmp_path):
    text = plan(tmp_path, "-f", "make/folds.mk", "FOLDS=disfa", "folds")
    assert "lib.datasets.split" in text and "--protocol disfa" in text
    assert "--folds 3" in plan(tmp_path, "-f", "make/folds.mk", "folds")


def test_folds_of_your_own_data_need_no_other_sets(tmp_path):
    (tmp_path / "all.csv").touch()
    own = ["faces-folds", "FOLDS=disfa", "NAME=disfa", "LABELLED=all.csv"]
    text = plan(tmp_path, *own)
    assert "lib.datasets.split all.csv --out runs/quick/disfa/folds-disfa" in text
    assert "lib.manifest check" not in text
    text = plan(tmp_path, "-f", "make/folds.mk", "pooled", *own[1:])
    assert "--compare" in text


def test_where_the_environment_is_ready_folds_are_made_and_make_alone_helps(copy):
    text = plan(copy, "faces-folds", "FOLDS=3")
    assert "lib.datasets.split data/quick/faces/labelled.csv" in text and "evaluate.py" in text
    assert plan(copy).startswith("echo 'make faces-em ")


def test_each_fold_is_trained_and_all_are_pooled(copy):
    split = copy / "runs/quick/faces/folds-3"
    for fold in ("fold1", "fold2"):
        (split / fold).mkdir(parents=True)
        (split / fold / "test.csv").touch()
    text = plan(copy, "faces-folds", "STRIDE=5")
    for fold in ("fold1", "fold2"):
        place = f"runs/quick/faces/folds-3/{fold}"
        assert f"--train {place}/labelled.csv --validation {place}/validation.csv" in text
        assert f"--test {place}/test.csv --stride 5" in text
        assert f"lib.model_card {place}/seed1/classifier.onnx" in text
    last = [line for line in text.splitlines() if "--compare" in line][-1]
    assert last.split()[-2:] == [f"runs/quick/faces/folds-3/{fold}/seed1/predictions-5.csv"
                                 for fold in ("fold1", "fold2")]


@pytest.mark.parametrize("given, place", [
    ([], "quick/faces/folds-3/table.md"),
    (["STRIDE=5"], "quick/faces/folds-3/table-stride5.md"),
    (["SEED=2", "STRIDE=5", "PRESET=long"], "long/faces/folds-3/table-seed2-stride5.md"),
    (["FOLDS=disfa", "NAME=disfa", "LABELLED=all.csv"], "quick/disfa/folds-disfa/table.md"),
])
def test_the_table_of_folds_is_kept_as_it_is_printed(given, place, copy):
    (copy / "all.csv").touch()
    table = copy / "runs" / place
    for fold in ("fold1", "fold2"):
        (table.parent / fold).mkdir(parents=True)
        (table.parent / fold / "test.csv").touch()
    printed, kept = (plan(copy, goal, *given).splitlines()
                     for goal in ("faces-folds", "results-folds"))
    (command,) = [line for line in printed if "evaluate.py --compare" in line]
    assert f"runs/{Path(place).parent}/fold2/seed" in command
    place = f"runs/results/{place}"
    assert [line for line in kept if "evaluate.py --compare" in line] == [
        f"{command} > {place}.tmp && mv {place}.tmp {place}"]
    assert f"mkdir -p {Path(place).parent}/" in kept


def test_further_conditions_stand_in_the_tables(tmp_path):
    besides = "BESIDES=em-first em-rare"
    reports = table(plan(tmp_path, "compare-faces", besides, "SEEDS=1"))
    for condition in ("supervised", "em", "em-first", "em-rare", "truth"):
        assert reports.count(f"runs/quick/faces/{condition}/seed1/report_natural.json") == 1
    two = ["compare-faces", "CONDITIONS=supervised em", "SEEDS=1"]
    reports = table(plan(tmp_path, *two)) + table(plan(tmp_path, *two, "BESIDES=em-rare"))
    names = [word.split("/")[3] for word in reports if word.endswith("/report.json")]
    assert names == ["supervised", "em", "supervised", "em", "em-rare"]


def test_the_tables_of_faces_have_what_a_reader_expects(tmp_path):
    reports = table(plan(tmp_path, "compare-faces", "SEEDS=1"))
    names = [word.split("/")[3] for word in reports if word.endswith("/report.json")]
    assert names == ["supervised", "upsampled", "upsampled-longer", "pseudo",
                     "pseudo-upsampled", "pseudo-5x", "reweighted", "em", "em-activate-first",
                     "balanced-real", "balanced", "truth"]
    (tmp_path / "x.csv").touch()
    own = [f"{part}=x.csv" for part in ("LABELLED", "UNLABELLED", "VALIDATION", "TEST")]
    own_names = [word.split("/")[3] for word in table(plan(tmp_path, "compare-faces", *own))
                 if word.endswith("/seed1/report.json")]
    assert own_names == [name for name in names if name not in ("pseudo-5x", "truth")]


def test_edits_of_your_own_data_start_from_what_they_have(tmp_path):
    (tmp_path / "x.csv").touch()
    own = [f"{part}=x.csv" for part in ("LABELLED", "UNLABELLED", "VALIDATION", "TEST")]
    sources = "SYNTHESIS_faces=--recipe single-au --level 0.7 --sources all"
    text = plan(tmp_path, "compare-faces", "SEEDS=1", "NAME=own", sources, *own)
    made = [line for line in text.splitlines() if " synthesize.py " in line]
    assert len(made) == 3 and all("--sources all" in line for line in made)
    (balanced,) = [line for line in made if "--recipe balanced" in line]
    assert "--classifier runs/quick/own/supervised/seed1/classifier.onnx" in balanced
    assert "--classifier" not in plan(tmp_path, "faces-balanced")


def paired(text):
    """The commands behind the paired differences, as words; the loop's variable is $file."""
    text = " ".join(before_personal(text).split())
    return [part.split("; done")[0] for part in text.split("for file in ")[1:]]


def test_the_second_of_two_conditions_may_have_learnt_for_other_epochs(tmp_path):
    goal = ["results-faces-paired", "SEEDS=1", "BEST=em", "BASE=upsampled", "EPOCHS=30"]
    (command,) = paired(text := plan(tmp_path, *goal, "BASE_EPOCHS=45"))
    of = "runs/quick/faces{}/seed1/$file"
    assert f"--compare {of.format('-epochs30/em')} --against {of.format('-epochs45/upsampled')}" \
        in command
    assert "> runs/results/quick/faces-epochs30/paired/em-against-upsampled-epochs-45.md" in text
    for epochs, options in (("30", "--epochs 30"), ("45", "--epochs 45")):
        assert re.search(rf"--out \S*faces-epochs{epochs}/\S* .*{options} ", text)
    (command,) = paired(text := plan(tmp_path, *goal, "BASE_EPOCHS=usual"))
    assert f"--against {of.format('/upsampled')}" in command
    assert re.search(r"--out \S*faces/upsampled/seed1/\S* .*--max-steps 900 ", text)
    done = subprocess.run(["make", "-n", "compare-faces", "BASE_EPOCHS=45"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "BASE_EPOCHS=45: compare-faces does not depend on it" in done.stderr


def test_differences_of_two_conditions_stand_below_the_tables(tmp_path):
    def files(condition):
        return " ".join(f"runs/quick/faces/{condition}/seed{seed}/$file" for seed in (1, 2))

    both = ["compare-faces", "SEEDS=1 2"]
    (command,) = paired(plan(tmp_path, *both))
    assert command.startswith("predictions.csv predictions_natural.csv; do")
    best, base = files("em-activate-first"), files("upsampled-longer")
    assert f"--compare {best} --against {base}" in command
    (command,) = paired(plan(tmp_path, *both, "GENERATOR_SEED=2"))
    assert f"--compare {files('warp-editor-g2-activate-first')} --against" in command
    given = ["SEEDS=1 2", "BEST=em", "BASE=pseudo"]
    (command,) = paired(plan(tmp_path, "compare-faces-paired", *given))
    assert f"--compare {files('em')} --against {files('pseudo')}" in command
    (command,) = paired(plan(tmp_path, *both, "REPORTS=report_validation.json"))
    assert command.startswith("predictions_validation.csv; do")
    assert not paired(plan(tmp_path, *both, "CONDITIONS=supervised em"))
    assert "mnist-medium-3000/em-activate/seed3/$file" in paired(plan(tmp_path, "compare-mnist"))[0]


@pytest.mark.parametrize("name, place", [("faces", "faces"), ("mnist", "mnist-medium-3000")])
def test_settings_are_chosen_on_validation_without_the_tests(name, place, tmp_path):
    besides = "BESIDES=em-ratio-0.1 em-ratio-0.3"
    text = plan(tmp_path, f"compare-{name}-validation", besides, "SEEDS=1", "PRESET=smoke")
    place = place.replace("3000", "300")
    for condition in ("supervised", "em", "em-ratio-0.1", "em-ratio-0.3"):
        assert f"runs/smoke/{place}/{condition}/seed1/report_validation.json" in text, condition
    assert f"--test data/smoke/{place}/validation.csv --predictions runs/" in text
    assert "test.csv" not in text and "test_natural.csv" not in text


def test_personal_models_are_read_on_the_tests_alone(tmp_path):
    for goal, given in [("compare-faces-development", "PRESET=smoke"),
                        ("compare-faces", "CONDITIONS=supervised em"),
                        ("compare-mnist", "BESIDES=personalised")]:
        assert "personal" not in plan(tmp_path, goal, given, "SEEDS=1"), goal


def test_development_sets_are_rendered_like_the_tests(tmp_path):
    text = plan(tmp_path, "compare-faces-development", "SEEDS=1", "PRESET=smoke",
                "CONDITIONS=supervised em", "BEST=em", "BASE=supervised")
    assert "--seed 101" in text
    data = "data/smoke/faces/"
    for name in ("test", "test_natural"):
        assert f"--test {data}development/{name}.csv" in text
        assert f"--test {data}{name}.csv" not in text
    assert "predictions_development.csv predictions_development_natural.csv; do" in text


def test_development_grids_are_of_validation_digits(tmp_path):
    text = plan(tmp_path, "compare-mnist-development", "SEEDS=1", "PRESET=smoke", "LEVEL=hard",
                "CONDITIONS=supervised em", "BEST=em", "BASE=supervised")
    data = "data/smoke/mnist-hard-300/"
    assert f"--out {data}development --level hard" in text
    assert "--seed 7 --pool-seed 0" in text and "--tuning-per-au 40" in text
    for name in ("tuning", "validation"):
        assert f"--test {data}development/{name}.csv" in text
    assert f"--test {data}test" not in text
    assert "predictions_development.csv predictions_development_natural.csv; do" in text


def test_equal_epochs_have_a_folder_of_their_own_and_the_same_edits(tmp_path):
    text = before_personal(
        plan(tmp_path, "compare-faces", "EPOCHS=30", "SEEDS=1", "BESIDES=em-checked"))
    of_epochs = [line for line in text.splitlines() if "--out runs/quick/faces-epochs30/" in line]
    trained = [line for line in of_epochs if "train_classifier.py" in line]
    assert len(trained) == 14  # the table's, em-checked and what em-activate-first begins with
    assert all("--epochs 30 --schedule cosine" in line for line in trained)
    # the second part of em-activate-first and upsampled-longer
    assert sum("--max-steps 300 " in line for line in trained) == 2
    assert sum("--max-steps" in line for line in trained) == 2
    usual = before_personal(plan(tmp_path, "compare-faces", "SEEDS=1", "BESIDES=em-checked"))
    for stage in ("train_generator.py", "synthesize.py"):
        made = [{line for line in lines.splitlines() if f" {stage} " in line}
                for lines in (text, usual)]
        assert made[0] == made[1] and all("epochs30" not in line for line in made[0]), stage
    assert all("/faces-epochs30/" in word for word in table(text) if word.endswith(".json"))
    results = plan(tmp_path, "results-mnist", "EPOCHS=10", "SEEDS=1").splitlines()
    assert any("runs/results/quick/mnist-medium-3000-epochs10" in line for line in results)


def test_what_does_not_depend_on_epochs_says_so(tmp_path):
    plan(tmp_path, "faces-em", "EPOCHS=30")
    done = subprocess.run(["make", "-n", "faces-va", "EPOCHS=30"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "EPOCHS=30: faces-va does not depend on it" in done.stderr


def conditions(tmp_path):
    """The names in make/conditions.mk: (those without edits, those with them)."""
    rule = "print: ; @echo '$(WITHOUT_EDITS)|$(WITH_EDITS)'"
    command = ["make", "-s", "-f", ROOT / "make/conditions.mk", "--eval", rule, "print"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    without, with_edits = said.split("|")
    return without.split(), with_edits.split()


def test_every_condition_has_a_line_where_people_look(tmp_path):
    without, with_edits = conditions(tmp_path)
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = [line.split()[0] for line in said.stdout.splitlines() if line.startswith("    ")
              and not line.startswith("     ")]
    assert sorted(listed) == sorted([*without, *with_edits])
    results, classifiers = ((ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
                            for name in ("results", "classifiers"))
    for name in listed:
        assert results.count(f"\n| `{name}` |") == 1, name
        assert f"`{name}`" in classifiers, name


def test_conditions_without_edits_are_baselines_of_the_tables(tmp_path):
    assert {*conditions(tmp_path)[0]} == {*comparison.BASELINES, *comparison.CEILINGS}


def test_in_a_table_without_edits_every_use_of_unlabelled_images_is_compared():
    runs = {name: [comparison.Run("quick", "faces", name, "1", "test",
                                  {"au": {"mean": {"f1": f1}}})]
            for name, f1 in (("supervised", 0.4), ("pseudo", 0.3), ("pseudo-5x", 0.5))}
    assert comparison.difference_notes(runs) == [
        "pseudo-5x - supervised: 10.0 F1 (1 seeds that both have). "
        "pseudo-5x - pseudo: 20.0 F1 (1 seeds that both have)."]
    runs["em"] = [comparison.Run("quick", "faces", "em", "1", "test",
                                 {"au": {"mean": {"f1": 0.6}}})]
    (line,) = comparison.difference_notes(runs)
    assert line.startswith("em - supervised: 20.0") and "em - pseudo-5x: 10.0 F1" in line


def test_uses_of_unlabelled_images_stand_in_order(tmp_path):
    last = plan(tmp_path, "compare-pseudo", "SEEDS=1").splitlines()[-1]
    reports = [word for word in last.split() if word.endswith("/report.json")]
    assert [word.split("/")[3] for word in reports] == [
        "supervised", "upsampled", "pseudo", "pseudo-hard", "pseudo-balanced", "pseudo-masked",
        "pseudo-upsampled", "pseudo-first", "pseudo-5x", "pseudo-round2", "mean-teacher", "truth"]


def test_other_editors_are_made_and_stand_in_the_table(tmp_path):
    arguments = ["ARCHS=ganimation warp-editor stargan", "SEEDS=1 2"]
    text = before_personal(plan(tmp_path, "compare-faces", *arguments))
    lines, reports = text.splitlines(), " ".join(table(text))
    for seed in (1, 2):
        for condition in ("em", "ganimation-g1", "stargan-g1"):
            place = f"runs/quick/faces/{condition}/seed{seed}"
            assert f"{place}/report.json {place}/report_natural.json" in reports, place
            assert any(f"--out {place}/classifier.pt" in line for line in lines), place
    trained = [line.split("--arch ")[1].split()[0] for line in lines if "--arch " in line]
    editors = [name for name in trained if name != "judge"]
    assert editors == ["warp-editor", "ganimation", "stargan"]
    assert "warp-editor-g1" not in reports and "ganimation" not in " ".join(
        plan(tmp_path, "compare-faces").splitlines()
    )


def test_the_usual_editor_from_another_seed_is_one_of_them(tmp_path):
    arguments = ["ARCHS=ganimation", "SEEDS=1", "GENERATOR_SEED=2"]
    reports = table(plan(tmp_path, "compare-faces", *arguments))
    for condition in ("warp-editor-g2", "ganimation-g2"):
        assert f"runs/quick/faces/{condition}/seed1/report.json" in reports


def test_a_checker_of_ones_own_gives_its_name_to_the_folder(tmp_path):
    (tmp_path / "mine.onnx").touch()
    for checker, file, name in (("judge", "judge/seed1000/classifier.onnx", "em-checked-by-judge"),
                                (tmp_path / "mine.onnx", "mine.onnx", "em-checked-by-mine")):
        said = plan(tmp_path, "faces-em-checked", f"CHECKER={checker}")
        assert re.search(rf"synthesize.py .*/{name}/synthetic .*--check \S*{file} ", said)
        assert f"{name}/seed1/report.json" in said
    done = subprocess.run(["make", "-n", "mnist-em-checked", "CHECKER=judge"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "CHECKER=judge: only rendered faces have a judge" in done.stderr


OF_SEED_2 = {  # goal: the folder of its classifier, with the edits of generator seed 2
    "em": "warp-editor-g2",
    "em-first": "warp-editor-g2-first",
    "em-printed": "warp-editor-g2-printed",
    "em-activate-printed": "warp-editor-g2-activate-printed",
    "em-checked": "warp-editor-g2-checked",
    "em-mixed": "warp-editor-g2-mixed",
    "em-rare": "warp-editor-g2-rare",
    "em-relabelled": "warp-editor-g2-relabelled",
    "em-confident": "warp-editor-g2-confident",
    "em-ratio": "warp-editor-g2-ratio-0.5",
    "em-deactivate": "warp-editor-g2-deactivate",
    "em-activate": "warp-editor-g2-activate",
    "em-activate-first": "warp-editor-g2-activate-first",
    "em-activate-pseudo": "warp-editor-g2-activate-pseudo",
    "em-activate-then-labelled": "warp-editor-g2-activate-then-labelled",
    "em-emotions": "warp-editor-g2-emotions",
    "upsampled-em": "upsampled-warp-editor-g2",
    "upsampled-em-activate": "upsampled-warp-editor-g2-activate",
    "upsampled-em-mixed": "upsampled-warp-editor-g2-mixed",
    "balanced": "balanced-warp-editor-g2",
    "pseudo-balanced": "pseudo-balanced",
}


@pytest.mark.parametrize("goal", OF_SEED_2)
def test_goals_say_em_whatever_made_the_edits(goal, tmp_path):
    text = plan(tmp_path, f"faces-{goal}", "GENERATOR_SEED=2")
    assert f"> runs/quick/faces/{OF_SEED_2[goal]}/seed1/report.json.tmp" in text
    assert "/em/" not in text and "/em-" not in text
    usual = OF_SEED_2[goal].replace("warp-editor-g2", "em") if "em" in goal else goal
    assert f"/faces/{usual}/seed1/report.json.tmp" in plan(tmp_path, f"faces-{goal}")


def test_each_task_is_read_alone_and_jointly_with_either_loss(tmp_path):
    last = plan(tmp_path, "compare-affect", "SEEDS=1").splitlines()[-1]
    assert re.findall(r"affect/(\S+)/seed1/report_natural.json", last) == [
        "va", "va-mse", "au", "joint", "joint-ccc", "expressions", "emotions"]


@pytest.mark.parametrize("target", ["compare-affect", "compare-expressions", "faces-normalised",
                                    "compare-sources", "compare-domain", "compare-registration"])
def test_a_model_that_is_tested_has_its_figures_in_its_card(target, tmp_path):
    lines = [" ".join(line.split()) for line in plan(tmp_path, target, "SEEDS=1").splitlines()]
    tests = re.compile(r"evaluate.py .*--model (\S+/)classifier.onnx .*> \1(report\S*)[.]tmp ")
    tested = [(found, after) for line, after in zip(lines, lines[1:])
              if (found := tests.search(line))]
    assert tested
    for found, card in tested:
        assert f" lib.model_card {found[1]}classifier.onnx --licence 'rendered" in card, found[0]
        assert found[1] + found[2] in card.split("--reports ")[1], found[0]


def test_the_licence_of_a_second_data_set_is_not_made_up(tmp_path):
    text = plan(tmp_path, "compare-domain", "SEEDS=1", "OTHER=disfa")
    card = text.split("lib.model_card runs/quick/faces/sources-disfa/all/seed1/")[1].splitlines()[0]
    assert "--reports" in card and "--licence" not in card


def written(text):
    """{what a plan writes: the command that writes it}"""
    made = {}
    for line in text.splitlines():
        for place in re.findall(r"(?:--out|--predictions|>|cp .*?) '?(runs/[^ ']+)", line):
            assert made.setdefault(place, line) == line, place
    return made


@pytest.mark.parametrize("target, other, name", [
    ("results-personal", "GENERATOR_SEED=2", "warp-editor-g2"),
    ("results-personal", "ARCH=ganimation", "ganimation-g1"),
    ("results-personal", "VARIANT=x CONFIG=w_pair=0", "warp-editor-x-g1"),
    ("results-sources", "GENERATOR_SEED=2", "warp-editor-g2"),
    ("results-domain", "GENERATOR_SEED=2", "warp-editor-g2"),
    ("compare-affect", "GENERATOR_SEED=2", "warp-editor-g2"),
    ("faces-emotions", "VARIANT=x CONFIG=w_pair=0", "warp-editor-x-g1"),
    ("compare-registration", "GENERATOR_SEED=2", "warp-editor-g2"),
])
def test_what_two_generators_make_stands_side_by_side(target, other, name, tmp_path):
    """A place that both plans write is written by the same command."""
    usual, made = (written(plan(tmp_path, target, "SEEDS=1", *more))
                   for more in ([], other.split()))
    assert [place for place in made if name in place]
    assert not [place for place in usual if name in place]
    for place in {*usual} & {*made}:
        assert usual[place] == made[place]


def test_registration_makes_the_variant_that_it_names(tmp_path):
    text = plan(tmp_path, "faces-registration", "VARIANT=x", "CONFIG=w_pair=0")
    for mode in ("2d", "3d"):
        place = f"runs/quick/registration/generators/warp-editor-x-{mode}/seed1/generator"
        trained, = (" ".join(line.split()) for line in text.splitlines()
                    if f"--out {place}.pt" in line and "train_generator.py" in line)
        assert trained.endswith("--config w_pair=0")
        assert f"synthesize.py --model {place}.onnx" in text


def old_and_new(folder, old, new):
    """Empty files, of which `old` are older than `new`."""
    for age, files in ((2000, old), (1000, new)):
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
            os.utime(folder / file, (1e9 - age, 1e9 - age))


@pytest.mark.parametrize("target", ["faces-sources", "faces-personalised", "faces-emotions"])
def test_models_of_older_data_are_made_anew(target, tmp_path):
    """The editor and what read for it are of data that have changed since."""
    run = "runs/quick/faces"
    models = [f"{run}/supervised/seed1/classifier", f"{run}/generators/warp-editor/seed1/generator",
              f"{run}/pseudo/seed1/pseudo.csv"]
    made = [name if name.endswith(".csv") else f"{name}.{form}"
            for name in models for form in ("pt", "onnx")]
    data = ["data/quick/faces/.done", "data/quick/faces-world/.done"]
    old_and_new(tmp_path, data, made)
    assert "train_generator.py" not in plan(tmp_path, target)
    old_and_new(tmp_path, made, data)
    text = plan(tmp_path, target)
    assert f"--out {run}/generators/warp-editor/seed1/generator.pt" in text
    assert f"--out {run}/supervised/seed1/classifier.pt" in text


@pytest.mark.parametrize("target, made, changed", [
    ("faces-sources", "sources-disfa/real-other/train.csv", "labelled"),
    ("faces-personalised ACROSS=1", "personal-across-disfa/seed1/test.csv", "test"),
])
def test_a_second_data_set_of_yours_that_changed_is_read_anew(target, made, changed, tmp_path):
    run = "runs/quick/faces"
    sets = [f"disfa/{name}.csv" for name in ("labelled", "validation", "test")]
    before = ["data/quick/faces/.done", f"{run}/supervised/seed1/classifier.pt",
              f"{run}/supervised/seed1/classifier.onnx"]
    old_and_new(tmp_path, [*before, *sets], [f"{run}/sources-disfa/.checked", f"{run}/{made}"])
    line = [*target.split(), "OTHER=disfa"]
    assert f"--out {run}/{made}" not in plan(tmp_path, *line)
    os.utime(tmp_path / f"disfa/{changed}.csv", (1e9, 1e9))
    text = plan(tmp_path, *line)
    assert f"--out {run}/{made}" in text
    apart = "lib.manifest check disfa/labelled.csv --apart disfa/validation.csv disfa/test.csv"
    assert (apart in text) == (target == "faces-sources")


def test_reweighted_has_the_aus_of_em_whatever_else_is_compared(tmp_path):
    for variables in (["GENERATOR_SEED=2"], ["VARIANT=x", "CONFIG=w_pair=0"]):
        text = plan(tmp_path, "compare-faces", "SEEDS=1", *variables)
        (line,) = [line for line in text.splitlines() if " --like " in line]
        assert "--like runs/quick/faces/em/synthetic/manifest.csv" in line
        (made,) = [line for line in text.splitlines() if "--out runs/quick/faces/em/" in line]
        assert "--model runs/quick/faces/generators/warp-editor/seed1/generator.onnx" in made


def test_reweighted_alone_trains_the_usual_generator_alone(tmp_path):
    text = plan(tmp_path, "faces-reweighted", "GENERATOR_SEED=2")
    assert "generators/warp-editor/seed1/generator.pt" in text and "/seed2/" not in text


def test_an_editor_of_another_seed_is_made_and_listed_once(tmp_path):
    arguments = ["ARCHS=ganimation warp-editor", "SEEDS=1", "GENERATOR_SEED=2"]
    reports = table(plan(tmp_path, "compare-faces", *arguments))
    for condition in ("warp-editor-g2", "ganimation-g2"):
        assert reports.count(f"runs/quick/faces/{condition}/seed1/report.json") == 1


def test_all_conditions_of_the_grid_have_a_goal(tmp_path):
    for goal in ("mnist-mean-teacher", "mnist-pseudo-hard", "mnist-balanced", "mnist-em-first"):
        assert "evaluate.py" in plan(tmp_path, goal), goal


def test_generators_of_expressions_share_one_table(tmp_path):
    arguments = ["ARCHS=fexgan stargan-expressions", "SEEDS=1"]
    lines = plan(tmp_path, "compare-expressions", *arguments).splitlines()
    for condition in ("expressions", "upsampled-expressions", "fexgan-g1", "stargan-g1"):
        assert f"affect/{condition}/seed1/report_natural.json" in lines[-1], condition
    trained = [line.split("--arch ")[1].split()[0] for line in lines if "--arch " in line]
    assert trained == ["fexgan", "stargan"]


@pytest.mark.parametrize("target, wrong", [("compare-faces", "fexgan"),
                                           ("compare-expressions", "gan")])
def test_an_unknown_editor_of_a_table_is_refused(target, wrong, tmp_path):
    plan(tmp_path, "help")
    done = subprocess.run(["make", "-n", target, f"ARCHS={wrong}"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"ARCHS={wrong}: {target} knows" in done.stderr


@pytest.mark.parametrize("torch, says", [("cpu", "1.5 GB"), ("cuda", "5.8 GB")])
def test_setup_says_what_it_downloads_and_takes_the_index_asked_for(torch, says, tmp_path):
    lines = plan(tmp_path, "setup", f"TORCH={torch}").splitlines()
    assert lines[0].startswith("echo 'setup: installs requirements.txt") and says in lines[0]
    packages = [line.split("pip install", 1)[1] for line in lines if "pip install" in line]
    assert packages[-1].endswith(" -r requirements.txt")  # finds the torch of that index there
    if torch == "cpu":
        (of_cpu,) = packages[:-1]
        assert " torch torchvision --index-url https://download.pytorch.org/whl/cpu" in of_cpu
    else:
        assert len(packages) == 1 and "--index-url" not in packages[0]


@pytest.mark.parametrize("name", ["browser", "cluster", "hosts", "faults"])
def test_tests_asked_for_by_name_may_not_be_skipped(name, tmp_path):
    (line,) = [line for line in plan(tmp_path, f"test-{name}").splitlines() if "pytest" in line]
    assert line.startswith("FACES_EM_NO_SKIPS=1 ") and " -rs " in line
    assert line.endswith(f" tests/{name}")


# ---- locks ----
# .venv/bin/python of a copy: the lock is real; what works waits for the file go, and fails
STAND_IN = """#!/bin/sh
case "$2" in lib.lock) [ "$LOG_LOCKS" ] && { echo "$*" >> locks; exit 0; }; exec %s "$@";; esac
echo begins >> work
for i in $(seq 600); do [ -e go ] && break; sleep 0.1; done
echo ends >> work; exit 1
"""
FACES = ("faces-em faces-ganimation faces-fexgan compare-editors results-editors idiosyncratic"
         " sweep-ganimation")
SETS = {  # targets that work in the same folders
    "faces": FACES + " discriminators fexgan-table results-fexgan compare-faces faces-va"
    " faces-personalised faces-folds results-folds faces-networks compare-pseudo compare-affect"
    " compare-personal"
    " compare-expressions precision faces-sources"
    " compare-faces-validation compare-faces-development compare-faces-paired"
    " results-faces-paired"
    " compare-sources results-sources faces-domain compare-domain results-domain",
    "mnist": "mnist-em mnist-tune compare-mnist compare-mnist-validation"
             " compare-mnist-development results-mnist",
    "samplers": "compare-samplers results-samplers compare-sampled results-sampled sampler-data"
    " faces-gan faces-relativistic-sampler",
    "digits": "compare-digits results-digits",
    "richer": "open-problem open-problem-why open-problem-grid results-open-problem",
    "registration": "faces-registration compare-registration results-registration",
    "models": "reader editor photos-report page astronaut reader-groups",
}


@pytest.fixture
def copy(tmp_path):
    """The makefiles, with an environment in which nothing is done."""
    plan(tmp_path, "help")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(STAND_IN % sys.executable)
    (tmp_path / ".venv/bin/python").chmod(0o755)
    for ready in (".ready", ".ready-faces"):
        (tmp_path / ".venv" / ready).touch()
    (tmp_path / "lib").symlink_to(ROOT / "lib")
    return tmp_path


@pytest.mark.parametrize("name", SETS)
def test_everything_happens_inside_the_lock_of_its_set(name, copy):
    for target in SETS[name].split():
        subprocess.run(["make", target], cwd=copy, env=os.environ | {"LOG_LOCKS": "1"}, check=True)
        (lock,) = (copy / "locks").read_text().splitlines()
        place = "runs" if name == "models" else "runs/quick"  # models are of no preset
        assert lock.startswith(f"-m lib.lock {place}/.locks/{name} make -f make/"), target
        assert not (copy / "work").exists(), target
        (copy / "locks").unlink()


@pytest.mark.parametrize(
    "targets", [("faces-em", "compare-editors"), ("compare-sampled", "faces-gan")]
)
def test_two_targets_of_one_set_take_turns(targets, copy):
    out, into = os.pipe()
    makes = [subprocess.Popen(["make", target], cwd=copy, stderr=into) for target in targets]
    os.close(into)
    with open(out) as said:
        waits = next(line for line in said if "waiting until it has done" in line)
        # both write here: the beginning of a line of the other may come first
        assert re.search(r"runs/quick/\.locks/\S+ .*: make -f make/.* works here; waiting", waits)
        (copy / "go").touch()
        assert "Traceback" not in said.read()
    assert [make.wait() for make in makes] == [2, 2]
    assert (copy / "work").read_text().split() == ["begins", "ends"] * 2


@pytest.mark.parametrize(
    "target, run", [("compare-samplers", "samplers"), ("compare-digits", "digits")]
)
def test_reports_on_samples_wait_for_who_reads_them(target, run, tmp_path):
    lines = plan(tmp_path, target).splitlines()
    made = next(i for i, line in enumerate(lines)
                if f"--out runs/quick/{run}/reader/seed1000/classifier.onnx" in line)
    reports = [i for i, line in enumerate(lines) if "evaluate.py --samples" in line]
    assert reports and made < min(reports)
