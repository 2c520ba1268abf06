"""The demo page: its settings, what a Space installs, and a real browser that uses it as a person does."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from app_release import APP, CAPTIONS, load_app, write_tiny_release
from mammograms import gen_cases
from tiny_models import VISION, processor, random_weights

from inference.app_settings import Settings, fetched, read_settings
from inference.one_image_page import TITLES
from inference.uploads import MB
from training.cli import run_script
from training.initialization import new_classifier
from training.release import write_folder

ROOT = APP.parent
ANSWER, WAIT = 60, 400  # seconds: a loaded machine takes its time
MAX_MB = 9  # more than the smallest of the real files has
# Notes every address beyond this machine that a process asks for.
EARS = """
import os, socket
connect, look_up = socket.socket.connect, socket.getaddrinfo
def note(host):
    if str(host) not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "None"):
        with open(os.environ["ASKED"], "a") as file:
            print(host, file=file)
def heard_connect(self, address):
    if isinstance(address, tuple):
        note(address[0])
    return connect(self, address)
def heard_look_up(host, *args, **options):
    note(host.decode() if isinstance(host, bytes) else host)
    return look_up(host, *args, **options)
socket.socket.connect, socket.getaddrinfo = heard_connect, heard_look_up
"""
MEASURE = """img => {
    const canvas = document.createElement("canvas");
    canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
    const context = canvas.getContext("2d"); context.drawImage(img, 0, 0);
    const values = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const greys = new Set(); for (let i = 0; i < values.length; i += 4) greys.add(values[i]);
    const box = img.getBoundingClientRect();
    return {pixels: [canvas.width, canvas.height], greys: greys.size, shown: [box.width, box.height]};
}"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_tiny_release(tmp_path_factory.mktemp("app"))


# ---- settings


def test_settings_come_from_the_environment_and_empty_ones_count_as_unset():
    assert read_settings({}) == Settings("mamclip", None, 100)
    given = {"MAMCLIP_MODEL": "me/mine", "MAMCLIP_INDEX": "index", "MAMCLIP_MAX_MB": "2.5"}
    assert read_settings(given) == Settings("me/mine", Path("index"), 2.5)
    assert read_settings(dict.fromkeys(given, "")) == Settings()


@pytest.mark.parametrize("size", ["abc", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match=f"MAMCLIP_MAX_MB is '{size}'; expected a number of megabytes"):
        read_settings({"MAMCLIP_MAX_MB": size})


@pytest.mark.parametrize("model", ["none", "."])
def test_what_is_no_release_stops_the_app_with_one_sentence(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAMCLIP_MODEL", model)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    with pytest.raises(SystemExit) as stopped:
        run_script(load_app().main)
    said = {"none": "the release none does not exist; set MAMCLIP_MODEL", ".": "has no config.json"}[model]
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and out == "" and re.fullmatch(rf"error: .*{said}.*\n", err)


def test_a_repository_that_cannot_be_reached_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match="the release nobody/nothing cannot be fetched .*set MAMCLIP_MODEL"
    ):
        fetched("nobody/nothing")


def test_an_index_needs_the_model_that_made_it(place, tmp_path):
    app = load_app()
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 1)
    write_folder(
        tmp_path / "only", model.config, model.state_dict(), processor().image_processor, name="tiny"
    )
    assert app.open_reader(tmp_path / "only", None).aligned is None
    with pytest.raises(
        ValueError, match="reads no text, so captions cannot be found; leave MAMCLIP_INDEX out"
    ):
        app.open_reader(tmp_path / "only", place / "index")
    about = json.loads((place / "index" / "index.json").read_text())
    shutil.copytree(place / "index", tmp_path / "index")
    (tmp_path / "index" / "index.json").write_text(json.dumps({**about, "fingerprint": "f00d"}))
    with pytest.raises(ValueError, match="has other weights"):
        app.open_reader(place / "mamclip", tmp_path / "index")


# ---- what a Space needs


def pins(file):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def test_a_space_gets_the_versions_that_were_tested():
    header = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    required, constraints = pins("requirements.txt"), pins("constraints.txt")
    assert required == {name: constraints[name] for name in required}
    assert header["sdk"] == "gradio" and header["sdk_version"] == required["gradio"]
    assert (ROOT / header["app_file"]) == APP and header["title"] and header["license"] == "apache-2.0"
    assert header["python_version"] == "3.11" and len(header["short_description"]) <= 60


