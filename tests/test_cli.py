"""How scripts end: one sentence and exit code 2 for the user's errors, a traceback for ours, help for everybody."""

import runpy
import sys
from pathlib import Path

import pytest

from training.cli import one_sentence, run_script

SCRIPTS = sorted((Path(__file__).resolve().parent.parent / "train_scripts").glob("[a-z]*.py"))


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    "error, sentence",
    [
        (ValueError("the table has no column 'view';\n  add it."), "the table has no column 'view'; add it."),
        (FileNotFoundError(2, "No such file or directory", "a.pdf"), "a.pdf: No such file or directory"),
        (OSError("the disk is full"), "the disk is full"),
    ],
)
def test_what_the_user_can_put_right_ends_with_one_sentence_and_code_2(error, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script(raising(error))
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(KeyError):
        run_script(raising(KeyError("a name that should be there")))


def test_an_error_without_a_message_is_named_at_least():
    assert one_sentence(ValueError()) == "ValueError"


def test_interrupting_is_not_an_error_of_the_user(capsys):
    with pytest.raises(SystemExit) as stop:
        run_script(raising(KeyboardInterrupt()))
    assert stop.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_explains_itself(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code in (0, None)
    text = capsys.readouterr().out
    assert "--output" in text or "--json" in text, "help does not say where the result goes"
    assert len(text.split()) > 30, "help hardly says anything"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_refuses_an_option_that_it_does_not_have(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script.name, "--no-such-option", "1"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code == 2
    assert "no-such-option" in capsys.readouterr().err
