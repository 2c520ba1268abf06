"""What the receiver of an adapter does, in a process of its own: follow its README.

    python -c "$(cat without_our_packages.py open_adapters.py)" INPUTS.safetensors RELEASED PROJECT FOLDER ...

Each folder holds `adapter` and what its README asks for; the model's outputs are written beside it. RELEASED, which
holds the release `mamclip` as well, comes first, while none of our packages can be imported; PROJECT is where they are.
"""

import os
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForImageClassification

OUTPUTS = ("image_embeds", "text_embeds", "mlm_logits", "contrastive_loss", "logits", "density_logits")


def outputs(model, inputs):
    """What a model makes of the inputs that it takes."""
    if "Classification" in type(model).__name__:
        inputs = {"pixel_values": inputs["pixel_values"]}
    elif "PreTraining" not in type(model).__name__:
        inputs = {name: tensor for name, tensor in inputs.items() if name != "mlm_labels"}
    with torch.no_grad():
        found = model.eval()(**inputs)
    return {name: found[name].contiguous() for name in OUTPUTS if found.get(name) is not None}


def opened():
    """The model that the README's program makes, in the folder of the adapter."""
    program = re.search(r"```python\n(.*?)```", Path("adapter/README.md").read_text(encoding="utf-8"), re.S)[
        1
    ]
    if Path("mamclip").is_dir():  # where, as the README says, the project is not needed
        program = re.sub(r"^import modeling_mamclip .*\n", "", program, flags=re.M)
    names = {}
    exec(program, names)
    return names["model"]


def main(inputs, released, project, *folders):
    inputs = load_file(inputs)
    os.chdir(released)
    save_file(outputs(opened(), inputs), "adapted.safetensors")
    for auto in (AutoModel, AutoModelForImageClassification):
        model = auto.from_pretrained("mamclip", trust_remote_code=True)
        save_file(outputs(model, inputs), f"{auto.__name__}.safetensors")
    sys.meta_path.pop(0)  # what keeps our packages out
    sys.path.insert(0, project)
    for folder in folders:
        os.chdir(folder)
        save_file(outputs(opened(), inputs), "adapted.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
