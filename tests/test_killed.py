"""Training scripts in processes of their own, killed at random moments until they are done: not a bit is different."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from test_resume import CLASSIFY, COMMANDS, EVERY_STEP, PRETRAIN, inputs, outcome
from tiny_training import SCRIPTS

LONG = {"epochs": 5, "save_minutes": EVERY_STEP}
PATIENCE = 300  # seconds after which a process hangs


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return inputs(tmp_path_factory.mktemp("killed"))


def start(script, processes, command, log):
    """The script in so many processes on the CPU, as a user starts it."""
    words = [sys.executable, SCRIPTS / script, *command]
    if processes > 1:  # `accelerate launch --cpu` starts one process, however many are asked for
        launch = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            processes,
        ]
        words = [*launch, *words[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env=environment)


def family(process):
    """A process and all that it started."""
    try:
        return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes, how=signal.SIGKILL):
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(how)
    if how == signal.SIGKILL:
        psutil.wait_procs(processes, timeout=60)


def names(output):
    return {path.name for path in (output / "checkpoints").glob("*")}


def wait_for_progress(process, output, known):
    """Until there is another checkpoint, or the process has ended."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and names(output) <= known:
        assert time.monotonic() < until, "no checkpoint appears"
        time.sleep(0.02)


def ranks(process):
    return [one for one in family(process)[1:] if any("train_scripts" in word for word in one.cmdline())]


def kill_until_done(script, processes, command, output, log, seed):
    """How many times a run was killed before it ended."""
    chance, kills = random.Random(seed), 0
    while True:
        before = names(output)
        process = start(script, processes, command, log)
        wait_for_progress(process, output, before)
        try:
            process.wait(chance.uniform(0, 1.5))
        except subprocess.TimeoutExpired:
            kills += 1
            everyone = family(process)
            end(everyone if processes == 1 or chance.random() < 0.5 else ranks(process)[-1:])
            try:
                process.wait(PATIENCE)  # the others must not wait for the one that is gone
            finally:
                end(everyone)
            continue
        if process.returncode == 0:
            return kills
        raise AssertionError(
            f"ended with exit code {process.returncode}: {Path(log.name).read_text()[-3000:]}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("script, processes", [(PRETRAIN, 1), (PRETRAIN, 2), (CLASSIFY, 1), (CLASSIFY, 2)])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(
    script,
    processes,
    seed,
    place,
    tmp_path,
):
    changes = {**LONG, "workers": seed % 2, **({"micro_batch": 1} if script == PRETRAIN and seed else {})}
    with (tmp_path / "log").open("w") as log:
        whole = COMMANDS[script](place, tmp_path / "whole", **{**changes, "save_minutes": 0})
        assert start(script, processes, whole, log).wait(PATIENCE) == 0
        command = COMMANDS[script](place, tmp_path / "run", **changes)
        kills = kill_until_done(script, processes, command, tmp_path / "run", log, seed)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert kills
    print(f"{script}, {processes} processes: {kills} kills")
