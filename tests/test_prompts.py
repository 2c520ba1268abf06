"""Prompt sets name the classes that there are; phrasings are averaged as by hand; what is no prompt is refused."""

import pytest
import torch
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import mammogram
from transformers import pipeline

from dataset_builders.birads import DENSITIES, FIVE_NAMES
from dataset_builders.caption_findings import WORDS, findings_of
from modeling_mamclip.configuration_mamclip import BIRADS_LABELS
from processing import PROMPT_SETS, read_prompts
from training.release import write_release

LABELS = {"a mass": ["a spiculated mass", "a mass"], "breast": ["left breast", "right breast"]}


def test_the_sets_name_what_labels_name():
    assert tuple(PROMPT_SETS["birads"]) == FIVE_NAMES == BIRADS_LABELS
    assert tuple(PROMPT_SETS["density"]) == DENSITIES
    assert tuple(PROMPT_SETS["findings"]) == tuple(WORDS)


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_no_sentence_stands_twice_and_each_label_has_several(name):
    groups = read_prompts(name).phrasings
    sentences = [sentence for group in groups for sentence in group]
    assert len(set(sentences)) == len(sentences) and min(len(group) for group in groups) >= 3
    assert all(sentence.endswith(".") and len(sentence.split()) <= 25 for sentence in sentences)


def test_prompts_for_present_never_deny_the_finding_and_those_for_absent_never_assert_it():
    for name, sides in PROMPT_SETS["findings"].items():
        said = {side: [findings_of(text)[name] for text in sides[side]] for side in sides}
        assert True in said["present"] and False not in said["present"], name
        assert False in said["absent"] and True not in said["absent"], name


def test_phrasings_are_normalised_averaged_and_normalised_again():
    prompts = read_prompts({"one": ["x", "y"], "two": "z"})
    embeddings = prompts.embeddings(torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, -2.0]]))
    # (3/5, 4/5) and (1, 0) have the mean (4/5, 2/5), whose length is 2/√5.
    expected = torch.tensor([[2 / 5**0.5, 1 / 5**0.5], [0.0, -1.0]])
    torch.testing.assert_close(embeddings, expected)


def test_classes_share_one_and_findings_have_a_score_each():
    classes = read_prompts(["left", "right", "none"])
    logits = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    torch.testing.assert_close(classes.scores(logits), logits.softmax(dim=1))
    sides = {"present": ["yes"], "absent": ["no"]}
    findings = read_prompts({"mass": sides, "calcifications": sides})
    logits = torch.tensor([[2.0, 1.0, 2.0, 3.0]])  # present of both, then absent of both
    expected = torch.tensor([[2.0, 2.0], [1.0, 3.0]]).softmax(dim=1)[:, 0]
    torch.testing.assert_close(findings.scores(logits)[0], expected)


@pytest.mark.parametrize(
    "given, said",
    [
        ("densty", "no prompt set 'densty'; did you mean 'density'"),
        ("spiculated mass, normal", "labels of your own are given as a list"),
        ([], "no labels to choose from"),
        ({}, "no labels to choose from"),
        ({"mass": []}, "the prompts of 'mass' are \\[\\]; expected one sentence or a list"),
        ({"mass": [3]}, "expected one sentence or a list"),
        ({"mass": ["a mass", ""]}, "expected one sentence or a list"),
        ({"mass": {"present": ["a mass"]}}, "expected both, under these names"),
        ({"mass": {"present": ["a mass"], "absent": ["none"]}, "side": ["left"]}, "prompts of 'side'"),
        ({"mass": {"present": ["a mass"], "absent": None}}, "prompts of 'mass: absent' are None"),
    ],
)
def test_what_is_no_prompt_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        read_prompts(given)


# ---- the pipeline


@pytest.fixture(scope="module")
def compare(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    write_release(root / "mamclip", pretrained=root / "pretrained")
    return pipeline("zero-shot-image-classification", model=str(root / "mamclip"), trust_remote_code=True)


def scores(fits):
    return {fit["label"]: fit["score"] for fit in fits}


def test_the_text_encoder_reads_the_prompts_once_for_all_images(compare):
    read = []
    hook = compare.model.text_model.register_forward_hook(lambda *call: read.append(len(call[1][0])))
    images = [mammogram(seed) for seed in range(5)]
    together = compare(images, candidate_labels=LABELS, batch_size=2)
    assert read == [4]
    hook.remove()
    alone = [compare(image, candidate_labels=LABELS) for image in images]
    assert len({fits[0]["score"] for fits in alone}) == 5
    for one, other in zip(together, alone, strict=True):
        assert scores(one) == pytest.approx(scores(other), abs=1e-6)


def test_more_captions_than_are_embedded_at_a_time_make_no_difference(compare):
    labels = [" ".join(["mass"] * (i % 7 + 1) + ["left"] * (i // 7)) for i in range(80)]
    many = scores(compare(mammogram(0), candidate_labels=labels))
    few = scores(compare(mammogram(0), candidate_labels=labels[:3]))
    assert len(many) == 80 and sum(many.values()) == pytest.approx(1)
    ratios = [many[label] / few[label] for label in labels[:3]]
    assert ratios == pytest.approx([ratios[0]] * 3, rel=1e-3)


def test_a_name_in_a_list_is_a_label_as_any_other(compare):
    fits = scores(compare(mammogram(0), candidate_labels=["birads", "left breast"]))
    assert set(fits) == {"birads", "left breast"}


def test_a_template_given_when_the_pipeline_is_made_holds_unless_a_call_has_its_own(compare):
    made = pipeline(
        "zero-shot-image-classification",
        model=compare.model,
        tokenizer=compare.tokenizer,
        image_processor=compare.image_processor,
        pipeline_class=type(compare),
        hypothesis_template="left {}",
    )
    labels, whole = ["mass", "breast"], ["left mass", "left breast"]
    expected = [fit["score"] for fit in compare(mammogram(0), candidate_labels=whole)]
    assert [fit["score"] for fit in made(mammogram(0), candidate_labels=labels)] == pytest.approx(expected)
    plain = made(mammogram(0), candidate_labels=whole, hypothesis_template="{}")
    assert [fit["score"] for fit in plain] == pytest.approx(expected)


def test_a_misspelt_set_is_told_by_its_nearest_name(compare):
    with pytest.raises(ValueError, match="did you mean 'findings'"):
        compare(mammogram(0), candidate_labels="finding")
