"""The model: shapes, what the outputs mean, gradients, round trips, Auto classes, and what a config refuses."""

import math

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import VISION, WORDS, pretraining_model, random_weights
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForPreTraining,
    AutoModelForZeroShotImageClassification,
    BertConfig,
    ModernBertConfig,
)

from modeling_mamclip import (
    MamClipConfig,
    MamClipForImageClassification,
    MamClipForPreTraining,
    MamClipModel,
    MamClipVisionModel,
)
from training.initialization import new_classifier, new_pretraining_model


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, len(WORDS), (4, 9), generator=generator)
    ids[:, 0] = 2
    ids[1, 6:] = ids[3, 4:] = 0
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "pixel_values": torch.rand(4, 3, 64, 48, generator=generator),
    }


def labels_for(ids):
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[0, 4], labels[2, 8] = 5, 6, 7
    return labels


# ---- pretraining


def test_embeddings_are_of_length_one_and_logits_are_their_products(batch):
    model = MamClipModel(pretraining_model().config).eval()
    output = model(**batch)
    ones = torch.ones(4)
    torch.testing.assert_close(output.image_embeds.norm(dim=-1), ones)
    torch.testing.assert_close(output.text_embeds.norm(dim=-1), ones)
    expected = output.image_embeds @ output.text_embeds.T / 0.07
    torch.testing.assert_close(output.logits_per_image, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.logits_per_text, expected.T, rtol=1e-4, atol=1e-4)


def test_the_loss_is_contrastive_plus_weighted_mlm_over_labelled_tokens(batch):
    model = random_weights(pretraining_model(mlm_weight=0.7), 5)
    labels = labels_for(batch["input_ids"])
    output = model(**batch, mlm_labels=labels)
    assert output.mlm_logits.shape == (3, len(WORDS))
    mlm = F.cross_entropy(output.mlm_logits, torch.tensor([5, 6, 7]))
    torch.testing.assert_close(output.mlm_loss, mlm)
    torch.testing.assert_close(output.loss, output.contrastive_loss + 0.7 * mlm)


def masked(ids, labels):
    return ids.masked_fill(labels != -100, 4)


def test_captions_are_embedded_whole_and_predicted_from_their_masked_copies(batch):
    """T and T^masked of the paper; a caption without a masked token is left out of the second pass."""
    model = random_weights(pretraining_model(), 5)
    labels = labels_for(batch["input_ids"])
    hidden = masked(batch["input_ids"], labels)
    both = model(**batch, masked_input_ids=hidden, mlm_labels=labels)
    one_pass = model(**{**batch, "input_ids": hidden}, mlm_labels=labels)
    torch.testing.assert_close(both.contrastive_loss, model(**batch).contrastive_loss)
    torch.testing.assert_close(both.mlm_logits, one_pass.mlm_logits)
    torch.testing.assert_close(both.loss, both.contrastive_loss + 0.5 * one_pass.mlm_loss)
    assert not torch.allclose(both.text_embeds[0], one_pass.text_embeds[0], atol=1e-3)


def test_a_batch_without_a_masked_caption_has_an_mlm_loss_of_zero(batch):
    model = random_weights(pretraining_model(), 5).train()
    nothing = torch.full_like(batch["input_ids"], -100)
    output = model(**batch, masked_input_ids=batch["input_ids"], mlm_labels=nothing)
    output.loss.backward()
    assert output.mlm_loss == 0 and output.loss == output.contrastive_loss
    assert all(p.grad is not None for p in model.mlm_head.parameters())


@pytest.mark.parametrize("settings", [{}, {"text_pooling": "mean"}, {"attend_to_padding": True}])
def test_pooled_captions_stand_for_captions_that_a_frozen_text_encoder_has_read(batch, settings):
    model = pretraining_model(**settings).eval()
    model.text_model.encoder.requires_grad_(False)
    given = batch | {"mlm_labels": labels_for(batch["input_ids"]), "masked_input_ids": batch["input_ids"]}
    with torch.no_grad():
        pooled = model.pool_captions(batch["input_ids"], batch["attention_mask"])
    losses, gradients = [], []
    for extra in ({}, {"pooled_captions": pooled}):
        model.zero_grad()
        losses.append(model(**given, **extra).loss)
        losses[-1].backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_pooled_captions_alone_hold_no_words_to_predict(batch):
    model = pretraining_model()
    pooled = model.pool_captions(batch["input_ids"])
    with pytest.raises(ValueError, match="give masked_input_ids as well"):
        model(**batch, mlm_labels=labels_for(batch["input_ids"]), pooled_captions=pooled)


