"""Commands for discrete latents: encode, decode, and fit a prior over codes."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

import workshop
from workshop.cli.commands import Decode, Encode, Prior
from workshop.cli.look import write_arrays
from workshop.cli.progress import progress_bar
from workshop.cli.runs import (
    check_shape,
    compile_once,
    every_example,
    load_run_data,
    open_run,
    read_options,
    refuse_overwriting,
)
from workshop.cli.tables import console, say, say_section, suggested
from workshop.generative_models.core import checks
from workshop.generative_models.core.files import locked, write_json
from workshop.generative_models.data import Split
from workshop.generative_models.data.files import read_arrays
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.evaluation.passes import in_passes
from workshop.generative_models.evaluation.sections import prior_section
from workshop.generative_models.evaluation.study import Study
from workshop.generative_models.models.code_prior import PRIOR_FORMAT, save_prior
from workshop.generative_models.models.restoring import checkpoint_steps, unfinished
from workshop.generative_models.models.saving import read_config, save_weights
from workshop.generative_models.training import Stopped, create_trainer
from workshop.generative_models.visualization import grids, report, save


def encode(options: Encode) -> None:
    """Write the codes of images."""
    run, data, out = options.run, options.data, options.out
    _check_suffix(out, (".npz",))
    compile_once()
    trained = read_options(run, data)[1]
    refuse_overwriting(out, data or trained["data"])
    model = _discrete(workshop.load(run), run)
    splits = load_run_data(run, trained).splits if data is None else every_example(data, trained)[0]
    check_shape(data or trained["data"], next(iter(splits.values())).shape, model)
    codes = _codes(model, splits)
    kind = np.min_scalar_type(model.num_embeddings - 1)
    arrays: dict[str, np.ndarray] = {}
    for name, split in splits.items():
        end = f"_{name}" if len(splits) > 1 else ""
        arrays[f"x{end}"] = codes[name].astype(kind)
        if split.y is not None:
            arrays[f"y{end}"] = split.y
        if split.names is not None:
            arrays[f"names{end}"] = np.asarray(split.names)
    write_arrays(out, arrays)
    count = sum(map(len, codes.values()))
    shape = "×".join(map(str, model.code_shape))
    say(f"{count:,} examples as {shape} codes of {model.num_embeddings:,} ({kind}): {out}")


def decode(options: Decode) -> None:
    """Write the images of codes."""
    run, codes, out = options.run, options.codes, options.out
    _check_suffix(out, (".npz", ".npy", ".png"))
    checks.positive_int("--count", options.count)
    refuse_overwriting(out, codes)
    compile_once()
    model = _discrete(workshop.load(run), run)
    arrays = _read_codes(codes)
    if out.suffix != ".npz":
        name = next(iter(arrays))
        if len(arrays) > 1 and out.suffix == ".npy":
            raise ValueError(f"--out {out}: {codes} holds {', '.join(arrays)}; choose a .npz file")
        part = arrays[name][: options.count] if out.suffix == ".png" else arrays[name]
        arrays = {name: part}
    images = {name: _images(model, part, f"{codes}: {name}") for name, part in arrays.items()}
    if out.suffix == ".png":
        save(grids.samples(next(iter(images.values()))), out)
    else:
        write_arrays(out, images)
    say(str(out))


def fit_prior(options: Prior) -> None:
    """Fit a prior over the codes of a run, and save it in the run's folder."""
    read_config(options.run)  # refused before a lock is left in a folder that is no run
    with locked(options.run):
        _fit_prior(options.run, options)


