"""Options: the command line over the YAML file over the defaults, and one sentence for what is wrong."""

from dataclasses import fields
from pathlib import Path

import pytest

from training.augmentation import Augmentation
from training.classification_options import ClassificationOptions, LearningCurveOptions
from training.cli import one_sentence
from training.option_parser import parse_options
from training.options import option
from training.pretraining import augmentation
from training.pretraining_options import BIOMEDBERT, PretrainingOptions
from training.trainers import training_arguments

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
KINDS = {
    "pretrain": PretrainingOptions,
    "classify": ClassificationOptions,
    "experiment": LearningCurveOptions,
    "compare": PretrainingOptions,  # of two ways to pretrain
}


@pytest.fixture
def parsed(tmp_path):
    """Options from the lines of a YAML file and from words of the command line."""

    def parse(lines="", *argv, kind=PretrainingOptions):
        file = tmp_path / "config.yaml"
        file.write_text(lines, encoding="utf-8")
        return parse_options(kind, [*(["--config", str(file)] if lines else []), *argv])

    return parse


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(parsed):
    options = parsed("epochs: 3\nbatch_size: 5\n", "--epochs", "7")
    assert (options.epochs, options.batch_size, options.accumulation) == (7, 5, 1)


def test_the_place_of_config_among_the_words_does_not_matter(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("epochs: 3")
    for argv in (["--epochs", "7", f"--config={file}"], ["--config", str(file), "--epochs=7"]):
        options = parse_options(PretrainingOptions, argv)
        assert options.epochs == 7 and options.config == str(file)


def test_without_anything_options_are_the_defaults(parsed):
    assert parsed() == PretrainingOptions() and parsed(kind=ClassificationOptions) == ClassificationOptions()


def test_two_runs_share_no_list_or_mapping():
    first, second = PretrainingOptions(), PretrainingOptions()
    first.pairs.append("here")
    first.model["here"] = 1
    assert second.pairs == [] and second.model == {}


@pytest.mark.parametrize(
    "lines, argv, said",
    [
        ("epoch: 3", [], "unknown field 'epoch'; did you mean epochs?"),
        ("batch-size: 3", [], "unknown field 'batch-size'; did you mean batch_size?"),
        ("1: 3", [], "unknown field 1; did you mean"),
        ("", ["--learning_rat", "1"], "no option '--learning_rat'; did you mean --learning_rate?"),
        ("", ["--bach_size=3"], "no option '--bach_size'; did you mean --batch_size?"),
    ],
)
def test_what_does_not_exist_is_named_with_what_is_nearest(parsed, lines, argv, said):
    with pytest.raises(ValueError) as error:
        parsed(lines, *argv)
    assert said in one_sentence(error.value)


def test_a_file_cannot_name_another_file_and_is_not_told_to(parsed):
    with pytest.raises(ValueError, match="unknown field 'config'") as error:
        parsed("config: other.yaml")
    assert "did you mean config?" not in str(error.value)


@pytest.mark.parametrize(
    "lines, argv, said",
    [
        ("", ["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        ("epochs: many", [], "argument --epochs: invalid int value: 'many'"),
        ("epochs: null", [], "argument --epochs: invalid int value: 'None'"),
        ("epochs: [1, 2]", [], "unrecognized arguments: 2"),
        ("epochs: 0", [], "epochs is 0; expected 1 or more."),
        ("learning_rate: -1", [], "learning_rate is -1.0; expected a number above 0."),
        ("learning_rate: .nan", [], "learning_rate is nan; expected a number above 0."),
        ("shift: 1", [], "shift is 1.0; expected a fraction from 0 to below 1."),
        ("distortion: 0.5", [], "distortion is 0.5; expected from 0 to below 0.5"),
        ("marker_dropout: 2", [], "marker_dropout is 2.0; expected from 0 to 1"),
        ("augmentation: strong", [], "argument --augmentation: invalid choice: 'strong'"),
        ("held_out_fraction: 0.5", [], "held_out_fraction is 0.5; expected between 0 and 0.5."),
        ("mask_probability: 1", [], "mask_probability is 1.0; expected between 0 and 1."),
        ("image_size: [1024]", [], "image_size is [1024]; expected height and width"),
        ("image_size: [1024, 8]", [], "image_size is [1024, 8]; expected height and width"),
        ("schedule: sometimes", [], "argument --schedule: invalid choice: 'sometimes'"),
        ("crop: perhaps", [], "argument --crop"),
        ("", ["--model", "{broken"], "argument --model: invalid JsonFields value: '{broken'"),
        ("", ["--model", "[1]"], "argument --model: invalid JsonFields value: '[1]'"),
        ("trainer: 3", [], "argument --trainer: invalid JsonFields value: '3'"),
        ("", ["--epochs"], "argument --epochs: expected one argument"),
        ("- epochs", [], "holds no fields; expected lines such as"),
        ("{epochs: ", [], "is no readable YAML file"),
    ],
)
def test_wrong_values_are_one_sentence(parsed, lines, argv, said):
    with pytest.raises(ValueError) as error:
        parsed(lines, *argv)
    assert said in one_sentence(error.value)


def test_an_error_says_that_a_file_was_read_too(parsed):
    with pytest.raises(ValueError, match="options come from .*config.yaml too"):
        parsed("epochs: many")


@pytest.mark.parametrize(
    "lines, said",
    [
        ("folds: 1", "folds is 1; expected 2 or more"),
        ("fold: 4", "fold is 4; expected from 0 to 3"),
        ("validation_fraction: 0.9", "validation_fraction is 0.9; expected between 0 and 0.9"),
    ],
)
def test_folds_that_cannot_be_are_said(parsed, lines, said):
    with pytest.raises(ValueError, match=said):
        parsed(lines, kind=ClassificationOptions)


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(FileNotFoundError, match="the configuration nowhere.yaml does not exist"):
        parse_options(PretrainingOptions, ["--config", "nowhere.yaml"])


@pytest.mark.parametrize("word", ["none", "None", "null", "~"])
def test_none_is_none_in_the_file(parsed, word):
    options = parsed(f"vision_weights: {word}\ntext_weights: {word}\n")
    assert options.vision_weights is None and options.text_weights is None


@pytest.mark.parametrize("word", ["none", "None", "null"])
def test_none_is_none_on_the_command_line(parsed, word):
    options = parsed("vision_weights: imagenet", "--vision_weights", word)
    assert options.vision_weights is None


def test_a_choice_that_is_called_none_stays_a_choice(parsed):
    kind = ClassificationOptions
    assert parsed("class_weights: none", kind=kind).class_weights == kind().class_weights == "none"


def test_null_where_nothing_is_the_default_changes_nothing(parsed):
    assert parsed("text_learning_rate: null\ncache: null").text_learning_rate is None
    assert parsed("train_samples: null", kind=ClassificationOptions).train_samples is None


def test_lists_are_lists_in_both_places(parsed):
    lines = "pairs: [first, second]\nimage_size: [256, 192]"
    options = parsed(lines)
    assert options.pairs == ["first", "second"] and options.image_size == [256, 192]
    options = parsed(lines, "--pairs", "third", "--image_size", "64", "48")
    assert options.pairs == ["third"] and options.image_size == [64, 48]


def test_mappings_are_mappings_in_both_places(parsed):
    expected = {"depths": [1, 1], "ls_init_value": 1.0, "deep": {"on": True, "off": None}}
    text = '{"depths": [1, 1], "ls_init_value": 1.0, "deep": {"on": true, "off": null}}'
    assert parsed(f"model_args: {text}").model_args == expected
    assert parsed("model_args: {other: 1}", "--model_args", text).model_args == expected


@pytest.mark.parametrize("word, value", [("true", True), ("false", False), ("yes", True), ("off", False)])
def test_yaml_s_booleans_are_booleans(parsed, word, value):
    options = parsed(f"crop: {word}\nkeep_checkpoints: {word}\n")
    assert options.crop is value and options.keep_checkpoints is value


def test_booleans_on_the_command_line(parsed):
    assert parsed("", "--crop", "false").crop is False
    assert parsed("", "--no_crop").crop is False
    assert parsed("crop: false", "--crop").crop is True


def test_numbers_that_yaml_takes_for_text_are_numbers(parsed):
    assert parsed("learning_rate: 1e-4").learning_rate == 1e-4


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_help_names_every_option_and_survives_percent_signs(kind, capsys):
    with pytest.raises(SystemExit):
        parse_options(kind, ["--help"], text="What 100% of the users read.")
    text = capsys.readouterr().out
    assert "100% of" in text and "%%" not in text
    assert all(f"--{entry.name}" in text for entry in fields(kind))


def test_a_percent_sign_in_an_option_s_help_is_shown_as_it_is():
    assert option(1, "at most 5 % of it").metadata["help"] % {} == "at most 5 % of it"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_parses(file):
    kind = KINDS[file.name.partition("_")[0]]
    options = parse_options(kind, ["--config", str(file)])
    assert options != kind(config=str(file))


def test_the_paper_s_pretraining_is_what_the_paper_says():
    options = parse_options(PretrainingOptions, ["--config", str(CONFIGS / "pretrain_paper.yaml")])
    assert (options.architecture, options.vision_weights) == ("convnext_small", "imagenet")
    assert options.text_weights == BIOMEDBERT and "BiomedBERT" in BIOMEDBERT
    assert options.image_size == [1024, 768]
    assert (options.batch_size, options.accumulation) == (64, 1)  # accumulated batches would add no negatives
    assert (options.learning_rate, options.epochs, options.schedule) == (1e-4, 25, "constant")


def test_left_and_right_are_mirrored_unless_told_otherwise_and_the_published_set_is_one_switch(parsed):
    ways = {line: augmentation(parsed(line)) for line in ("", "vertical_flip: true")}
    assert (ways[""].flip, ways[""].vertical_flip) == (True, False)
    assert ways["vertical_flip: true"].vertical_flip
    assert not augmentation(parsed("", "--no_flip")).flip
    assert augmentation(parsed("augmentation: published\nrotation: 30")) == Augmentation.published()
    assert augmentation(parsed("distortion: 0.2")) == Augmentation(distortion=0.2, flip=True)


def test_the_paper_s_optimizer_is_adamw():
    options = parse_options(PretrainingOptions, ["--config", str(CONFIGS / "pretrain_paper.yaml")])
    options.output, options.precision, options.trainer = "out", "fp32", {"use_cpu": True}
    arguments = training_arguments(options, best="eval_loss", greater_is_better=False)
    assert arguments.optim.startswith("adamw") and arguments.learning_rate == 1e-4
    assert arguments.per_device_train_batch_size == 64 and arguments.num_train_epochs == 25


def test_an_unknown_field_of_trainer_is_named_with_what_is_nearest():
    with pytest.raises(ValueError, match="unknown field 'max_grad_nrom'; did you mean 'max_grad_norm'"):
        options = PretrainingOptions(output="out", trainer={"max_grad_nrom": 1})
        training_arguments(options, best="eval_loss", greater_is_better=False)