def test_a_caption_can_be_the_mean_of_its_tokens(batch):
    model = random_weights(MamClipModel(pretraining_model(text_pooling="mean").config), 5).eval()
    given = batch["input_ids"], batch["attention_mask"]
    features = model.get_text_features(*given)
    kept = [states[mask.bool()] for states, mask in zip(features.last_hidden_state, given[1], strict=True)]
    by_hand = model.text_model.projection(torch.stack([states.mean(dim=0) for states in kept]))
    torch.testing.assert_close(features.pooler_output, by_hand)
    wider = [F.pad(tensor, (0, 5)) for tensor in given]
    torch.testing.assert_close(model.get_text_features(*wider).pooler_output, by_hand)


def test_random_weights_follow_the_number_of_inputs_and_given_ones_are_kept(tmp_path):
    torch.manual_seed(0)
    vision = {**VISION, "model_args": {"depths": [1, 1, 1, 1], "dims": [64, 64, 64, 64]}}
    model = new_classifier(None, vision_config=vision, projection_dim=12)
    layers = [m for m in model.encoder.trunk.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    for layer in layers:
        expected = (2 / layer.weight[0].numel()) ** 0.5
        assert abs(layer.weight.std().item() / expected - 1) < 0.1, layer
    again = new_classifier(
        None, vision_config=vision, projection_dim=12, vision_weights=encoder_file(model, tmp_path)
    )
    torch.testing.assert_close(again.encoder.trunk.state_dict(), model.encoder.trunk.state_dict())


def encoder_file(model, folder):
    """The trunk alone, under timm's names, as a user would have it."""
    save_file(dict(model.encoder.trunk.state_dict()), folder / "trunk.safetensors")
    return folder / "trunk.safetensors"


def test_mlm_sees_the_image(batch):
    model = random_weights(pretraining_model(), 5)
    labels = labels_for(batch["input_ids"])
    first = model(**batch, mlm_labels=labels).mlm_logits
    other = {**batch, "pixel_values": 1 - batch["pixel_values"]}
    assert not torch.allclose(first, model(**other, mlm_labels=labels).mlm_logits, atol=1e-3)


def test_padding_changes_nothing(batch):
    model = random_weights(pretraining_model(), 5)
    wider = {name: F.pad(batch[name], (0, 5)) for name in ("input_ids", "attention_mask")}
    labels = labels_for(batch["input_ids"])
    with torch.no_grad():
        narrow = model(**batch, mlm_labels=labels)
        wide = model(**{**batch, **wider}, mlm_labels=F.pad(labels, (0, 5), value=-100))
        unsaid = model(**{**batch, "attention_mask": None}, mlm_labels=labels)
    for other in (wide, unsaid):
        torch.testing.assert_close(narrow.text_embeds, other.text_embeds)
        torch.testing.assert_close(narrow.mlm_logits, other.mlm_logits)


def test_attending_to_padding_as_published_does_change_the_text(batch):
    model = random_weights(pretraining_model(attend_to_padding=True), 5)
    other = random_weights(pretraining_model(), 5)
    ours, theirs = (m.get_text_features(batch["input_ids"]).pooler_output for m in (other, model))
    assert not torch.allclose(ours, theirs, atol=1e-3)


def test_every_parameter_is_trained(batch):
    model = random_weights(pretraining_model(), 5).train()
    model(**batch, mlm_labels=labels_for(batch["input_ids"])).loss.backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert not [name for name in unused if "token_type" not in name], unused


def test_a_fixed_temperature_has_no_gradient(batch):
    model = random_weights(pretraining_model(learn_temperature=False), 5)
    scale = model.logit_scale.detach().clone()
    model(**batch).loss.backward()
    assert model.logit_scale.grad is None and torch.equal(scale, model.logit_scale)


def test_shared_captions_are_positives_by_default_and_negatives_as_published(batch):
    ids = torch.tensor([3, 1, 3, 3])
    model, published = (
        random_weights(pretraining_model(**fields), 5) for fields in ({}, {"shared_captions": "negatives"})
    )
    plain = model(**batch).loss
    assert model.config.shared_captions == "positives"
    torch.testing.assert_close(published(**batch, caption_ids=ids).loss, plain)
    assert model(**batch, caption_ids=ids).loss < plain
    for kind in (model, published):
        aligned = MamClipModel(kind.config).eval()
        aligned.load_state_dict(kind.state_dict(), strict=False)
        found = aligned(**batch, caption_ids=ids, return_loss=True).loss
        torch.testing.assert_close(found, kind(**batch, caption_ids=ids).loss)


def test_a_temperature_stops_at_its_bound_or_has_none(batch):
    for bound, expected in ((100.0, 100.0), (None, math.exp(6))):
        model = random_weights(pretraining_model(logit_scale_max=bound), 5)
        model.logit_scale.data.fill_(6.0)
        assert float(model(**batch).scale.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_papers_formula_sums_both_directions_without_a_temperature(batch):
    """Section 2.1: no temperature is one of 1."""
    fields = {"contrastive_reduction": "sum", "learn_temperature": False, "logit_scale_init_value": 0.0}
    model = random_weights(pretraining_model(**fields), 5)
    output = model(**batch)
    logits, targets = output.image_embeds @ output.text_embeds.T, torch.arange(4)
    expected = F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)
    torch.testing.assert_close(output.loss, expected)
    assert model.logit_scale == 0 and not model.logit_scale.requires_grad


def test_without_mlm_there_is_no_fusion(batch):
    model = pretraining_model(mlm_weight=0)
    output = model(**batch, mlm_labels=labels_for(batch["input_ids"]))
    assert not hasattr(model, "fusion") and output.mlm_loss is None
    torch.testing.assert_close(output.loss, output.contrastive_loss)


def test_pixels_are_shifted_and_divided_before_the_first_layer(batch):
    plain = random_weights(pretraining_model(), 5)
    scaled = pretraining_model(vision_config={**VISION, "pixel_mean": 0.25, "pixel_std": 0.5})
    scaled.load_state_dict(plain.state_dict())
    pixels = batch["pixel_values"]
    with torch.no_grad():
        expected = plain.get_image_features((pixels - 0.25) / 0.5).pooler_output
        torch.testing.assert_close(scaled.get_image_features(pixels).pooler_output, expected)


def test_captions_that_are_too_long_and_wrong_images_are_refused(batch):
    model = pretraining_model()
    with pytest.raises(ValueError, match="17 tokens, but the model's context_length is 16"):
        model.get_text_features(torch.ones(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="floats in"):
        model.get_image_features(torch.zeros(1, 3, 64, 48, dtype=torch.uint8))
    with pytest.raises(ValueError, match="shape"):
        model.get_image_features(torch.zeros(1, 1, 64, 48))
    with pytest.raises(ValueError, match="neither"):
        MamClipModel(model.config)()


# ---- classification


@pytest.mark.parametrize("encoder", ["own", "shared"])
def test_the_classifier_sums_the_losses_of_known_labels(batch, encoder):
    config = MamClipConfig(vision_config=VISION, projection_dim=12, classifier_encoder=encoder)
    model = random_weights(MamClipForImageClassification(config), 5).eval()
    birads, density = torch.tensor([0, 4, -100, 2]), torch.tensor([-100, 3, 1, -100])
    output = model(batch["pixel_values"], labels=birads, density_labels=density)
    assert output.logits.shape == (4, 5) and output.density_logits.shape == (4, 4)
    expected = F.cross_entropy(output.logits, birads) + F.cross_entropy(output.density_logits, density)
    torch.testing.assert_close(output.loss, expected)
    assert model(batch["pixel_values"]).loss is None


def test_a_linear_probe_trains_the_heads_alone():
    model = new_classifier(linear_probe=True, vision_config=VISION, projection_dim=12)
    trained = {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"birads_head", "density_head"}


def test_a_classifier_starts_from_the_aligned_encoder(batch, tmp_path):
    source = random_weights(pretraining_model(), 5)
    source.save_pretrained(tmp_path)
    expected = source.get_image_features(batch["pixel_values"]).pooler_output
    for probe in (False, True):
        model = new_classifier(tmp_path, linear_probe=probe).eval()
        torch.testing.assert_close(model.encoder(batch["pixel_values"])[2], expected)


# ---- loading


def test_each_class_loads_its_own_part_without_a_word(batch, tmp_path, caplog):
    model = random_weights(pretraining_model(), 5)
    model.save_pretrained(tmp_path)
    expected = model(**batch, return_loss=False)
    for auto, kind in (
        (AutoModel, MamClipModel),
        (AutoModelForZeroShotImageClassification, MamClipModel),
        (AutoModelForPreTraining, MamClipForPreTraining),
    ):
        loaded, report = auto.from_pretrained(tmp_path, output_loading_info=True)
        assert type(loaded) is kind and not any(report[key] for key in ("missing_keys", "unexpected_keys"))
        torch.testing.assert_close(loaded.eval()(**batch).image_embeds, expected.image_embeds)
    vision = MamClipVisionModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(vision(batch["pixel_values"]).image_embeds, expected.image_embeds)
    assert not [record for record in caplog.records if "newly initialized" in record.getMessage()]


def test_a_classifier_comes_back_from_its_folder(batch, tmp_path):
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 5).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(batch["pixel_values"]).logits, model(batch["pixel_values"]).logits)


