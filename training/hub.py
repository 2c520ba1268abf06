"""A release on its way to the Hub: private until all of it is there, tagged, and resumed by the same command."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.utils import RevisionNotFoundError

from .files import sha256_of


def publish(folder: Path, name: str, tag: str, *, public: bool = False) -> str:
    """Upload a release to the model repository `name`, tag it, and show it to others if asked to → its address.

    The repository becomes what the folder is: files that the folder lacks are deleted, in the same commit that brings
    the others. The tag comes last, and what is private becomes public after it. After an interruption the same call
    goes on: content that the Hub has already is not sent again.

    Raises ValueError for a public repository where `public` is not said, and for a tag that
    names another release; OSError where the Hub cannot be reached, refuses, or breaks off.
    """
    with sentences(name):
        api = HfApi()
        private = open_repository(api, name, public)
        if not has_tag(api, folder, name, tag):
            commit = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                allow_patterns=[file.name for file in folder.iterdir()],
                delete_patterns=["*"],
                commit_message=f"Release {tag}",
            )
            api.create_tag(name, tag=tag, revision=commit.oid)
        if public and private:
            api.update_repo_settings(name, private=False)
    return f"{api.endpoint}/{name}"


@contextmanager
def sentences(name: str) -> Iterator[None]:
    """Whatever the Hub's libraries raise, as an OSError that says how to go on."""
    try:
        yield
    except (ValueError, KeyboardInterrupt):
        raise
    except Exception as error:  # of HTTP, of a transfer's threads: there is no common kind
        reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")[:300]
        raise OSError(
            f"the upload to {name} stopped ({reason}); the release is whole on this disk: give the same command "
            "again, which sends what is missing."
        ) from error


def open_repository(api: HfApi, name: str, public: bool) -> bool:
    """Make the repository, private, where there is none → whether it is private."""
    api.create_repo(name, private=True, exist_ok=True)
    private = bool(api.model_info(name).private)
    if not private and not public:
        raise ValueError(f"{name} is a public repository; give --public, or the name of another one.")
    return private


def has_tag(api: HfApi, folder: Path, name: str, tag: str) -> bool:
    """Whether the tag is there, and names this very release. Raises ValueError where it names another one."""
    try:
        files = list(api.list_repo_tree(name, revision=tag, recursive=True))
    except RevisionNotFoundError:
        return False
    there = {
        file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files if file.path[0] != "."
    }
    here = {file.name: file for file in folder.iterdir()}
    same = there.keys() == here.keys() and all(
        there[path] in (sha256_of(file), git_hash(file.read_bytes())) for path, file in here.items()
    )
    if not same:
        raise ValueError(f"{name} has another release as {tag}; give this one another --tag.")
    return True


def git_hash(content: bytes) -> str:
    """How git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
