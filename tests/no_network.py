"""What a user's process does with a release, while every call of a socket is written down and refused.

    python no_network.py PLACE TRAIN_SCRIPTS

PLACE holds the release `mamclip` and the mammogram `LCC.dcm`; the calls that were made are printed as JSON at the end.
"""

import json
import os
import runpy
import socket
import sys
from contextlib import suppress
from pathlib import Path

CALLS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
called = []


def listen(event, arguments):
    """Of an address family that leaves the machine: processes speak to each other through AF_UNIX."""
    if event not in CALLS or getattr(arguments[0], "family", None) == socket.AF_UNIX:
        return
    called.append(event)
    raise OSError("there is no network in this test")


def main(place, scripts):
    os.chdir(place)
    sys.addaudithook(listen)
    from transformers import pipeline

    classify = pipeline("image-classification", model="mamclip", trust_remote_code=True)
    compare = pipeline("zero-shot-image-classification", model="mamclip", trust_remote_code=True)
    scores = classify("LCC.dcm", density=True), compare("LCC.dcm", candidate_labels="findings")
    sys.argv = ["predict.py", "--model", "mamclip", "--input", "LCC.dcm", "--output", "predictions"]
    runpy.run_path(str(Path(scripts, "predict.py")), run_name="__main__")
    during = list(called)
    with suppress(OSError):  # the ears must work
        socket.create_connection(("127.0.0.1", 9))
    print(json.dumps({"scores": len(scores), "during": during, "alarm": called[len(during) :]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