def test_a_space_installs_whatever_the_app_imports():
    """Every package that app.py and the modules of ours behind it import; ONNX Runtime only where such a model is."""
    names = {"pil": "pillow", "faiss": "faiss-cpu"}
    found = {names.get(name.lower(), name.lower().replace("_", "-")) for name in packages_behind(APP)}
    assert {"gradio", "torch", "transformers"} < found
    assert found - set(pins("requirements.txt")) == {"onnxruntime"}


def packages_behind(start):
    """The packages that are not Python's own nor ours, and that a file, or a file of ours that it imports, imports."""
    seen, todo, packages = set(), [start], set()
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            for path, package in imports_of(file):
                ours = [found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()]
                todo += ours
                packages |= {package} if package and not ours and not path.is_dir() else set()
    return packages - set(sys.stdlib_module_names)


def imports_of(file):
    """(where a module would be if it were ours, its package where it may be a stranger's) of every import."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                (ROOT.joinpath(*alias.name.split(".")), alias.name.split(".")[0]) for alias in node.names
            )
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1] if node.level else ROOT
            parts = (node.module or "").split(".") if node.module else []
            yield folder.joinpath(*parts), None if node.level else parts[0]
            yield from ((folder.joinpath(*parts, alias.name), None) for alias in node.names)


# ---- in a browser


@pytest.fixture(scope="module")
def chromium():
    for name in ("chromium", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("there is no Chromium; on Debian, apt-get install chromium")


@pytest.fixture(scope="module")
def server(place, tmp_path_factory):
    """app.py as a process of its own, in an empty folder → (its process, address, folder for temporary files)."""
    root = tmp_path_factory.mktemp("server")
    for name in ("ears", "tmp", "cwd", "home"):
        (root / name).mkdir()
    (root / "ears" / "sitecustomize.py").write_text(EARS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GRADIO", "HF_"))},
        "PYTHONPATH": f"{root / 'ears'}{os.pathsep}{ROOT}",
        "ASKED": str(root / "asked"),
        "TMPDIR": str(root / "tmp"),
        "HF_HOME": str(root / "home"),
        "GRADIO_SERVER_PORT": str(port),
        "MAMCLIP_MODEL": str(place / "mamclip"),
        "MAMCLIP_INDEX": str(place / "index"),
        "MAMCLIP_MAX_MB": str(MAX_MB),
        "OMP_NUM_THREADS": "1",
    }
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(APP)], cwd=root / "cwd", env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: "is served at" in (root / "log").read_text() or process.poll() is not None)
        assert process.poll() is None, (root / "log").read_text()
        yield process, f"http://127.0.0.1:{port}/", root
    finally:
        process.kill()
        process.wait()


def wait_for(happened):
    end = time.monotonic() + WAIT
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def visit(chromium, server):
    """A browser's page and the addresses that it asked for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})  # a phone's
        page.set_default_timeout(1000 * ANSWER)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server[1])
        page.wait_for_selector("#upload input[type=file]", state="attached")
        yield page, asked
        browser.close()


def drop(page, path):
    page.set_input_files("#upload input[type=file]", path)


def smallest_mammogram():
    return min(
        (Path(path) for case in gen_cases() for path in case.values()), key=lambda path: path.stat().st_size
    )


def left_on_disk(root):
    """Files and folders in the folder that Gradio writes uploads to."""
    (folder,) = (root / "tmp").glob("mamclip-app-*")
    return list(folder.iterdir())


def bars(text):
    """Lines like `BI-RADS 1 0.132` of a page, or a label above its score → label → score."""
    return {
        label.strip(): float(score) for label, score in re.findall(r"([^\n\t]+?)\s+(\d\.\d{3})(?!\d)", text)
    }