def test_a_configuration_comes_back_from_its_folder(tmp_path):
    config = pretraining_model(provenance={"pairs": "phantom"}).config
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    again._name_or_path = config._name_or_path  # where it was loaded from
    assert type(again) is MamClipConfig and again.to_dict() == config.to_dict()


def test_timms_own_initialisation_survives():
    """transformers' post_init would fill ConvNeXt's layer scale and convolutions anew."""
    torch.manual_seed(0)
    trunk = pretraining_model(
        vision_config={**VISION, "model_args": {**VISION["model_args"], "ls_init_value": 0.5}}
    )
    scales = [p for name, p in trunk.vision_model.named_parameters() if name.endswith(".gamma")]
    assert scales and all((p == 0.5).all() for p in scales)


def test_weights_of_a_trunk_and_of_a_text_model_are_copied(tmp_path):
    source = random_weights(pretraining_model(), 5)
    source.save_pretrained(tmp_path / "vision")
    source.text_model.encoder.save_pretrained(tmp_path / "text")
    model = new_pretraining_model(
        vision_config=VISION,
        projection_dim=12,
        context_length=16,
        fusion_heads=2,
        vision_weights=tmp_path / "vision",
        text_weights=tmp_path / "text",
    )
    for part in ("vision_model", "text_model.encoder"):
        for a, b in zip(
            model.get_submodule(part).parameters(), source.get_submodule(part).parameters(), strict=True
        ):
            assert torch.equal(a, b)


