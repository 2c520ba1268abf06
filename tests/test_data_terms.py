"""The terms of data, from their folders through two trainings into a release's configuration and its card."""

import json
from dataclasses import replace

import pytest
from tiny_training import SMALL, SMALL_PAIRS, pairs, records, run, text_encoder, words

from dataset_builders.terms import Terms
from modeling_mamclip import MamClipConfig
from training.data_terms import data_terms, note_terms, provenance_lines
from training.release import write_release

FREE = Terms("CC BY 4.0", "Open et al., Pairs.", "https://example.org/pairs", "free")
BOUND = Terms(
    "Research use agreement", "Closed et al., Records.", "https://example.org/records", "permission"
)


def with_report(folder, source, terms):
    """A data set's folder with the report of its build."""
    content = {"source": source, "terms": terms and terms.as_dict()}
    (folder / "build_report.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of a pretraining on free pairs and of a classification on bound records."""
    place = tmp_path_factory.mktemp("terms")
    given = {
        **SMALL,
        **SMALL_PAIRS,
        "epochs": 1,
        "pairs": with_report(pairs(place / "pairs"), "open", FREE),
        "text_weights": text_encoder(place / "text"),
        "output": place / "pretrained",
    }
    labelled = {
        **SMALL,
        "epochs": 1,
        "folds": 3,
        "data": with_report(records(place / "records"), "closed", BOUND),
        "encoder": place / "pretrained",
        "output": place / "classifier",
    }
    with pytest.MonkeyPatch.context() as patch:
        assert run("pretrain.py", patch, *words(**given)) == 0
        for name in ("architecture", "model_args", "image_size", "vision_weights"):
            del labelled[name]
        assert run("classify.py", patch, *words(**labelled)) == 0
    return place


def test_a_run_notes_the_terms_of_what_it_saw_and_of_what_its_encoder_saw(runs):
    for name, terms in (
        ("pretrained", {"open": FREE.as_dict()}),
        ("classifier", {"open": FREE.as_dict(), "closed": BOUND.as_dict()}),
    ):
        config = MamClipConfig.from_pretrained(runs / name)
        assert data_terms(config.provenance) == terms
        results = json.loads((runs / name / "results.json").read_text(encoding="utf-8"))
        assert results["data_terms"] == terms


def test_a_release_and_its_card_list_them(runs, tmp_path):
    write_release(
        tmp_path / "release", pretrained=runs / "pretrained", classifier=runs / "classifier", phantom=False
    )
    provenance = json.loads((tmp_path / "release" / "config.json").read_text(encoding="utf-8"))["provenance"]
    assert data_terms(provenance) == {"open": FREE.as_dict(), "closed": BOUND.as_dict()}
    card = (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    assert "license: other" in card and "trained on closed, whose" in card
    assert "- data open: CC BY 4.0, <https://example.org/pairs>; the terms say nothing against" in card
    assert FREE.citation in card and BOUND.citation in card


def test_free_data_leave_the_card_as_free_as_the_code(runs, tmp_path):
    write_release(tmp_path / "release", pretrained=runs / "pretrained", phantom=False)
    card = (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card and "permission" not in card


def test_phantoms_and_folders_of_others_have_no_terms(tmp_path):
    config = MamClipConfig(provenance={"encoder": "imagenet"})
    note_terms(config, [with_report(tmp_path, "teknofest", None), tmp_path])
    assert config.provenance == {"encoder": "imagenet"}


@pytest.mark.parametrize("weights, said", [("free", "nothing against"), ("non-commercial", "non-commercial")])
def test_what_is_said_of_terms(weights, said):
    lines = provenance_lines(
        {"data_x": replace(FREE, weights=weights).as_dict(), "vision_weights": "imagenet"}
    )
    assert said in lines[0] and lines[1] == "- vision weights: imagenet"


def test_a_data_set_of_the_hub_binds_its_weights_until_someone_has_read_its_card(tmp_path):
    config = MamClipConfig()
    note_terms(config, ["someone/pairs", pairs(tmp_path / "pairs", cases=1)])
    (terms,) = data_terms(config.provenance).values()
    assert terms["weights"] == "permission" and "someone/pairs" in terms["homepage"]
    assert any("written permission" in line for line in provenance_lines(config.provenance))


def test_atlases_are_named_by_their_pdfs(tmp_path):
    pdfs = {"/home/somebody/atlas.pdf": {"pairs": 7}, "made_up.pdf": {"pairs": 2, "truth": {}}}
    (tmp_path / "extraction.json").write_text(json.dumps({"pdfs": pdfs}), encoding="utf-8")
    config = MamClipConfig()
    note_terms(config, [tmp_path])
    assert not data_terms(config.provenance) and "somebody" not in json.dumps(config.provenance)
    assert provenance_lines(config.provenance) == [
        "- atlas atlas.pdf: 7 image–caption pairs; the rights are its publisher's, no terms were noted",
        "- atlas made up.pdf: 2 image–caption pairs, planted in a phantom",
    ]