def test_a_person_drops_a_mammogram_and_asks_about_it(visit, server, place, tmp_path):
    (page, asked), root = visit, server[2]
    mammogram = tmp_path / "Rossi Anna 1954.dcm"
    shutil.copyfile(smallest_mammogram(), mammogram)
    head = page.inner_text("body")
    assert "Research use only, not a medical device." in head and "PHANTOM weights" in head
    assert f"Files over {MAX_MB} MB are refused." in head

    drop(page, mammogram)
    page.wait_for_selector("#heat img")
    reader = load_app().open_reader(place / "mamclip", place / "index")
    image = reader.read(mammogram.read_bytes())
    check_scores(page.inner_text("#seen"), reader.scores(image))
    pictures = [each.evaluate(MEASURE) for each in page.query_selector_all("#seen img, #heat img")]
    assert len(pictures) == 4
    for picture in pictures:
        assert min(picture["pixels"]) > 100 and min(picture["shown"]) > 100 and picture["greys"] > 50
    assert f"View: {image.view}" in page.inner_text("#seen")
    assert not left_on_disk(root)

    page.get_by_role("tab", name="Own words").click()
    page.fill("#words textarea", f"{CAPTIONS[0]}\n{CAPTIONS[1]}")
    page.click("#compare")
    page.wait_for_selector("#fits table")
    assert bars(page.inner_text("#fits")) == pytest.approx(
        dict(reader.compare(image, "\n".join(CAPTIONS[:2]))), abs=6e-4
    )
    page.get_by_role("tab", name="Captions").click()
    page.wait_for_selector("#captions li")
    assert reader.nearest(image)[0]["caption"] in page.inner_text("#captions li:first-child")

    assert page.evaluate("document.documentElement.scrollWidth") <= 390  # nothing to scroll sideways to
    written = page.content() + (root / "log").read_text()
    for secret in ("Rossi", "1954", "P_0", "Mass-", "CBIS"):
        assert secret not in re.sub(r"base64,[^\"]*", "", written)
    check_silence(asked, root)


def check_scores(text, scores):
    titles = list(TITLES.values())
    parts = re.split("|".join(rf"(?m:^{title}$)" for title in titles), text)[1:]
    assert len(parts) == 3
    for part, task in zip(parts, TITLES, strict=True):
        assert list(bars(part).values()) == pytest.approx(list(scores[task].values()), abs=6e-4)


def check_silence(asked, root):
    """The browser asked this server alone, and the server nobody."""
    assert asked and all(re.match(r"(http://127\.0\.0\.1:|data:|blob:)", address) for address in asked), asked
    assert not (root / "asked").exists(), (root / "asked").read_text()


def test_a_person_drops_what_is_no_mammogram_or_too_large(visit, server, tmp_path):
    (page, asked), root = visit, server[2]
    (tmp_path / "rubbish.dcm").write_bytes(b"ROSSI^ANNA" * 99)
    drop(page, tmp_path / "rubbish.dcm")
    page.wait_for_selector("#seen [role=alert]")
    assert "neither DICOM nor a picture" in page.inner_text("#seen")
    assert not page.is_visible("#compare") and not left_on_disk(root)

    (tmp_path / "large.dcm").write_bytes(bytes(MAX_MB * MB + 1))
    drop(page, tmp_path / "large.dcm")
    page.wait_for_function(f"document.body.innerText.match(/maximum allowed size of {MAX_MB}(\\.0)? Mb/)")
    assert not left_on_disk(root)

    page.click("#phantom")  # and after all that it works
    page.wait_for_selector("#heat img")
    assert "of no patient" in page.inner_text("#seen")
    check_silence(asked, root)


def test_the_server_refuses_a_large_file_that_no_browser_stopped(server):
    root, boundary = server[2], "boundary"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n'.encode()
        + bytes(MAX_MB * MB + 1)
        + f"\r\n--{boundary}--\r\n".encode()
    )
    request = Request(
        f"{server[1]}gradio_api/upload", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    with pytest.raises(HTTPError, match="413"):
        urlopen(request)
    assert not left_on_disk(root)


def test_the_page_forbids_the_browser_other_hosts_and_is_gone_without_a_trace(server):
    process, address, root = server
    assert urlopen(address).headers["content-security-policy"].startswith("default-src 'self'")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT) == 143
    left = [path.name for folder in ("tmp", "cwd") for path in (root / folder).rglob("*") if path.is_file()]
    assert left in ([], [".ses"])  # ONNX Runtime, where it is installed, writes its session's number there