def test_weights_of_another_shape_are_refused(tmp_path):
    pretraining_model().save_pretrained(tmp_path)
    narrow = {**VISION, "model_args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}}
    with pytest.raises(ValueError, match="have other shapes for"):
        new_pretraining_model(vision_config=narrow, projection_dim=12, vision_weights=tmp_path)


def test_another_text_encoder(batch):
    text = ModernBertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        pad_token_id=0,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
    )
    output = pretraining_model(text_config=text)(**batch, mlm_labels=labels_for(batch["input_ids"]))
    assert math.isfinite(float(output.loss.detach()))


# ---- what transformers' models can do


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_hidden_states_come_on_request_and_change_nothing(batch, pooling):
    model = random_weights(MamClipModel(pretraining_model(text_pooling=pooling).config), 5).eval()
    plain, full = model(**batch), model(**batch, output_hidden_states=True)
    torch.testing.assert_close(plain.logits_per_image, full.logits_per_image)
    assert plain.vision_model_output is None and plain.text_model_output is None
    widths = [tuple(states.shape[1:]) for states in full.vision_model_output.hidden_states]
    assert widths == [(8, 16, 12), (8, 8, 6), (16, 4, 3), (16, 2, 1)]
    assert [tuple(states.shape) for states in full.text_model_output.hidden_states] == [(4, 9, 16)] * 2
    classifier = MamClipForImageClassification(model.config).eval()
    scores = classifier(batch["pixel_values"], output_hidden_states=True)
    assert len(scores.hidden_states) == 4 and scores.density_logits.shape == (4, 4)
    vision = MamClipVisionModel(model.config).eval()(batch["pixel_values"], output_hidden_states=True)
    torch.testing.assert_close(vision.hidden_states[-1], vision.last_hidden_state)


