"""A page that reads one mammogram with a release: crop, BI-RADS, breast density, heatmaps, captions, your own words.

Started by `python app.py`, or as a Hugging Face Space as it stands.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from transformers.utils.logging import disable_progress_bar

from evaluation.similar import open_index
from inference import one_image_page as pieces
from inference.answers import Answers
from inference.app_settings import INDEX, MAX_MB, MODEL, fetched, read_settings
from inference.captions import NearestCaptions
from inference.classifier import Classifier
from inference.one_image import Reader
from inference.provenance import from_phantoms
from inference.uploads import LEFT_BEHIND, MB, sweep_for_ever
from training.cli import TERMINATED, ScriptParser, run_script
from training.embedding import load_aligned
from training.pair_embeddings import model_fingerprint

CAPTIONS_SHOWN = 5
FORGOTTEN = 1800  # seconds after which an image is forgotten that nobody asks about
SESSIONS = 24  # whose images are in memory at a time
SETS = {"findings": "Findings", "birads": "BI-RADS", "density": "Density"}  # of prompts, by name
SPEAKS, MATCHES = "What speaks for this class", "What matches these words"
FITS = "Which of these fits best? One sentence a line"
SENTENCES = "a spiculated mass in the breast\ngrouped calcifications\na normal mammogram"
# The page loads nothing from elsewhere, and browsers are told to hold it to that.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}
# One at a time: a map puts hooks on the model, and images are large.
ONE_BY_ONE = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}


def main() -> None:
    parse_args()
    settings = read_settings(os.environ)
    disable_progress_bar()
    reader = open_reader(fetched(settings.model), settings.index)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that the folder below is removed
    with tempfile.TemporaryDirectory(prefix="mamclip-app-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        threading.Thread(target=sweep_for_ever, args=(Path(folder),), daemon=True).start()
        serve(build_page(Answers(reader, settings.max_mb)), settings.max_mb)


def parse_args() -> None:
    ScriptParser(
        description=__doc__,
        epilog=f"Settings are environment variables. {MODEL}: a release of export_release.py, a folder or a repository "
        f"of the Hub (mamclip). {INDEX}: a folder of build_index.py, for the nearest captions. {MAX_MB}: the largest "
        "file that is read, in megabytes (100). GRADIO_SERVER_NAME, GRADIO_SERVER_PORT: where the page is served "
        "(127.0.0.1, 7860). Research use only, not a medical device.",
    ).parse_args()


# ---- what is needed


def open_reader(folder: Path, index: Path | None) -> Reader:
    """Everything that the page asks. Raises ValueError or FileNotFoundError, as its parts do."""
    classifier = Classifier.open(folder)
    phantom = from_phantoms(classifier.config)
    if "AutoModel" not in classifier.config.auto_map:
        if index is not None:
            raise ValueError(f"{folder} reads no text, so captions cannot be found; leave {INDEX} out.")
        return Reader(classifier, phantom=phantom)
    aligned, processor = load_aligned(folder)
    captions = None
    if index is not None:
        table = open_index(index)
        table.check_model(model_fingerprint(aligned, processor), str(folder))
        captions = NearestCaptions(table, aligned, CAPTIONS_SHOWN)
    return Reader(classifier, aligned, processor, captions, phantom)


# ---- the page


def build_page(answers: Answers) -> gr.Blocks:
    """Every event goes one way: what the user gives, an answer of `Answers`, a piece of HTML."""
    with gr.Blocks(title="MAM-CLIP", analytics_enabled=False, delete_cache=(60, LEFT_BEHIND)) as page:
        image = gr.State(time_to_live=FORGOTTEN)
        html(pieces.notices(answers.reader.phantom))
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                upload = gr.File(label="Mammogram", height=150, elem_id="upload")
                phantom = gr.Button("Try a phantom (synthetic)", elem_id="phantom")
                html(pieces.rules(answers.max_mb))
            with gr.Column(scale=5, min_width=320):
                seen = html(pieces.empty(), "seen")
        with gr.Tabs(visible=False) as tools:
            name, heat = heat_tab(answers, image)
            results = [heat]
            if answers.reader.aligned is not None:
                results.append(words_tab(answers, image))
            captions = captions_tab() if answers.reader.captions else None

        def shown(looked):
            """An image, or an error in its place; what belonged to the image before is taken away."""
            new, answer, best = looked
            return [None, new, answer, gr.update(visible=new is not None), best, *("" for _ in results)]

        changed = [upload, image, seen, tools, name, *results]
        dropped = upload.upload(
            lambda given: shown(answers.look(given)), upload, changed, preprocess=False, **ONE_BY_ONE
        )
        tried = phantom.click(lambda: shown(answers.look_at_phantom()), None, changed, **ONE_BY_ONE)
        for done in (dropped, tried):
            then_show(done, answers.class_heat, [image, name], heat)
            if captions is not None:
                then_show(done, answers.nearest, [image], captions)
    return page


def heat_tab(answers: Answers, image: gr.State) -> tuple[gr.Dropdown, gr.HTML]:
    """Where the model looked → the choice of a class, and where the map is shown."""
    with gr.Tab("Heatmap"), gr.Row():
        with gr.Column(scale=2, min_width=280):
            name = gr.Dropdown(list(answers.reader.classes), label=SPEAKS, elem_id="class")
            if answers.reader.aligned is not None:
                sentence = gr.Textbox(
                    label="What matches these words", placeholder="spiculated mass", elem_id="sentence"
                )
                show = gr.Button("Show the words' map", elem_id="show")
        with gr.Column(scale=5, min_width=320):
            heat = html("", "heat")
    name.input(answers.class_heat, [image, name], heat, **ONE_BY_ONE)
    if answers.reader.aligned is not None:
        gr.on([show.click, sentence.submit], answers.sentence_heat, [image, sentence], heat, **ONE_BY_ONE)
    return name, heat


def words_tab(answers: Answers, image: gr.State) -> gr.HTML:
    """Zero-shot classification → where its scores are shown."""
    with gr.Tab("Own words"), gr.Row():
        with gr.Column(scale=2, min_width=280):
            words = gr.Textbox(SENTENCES, lines=5, label=FITS, elem_id="words")
            compare = gr.Button("Compare", variant="primary", elem_id="compare")
            with gr.Row():
                sets = {name: gr.Button(label, size="sm", min_width=90) for name, label in SETS.items()}
        with gr.Column(scale=5, min_width=320):
            fits = html("", "fits")
    compare.click(answers.compare, [image, words], fits, **ONE_BY_ONE)
    for name, button in sets.items():
        button.click(lambda given, name=name: answers.compare(given, name), image, fits, **ONE_BY_ONE)
    return fits


def captions_tab() -> gr.HTML:
    with gr.Tab("Captions"):
        return html("", "captions")


def then_show(done: gr.events.Dependency, answer: Callable[..., str], given: list, where: gr.HTML) -> None:
    """Show an answer after an image has come; nothing where there is none."""
    done.then(lambda new, *words: "" if new is None else answer(new, *words), given, where, **ONE_BY_ONE)


def html(value: str, name: str | None = None) -> gr.HTML:
    return gr.HTML(value, elem_id=name, elem_classes="mamclip", apply_default_css=False)


# ---- the server


def serve(page: gr.Blocks, max_mb: float) -> None:
    """Serve the page until it is stopped: no share link, no telemetry, no record of runs, nothing from elsewhere."""
    plain = [
        gr.themes.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif")
    ]
    page.launch(
        theme=gr.themes.Default(primary_hue="blue", font=plain, font_mono=[gr.themes.Font("monospace")]),
        css=pieces.style(),
        max_file_size=int(max_mb * MB),
        state_session_capacity=SESSIONS,
        app_kwargs={"middleware": [Middleware(WithHeaders)]},
        footer_links=[],
        share=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"MAM-CLIP is served at {page.local_url} (research use only, not a medical device)", flush=True)
    page.block_thread()


class WithHeaders:
    """ASGI middleware that adds HEADERS to every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


if __name__ == "__main__":
    run_script(main)
