"""What this machine has beside Python's packages: decoders, OCR, GPUs, room on the disk, a browser.

Nothing here needs more than Python to be imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

UNCOMPRESSED = (
    *("ImplicitVRLittleEndian", "ExplicitVRLittleEndian"),
    *("ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian"),
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def codecs() -> list[dict[str, Any]] | None:
    """Every transfer syntax of mammography archives: pydicom's name of it, which decoder takes it, or what adds one.

    None where the DICOM reader itself cannot be imported, because packages are missing.
    """
    try:
        from pydicom import uid

        from processing.dicom_decoding import CODECS, installed_plugins
    except Exception:  # ImportError, or what a torchvision of another torch raises
        return None
    found = []
    for name in (*UNCOMPRESSED, *CODECS):
        syntax = getattr(uid, name)
        plugins, packages = CODECS.get(name, (("pydicom",), ""))
        there = ("pydicom",) if name in UNCOMPRESSED else installed_plugins(syntax)
        decoder = next((plugin for plugin in plugins if plugin in there), None)
        command = f"pip install {packages}" if decoder is None else ""
        found.append({"name": name, "uid": str(syntax), "decoder": decoder, "command": command})
    return found


def ocr() -> dict[str, Any]:
    """tesseract's version or None, and its languages."""
    first, *_ = output_of("tesseract", "--version").splitlines() or [""]
    languages = output_of("tesseract", "--list-langs").splitlines()[1:]
    return {"version": first.removeprefix("tesseract").strip() or None, "languages": languages}


def gpus() -> list[dict[str, Any]]:
    """The GPUs that torch or the driver names: name, memory in GiB, driver, and whether torch can use it."""
    try:
        import torch

        usable = torch.cuda.is_available()
    except Exception:  # as above; what is wrong is said where packages are looked at
        usable = False
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
    rows = [line.split(", ") for line in output_of("nvidia-smi", *query).splitlines()]
    return [
        {"name": row[0], "memory_gib": round(float(row[1]) / 1024, 1), "driver": row[2], "usable": usable}
        for row in rows
        if len(row) == 3 and row[1].replace(".", "", 1).isdigit()
    ] or (_gpus_of_torch() if usable else [])


def _gpus_of_torch() -> list[dict[str, Any]]:
    import torch

    properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [
        {"name": one.name, "memory_gib": round(one.total_memory / 2**30, 1), "driver": None, "usable": True}
        for one in properties
    ]


def caches() -> list[dict[str, Any]]:
    """Where models and data sets of the Hub are kept, and how much room there is, in bytes."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    places = {
        "models": os.environ.get("HF_HUB_CACHE", home / "hub"),
        "data sets": os.environ.get("HF_DATASETS_CACHE", home / "datasets"),
    }
    return [{"what": what, "folder": str(folder), "free": room_at(folder)} for what, folder in places.items()]


def room_at(folder: str | Path) -> int:
    """Free bytes of the disk that a folder is on, or would be."""
    path = Path(folder).expanduser().absolute()
    return shutil.disk_usage(next(one for one in (path, *path.parents) if one.exists())).free


def output_of(*command: str) -> str:
    """What a program prints; nothing where there is no such program, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def chromium() -> str | None:
    """Where Chromium is, or Chrome."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)