def _fit_prior(run: Path, options: Prior) -> None:
    folder = run / "prior"
    model, dataset, settings = open_run(run, options.data)
    model = _discrete(model, run)
    if unfinished(run) is not None:
        # A prior fits the weights that it was fitted to, and no others.
        save_weights(model, run, step=max(checkpoint_steps(run)))
    given, training = options.config.model_dump(mode="json"), options.training
    chosen = training.model_dump(mode="json")
    _begin(folder, {"format": PRIOR_FORMAT, "config": given} | chosen, options.resume)
    codes = _codes(model, dataset.splits)
    seed = settings["seed"]
    prior = model.new_prior(options.config, num_classes=dataset.num_classes, rngs=nnx.Rngs(seed))
    trainer = create_trainer(
        prior, training.training(seed), folder=folder, progress=options.progress
    )
    say(f"a prior over {model.code_shape} codes of {model.num_embeddings:,}, in {folder}")
    try:
        train, validation = (
            {"x": codes[name]} | ({} if split.y is None else {"y": split.y})
            for name, split in (("train", dataset.train), ("validation", dataset.validation))
        )
        trainer.fit(train, validation, steps=training.steps, resume=options.resume)
    except Stopped as stop:
        model.prior = prior
        save_prior(model, run)
        changed = {key: value for key, value in (given | chosen).items() if value is not None}
        words = [word for key, v in changed.items() for word in (f"--{key.replace('_', '-')}", v)]
        again = suggested("prior", run, *words, "--resume")
        say(f"{stop}; `workshop sample` draws from the prior of that step\ncontinue with: {again}")
        raise SystemExit(128 + stop.signal) from None
    model.prior = prior
    save_prior(model, run)
    say_section(prior_section(Study(model, dataset.train, dataset.test)))
    figure, _ = report.draw_samples(model, 100, class_names=dataset.class_names, seed=seed)
    say(str(save(figure, run / "figures" / "prior_samples.png")))


def _begin(folder: Path, options: dict[str, Any], resume: bool) -> None:
    """Keep the options of a fit, or refuse one that is not the one that is there."""
    file = folder / "options.json"
    if resume:
        if not file.is_file():
            raise ValueError(f"--resume: {folder} holds no fit to go on with")
        if json.loads(file.read_text(encoding="utf-8")) != options:
            raise ValueError(
                f"--resume takes the options that the fit was started with, which are in {file}"
            )
        return
    if (folder / "checkpoints").exists():
        raise ValueError(f"{folder} holds a fit: go on with --resume, or delete it to begin anew")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(options, file)


def _discrete(model: Any, run: Path) -> Any:
    if not model.has_codes:
        raise ValueError(
            f"{run} holds a {read_config(run)['model']}, which has no codes: train a vq-vae"
        )
    return model


def _codes(model: Any, splits: dict[str, Split]) -> dict[str, np.ndarray]:
    """Return the codes of splits by name."""
    return {
        name: outputs.code_indices(model, split, progress=progress_bar(f"encoding {name}", console))
        for name, split in splits.items()
    }


@nnx.jit
def _decode(model: Any, indices: ArrayLike) -> jax.Array:
    return model.decode_indices(indices)


def _images(model: Any, codes: np.ndarray, where: str) -> np.ndarray:
    """Return the images of codes, a batch at a time."""
    shape = model.code_shape
    stages = model.quantizer.codes > 1 and codes.shape[1:-1] == shape[:-1]  # the first ones decode
    if codes.ndim != 1 + len(shape) or not len(codes) or (codes.shape[1:] != shape and not stages):
        raise ValueError(
            f"{where} has shape {codes.shape}: expected (n, "
            f"{', '.join(map(str, model.code_shape))})"
        )
    if not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"{where} is {codes.dtype}: expected integers")
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= model.num_embeddings:
        raise ValueError(
            f"{where} lies in [{low}, {high}]: expected 0 <= code < {model.num_embeddings}"
        )
    return in_passes(
        lambda index: _decode(model, codes[index].astype(np.int32)),
        len(codes),
        progress=progress_bar("decoding", console),
    )


def _read_codes(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of codes in a .npz or .npy file; labels and names are left out."""
    try:
        arrays = read_arrays(path, "codes")
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is no .npz or .npy file of codes: {error}") from None
    codes = {k: v for k, v in arrays.items() if k == "x" or k.startswith("x_")}
    if not codes:
        raise ValueError(f"{path} holds {sorted(arrays)}: expected x, or x_train, ... of codes")
    return codes


def _check_suffix(out: Path, kinds: tuple[str, ...]) -> None:
    if out.suffix not in kinds:
        raise ValueError(f"--out {out}: expected a name that ends in {' or '.join(kinds)}")