def test_half_precision_and_a_device_map(batch, tmp_path):
    model = random_weights(pretraining_model(), 5)
    model.save_pretrained(tmp_path)
    expected = MamClipModel.from_pretrained(tmp_path, device_map="cpu").eval()(**batch)
    half = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    output = half(**batch)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert output.logits_per_image.dtype == torch.float32  # what a softmax and a loss are made of
    torch.testing.assert_close(output.image_embeds.float(), expected.image_embeds, atol=0.02, rtol=0)
    torch.testing.assert_close(output.text_embeds.float(), expected.text_embeds, atol=0.02, rtol=0)
    training = MamClipForPreTraining.from_pretrained(tmp_path, dtype=torch.bfloat16)
    training(**batch, mlm_labels=labels_for(batch["input_ids"])).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in training.parameters() if p.grad is not None)


def test_the_model_is_one_graph_to_torch_compile(batch):
    model = random_weights(MamClipModel(pretraining_model().config), 5).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)  # the tracing is ours to keep possible
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch).logits_per_image, model(**batch).logits_per_image)


def test_a_model_without_mlm_comes_back_from_its_folder(batch, tmp_path):
    model = random_weights(pretraining_model(mlm_weight=0), 5)
    model.save_pretrained(tmp_path)
    loaded, report = AutoModelForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not hasattr(loaded, "mlm_head")
    torch.testing.assert_close(loaded.eval()(**batch).loss, model(**batch).loss)


# ---- configuration


def test_the_defaults_are_the_papers():
    config = MamClipConfig()
    assert config.vision_config.architecture == "convnext_small"
    assert tuple(config.vision_config.image_size) == (1024, 768)
    assert (config.projection_dim, config.mlm_weight, config.learn_temperature) == (768, 0.5, True)
    assert math.exp(config.logit_scale_init_value) == pytest.approx(1 / 0.07)
    assert config.id2label == {0: "BI-RADS 0", 1: "BI-RADS 1", 2: "BI-RADS 2", 3: "BI-RADS 4", 4: "BI-RADS 5"}


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"projektion_dim": 5}, "projection_dim"),
        ({"vision_config": {"architecture": "convnext_smal"}}, "convnext_small"),
        ({"vision_config": {"image_size": [5]}}, "image_size"),
        ({"vision_config": {"pixel_std": 0}}, "pixel_std is 0"),
        ({"vision_config": {"model_args": {"num_classes": 5}}}, "num_classes"),
        ({"text_config": {"model_type": "nobert"}}, "nobert"),
        ({"text_config": {"hidden_act": "gelo"}}, "did you mean 'gelu'"),
        ({"context_length": 1000}, "512 positions"),
        ({"fusion_heads": 7}, "does not divide"),
        ({"mlm_weight": -1}, "mlm_weight"),
        ({"classifier_encoder": "mine"}, "classifier_encoder"),
        ({"shared_captions": "left_out"}, "shared_captions"),
        ({"logit_scale_max": 2.0}, "logit_scale_max"),
        ({"id2label": {0: "a", 2: "b"}}, "id2label"),
        ({"density_labels": ["A", "A"]}, "density_labels"),
        ({"problem_type": "regression"}, "single-label"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(fields, said):
    with pytest.raises(ValueError, match=said):
        MamClipConfig(**fields)


def test_a_text_configuration_may_be_a_dict():
    config = MamClipConfig(text_config={"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2})
    assert type(config.text_config) is BertConfig and config.mlm_width == 50
