"""What jsonargparse and Lightning refuse while `fdplug predict` reads options and builds classes: one line of ours."""

from __future__ import annotations

import re

import pytest
from lightning_utilities.core.imports import RequirementCache

from fdplug.commands.lightning_words import in_our_words, refused
from fdplug.commands.predict import main
from fdplug.errors import ConfigError, DataError

ALLOWED = "one of transformer-engine, transformer-engine-float16, 16-true,"


@pytest.fixture
def arguments(annotations, tmp_path, monkeypatch):
    """A run that would begin; no model is loaded, whatever else is given."""
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )
    return ["--config=shapes-ddim50", f"--writer.folder={tmp_path / 'out'}", "--trainer.accelerator=cpu"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--trainer.callbacks=LogFidd"], "trainer.callbacks: no callback 'LogFidd', did you mean 'LogFid'? there are"),
        (["--trainer.callbacks=ModelCheckpointt"], "did you mean 'ModelCheckpoint'?"),
        (["--trainer.callbacks=LogFidelity"], "trainer.callbacks of LogFidelity: baseline must be given"),
        (
            ["--trainer.callbacks=LogFid", "--trainer.callbacks.size=big"],
            "trainer.callbacks.size of LogFid must be a whole number, or null, got 'big'",
        ),
        (
            ["--trainer.callbacks=LogFid", "--trainer.callbacks.referense=x"],
            "trainer.callbacks of LogFid: no option 'referense'",
        ),
        (["--trainer.logger=WandLogger"], "trainer.logger: no logger 'WandLogger', did you mean 'WandbLogger'? there"),
        (["--trainer.accelerator=gpus"], "trainer.accelerator: no accelerator 'gpus', did you mean 'gpu'? there are"),
        (["--trainer.strategy=dpd"], "trainer.strategy: no strategy 'dpd', did you mean 'ddp'? there are auto, ddp,"),
        (["--trainer.devices=all"], "trainer.devices must be a whole number of at least 1, -1 or auto for all there"),
        (["--trainer.devices=0"], "or a list as in [0,2]; got '0'"),
        (["--trainer.num_nodes=0"], "trainer.num_nodes must be a whole number of at least 1, got 0"),
        (["--trainer.precision=half"], f"trainer.precision must be {ALLOWED}"),
        (["--trainer.limit_predict_batches=-3"], "batches, or a share of them from 0.0 to 1.0; got -3"),
        (["--trainer.limit_predict_batches=1.5"], "limit_predict_batches must be a whole number of batches, or"),
        (["--trainer.limit_predict_batches=.nan"], "or a share of them from 0.0 to 1.0; got nan"),
        (["--trainer.num_node=2"], "no option 'trainer.num_node', did you mean 'trainer.num_nodes'? see"),
        (["--seed_everythin=1"], "no option 'seed_everythin', did you mean 'seed_everything'? see"),
        (["--data=CocoCaption"], "data: no data module 'CocoCaption', did you mean 'CocoCaptions'? there are"),
        (["--data.limitt=3"], "data of CocoCaptions: no option 'limitt', did you mean 'limit'? see"),
        (["--data.batch_size=0"], "batch_size must be a whole number of at least 1, got 0"),
        (["--model.propagation=5"], "model.propagation must be null, or a mapping as in {policy: paper}, got '5'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_built_is_one_line(arguments, extra, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        main([*arguments, *extra])
    text = str(caught.value)
    assert text.isprintable()
    assert not re.search(r"<class|NoneType|Namespace|NestedArg|Union|Traceback|;;|\?;", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {images: val2017}", "data of CocoCaptions: images is called data.real_images now; write that"),
        ("model: {steps: three}", "model.steps must be a whole number, or null, got 'three'; see"),
        ("trainer: {callbacks: [{class_path: LogFidd}]}", "no callback 'LogFidd', did you mean 'LogFid'?"),
    ],
)
def test_so_is_what_a_file_says(arguments, tmp_path, text, message):
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        main([*arguments, "--config", str(config)])


def test_a_logger_whose_package_is_missing_says_what_installs_it(arguments, monkeypatch):
    missing = RequirementCache("wandb>=1000")
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", missing)
    with pytest.raises(ConfigError, match=r"this logger needs wandb: pip install 'fdplug\[loggers\]', or give another"):
        main([*arguments, "--trainer.logger=WandbLogger"])


def test_what_fdplug_raised_within_is_said_as_it_is():
    outer = ValueError("Problem with given class_path")
    outer.__cause__ = DataError("captions.json: no captions")
    assert str(refused(outer, [])) == "captions.json: no captions"


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'deepspeed'", name="deepspeed"),
        ImportError("To use DeepSpeed, you must have it installed. Install it by running `pip install -U deepspeed`."),
        ImportError("Requirement 'deepspeed>=0.8' not met. HINT: Try running `pip install -U 'deepspeed>=0.8'`"),
    ],
)
def test_a_package_that_no_extra_brings_is_named(error):
    assert str(refused(error, [])) == "a package is not installed: pip install deepspeed"


def test_what_nobody_has_foreseen_is_one_line_with_a_remedy():
    said = in_our_words("`Trainer(devices='0')`\n  value is not valid.", [])
    assert said == "Trainer(devices='0') value is not valid; see fdplug predict --help-all"
