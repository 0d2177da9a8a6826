"""What other programs call things, and what they are called here, for the hints of refusals."""

import re
from collections.abc import Iterable

from ddpm_cli.errors import nearest
from ddpm_cli.settings import catalog

# Keys of other programs' configurations.
KEYS = {
    "batch_size": "train.batch",
    "train_batch_size": "train.batch",
    "learning_rate": "train.lr",
    "iterations": "train.steps",
    "num_iterations": "train.steps",
    "max_train_steps": "train.steps",
    "train_num_steps": "train.steps",
    "epochs": "train.steps",
    "num_epochs": "train.steps",
    "num_train_epochs": "train.steps",
    "ema_decay": "train.ema",
    "ema_rate": "train.ema",
    "num_workers": "train.workers",
    "gradient_accumulation_steps": "train.accumulate",
    "gradient_accumulate_every": "train.accumulate",
    "warmup_steps": "train.warmup",
    "lr_warmup_steps": "train.warmup",
    "grad_clip": "train.clip",
    "max_grad_norm": "train.clip",
    "random_flip": "train.flip",
    "horizontal_flip": "train.flip",
    "cond_drop_prob": "train.drop_class",
    "image_size": "data.size",
    "resolution": "data.size",
    "dataset": "data.name",
    "data_dir": "data.path",
    "data_path": "data.path",
    "train_data_dir": "data.path",
    "num_classes": "network.classes",
    "num_channels": "network.width",
    "model_channels": "network.width",
    "dim": "network.width",
    "dim_mults": "network.multipliers",
    "channel_mult": "network.multipliers",
    "num_res_blocks": "network.blocks",
    "attention_resolutions": "network.attention",
    "num_heads": "network.heads",
    "num_heads_upsample": "network.decoder_heads",
    "num_head_channels": "network.head_width",
    "use_new_attention_order": "network.qkv",
    "use_scale_shift_norm": "network.scale_shift",
    "resblock_updown": "network.resample_blocks",
    "learn_sigma": "network.learned_variance",
    "predict_xstart": "parameterization.name",
    "rescale_timesteps": "label.scale",
    "sigma_small": "sampler.variance",
    "var_type": "sampler.variance",
    "beta_start": "schedule.first",
    "beta_end": "schedule.last",
    "timesteps": "schedule.steps",
    "num_timesteps": "schedule.steps",
    "diffusion_steps": "schedule.steps",
    "num_train_timesteps": "schedule.steps",
    "noise_schedule": "schedule.name",
    "beta_schedule": "schedule.name",
    "prediction_type": "parameterization.name",
    "objective": "parameterization.name",
    "num_inference_steps": "levels.count",
    "sampling_timesteps": "levels.count",
    "timestep_respacing": "levels.count",
    "guidance_scale": "guidance.scale",
    "cfg_scale": "guidance.scale",
    "scheduler": "sampler.name",
    "mixed_precision": "compute.dtype",
}
# Options of other programs, by what they are here: an option, or one of --set.
OPTIONS = {
    "-n": "--num-samples --n-samples --num-images --n-iter --samples --number",
    "-o": "--output-dir --out-dir --outdir --out --save-dir --output-path --results-folder",
    "-m": "--ckpt --checkpoint --ckpt-path --checkpoint-path --model-path --network --weights "
    "--model-dir --pretrained-model-name-or-path",
    "--batch": "--batch-size --bs --train-batch-size --max-batch-size",
    "--steps": "--num-inference-steps --num-steps --sampling-steps --ddim-steps --timesteps "
    "--epochs --num-epochs --iterations --max-train-steps --timestep-respacing",
    "--sampler": "--scheduler --sampling-method --solver",
    "--class": "--label --class-idx --class-label --y",
    "--from": "--latents --latent --from-latents",
    "--lr": "--learning-rate",
    "--seed": "--random-seed",
    "--device": "--gpu --gpus --cuda --cpu --no-cuda",
    "--dtype bfloat16": "--fp16 --half --amp --mixed-precision --use-fp16 --bf16",
    "--init": "--init-image --init-img --image",
    "--at": "--strength",
    "--set guidance.scale=": "--guidance-scale --cfg-scale --cfg --guidance --scale",
    "--set sampler.eta=": "--eta --ddim-eta",
    "--set train.workers=": "--num-workers --workers",
    "--set train.ema=": "--ema-decay --ema-rate",
    "--set data.name=folder --set data.path=": "--data --dataset --data-dir --data-path "
    "--train-data-dir --dataset-path --input-dir",
    "--set data.size=": "--image-size --resolution --size --height --width",
    "--set network.classes=": "--num-classes --class-cond",
    "--task colorize": "--colorize --colourize --grey --gray",
    "--task deblur": "--deblur --sharpen",
}
VERBS = {
    "sample": "generate gen infer inference predict draw create txt2img",
    "sample --init": "img2img sdedit",
    "nll": "likelihood bpd",
    "eval": "evaluate evaluation measure score fid metrics compare",
    "upscale": "super-resolution superres sr upsample enlarge deblur colorize denoise restore",
    "encode": "invert inversion ddim-invert",
    "inpaint": "fill outpaint",
    "interpolate": "morph slerp",
    "train": "finetune fine-tune resume",
    "info": "show describe inspect",
    "report": "tensorboard dashboard watch monitor compare html",
    "presets": "list models configs ls",
    "schedule": "plot",
    "collect": "gather merge montage grid make-grid contact-sheet combine concat",
    "selftest": "test benchmark check",
    "--help": "help",
    "--version": "version",
}
# Samplers whose names differ by more than signs and prefixes; some are relatives alone.
SAMPLERS = {
    "dpm2": "dpm-solver-2",
    "dpmsolver": "dpm-solver-3",
    "dpm++": "dpm++2m",
    "dpmsolver++": "dpm++2m",
    "dpmsolvermultistep": "dpm++2m",
    "dpmsolversinglestep": "dpm++2s",
    "dpmfast": "dpm-solver-3",
    "lms": "dpm-solver-multi",
    "plms": "dpm-solver-multi",
    "pndm": "dpm-solver-multi",
    "ipndm": "dpm-solver-multi",
    "deis": "dpm-solver-multi",
    "unipcmultistep": "unipc",
    "eulerdiscrete": "euler",
    "eulerancestraldiscrete": "euler-a",
    "heundiscrete": "heun",
}


# Guiders by other names, without signs but +, and what is asked for in another way.
GUIDERS = {
    "cfg++": "did you mean cfg-pp?",
    "cfgzerostar": "did you mean cfg-zero?",
    "cfgzero": "did you mean cfg-zero?",
    "zerostar": "did you mean cfg-zero?",
    "classifierfree": "did you mean cfg?",
    "plain": "did you mean cfg?",
    "autoguidance": "give --guide-with MODEL, or --set guidance.model=MODEL",
    "dropout": "set guidance.dropout",
    "interval": "set guidance.low and guidance.high",
    "rescale": "set guidance.rescale",
    "none": "set guidance.scale=1",
}
# Operators by what they undo, and by other names of what they do, without signs.
OPERATORS = {
    "colorize": "grey gray greyscale grayscale colour color colorization colourization",
    "upscale": "sr superres superresolution upsample enlarge downscale downsample shrink bicubic",
    "deblur": "blur gaussianblur gaussian sharpen deconvolution",
    "jpeg": "jpg compression dejpeg artifacts",
    "fourier": "mri kspace fft frequencies",
    "sensing": "cs compressedsensing compressivesensing random",
    "mask": "inpaint inpainting outpaint fill hole holes box",
}


def key(name: str) -> str:
    """Which key of ours is meant by that of another program, or by one without its table."""
    name = name.lower().replace("-", "_")
    if name in KEYS:
        return KEYS[name]
    kinds = [*catalog.FIXED, *catalog.KINDS]
    owners = [table for table in kinds if name in _knobs(table)]
    return f"{owners[0]}.{name}" if owners else ""


def knob(table: str, name: str, choices: Iterable[str]) -> str:
    """Say which knob was meant of a component that has these, or whose knob it is."""
    meant, knobs = key(name), list(choices)
    if table in catalog.PICKED:
        return nearest(name, knobs)
    if name not in KEYS and table in catalog.KINDS and (owners := _owners(table, name)):
        return f"{name} is a key of {table}.name={', '.join(owners)}"
    owner, _, own = meant.partition(".")
    if meant and (owner != table or own in (*knobs, "name")):
        return f"did you mean {meant}?"
    if not meant:
        return nearest(name, knobs)
    return f"{own} is a key of {table}.name={', '.join(_owners(table, own))}"


def _owners(table: str, name: str) -> list[str]:
    """The components of a table that have a knob of this name."""
    return [part for part in catalog.names(table) if name in catalog.find(table, part).knobs]


def _knobs(table: str) -> set[str]:
    if table in catalog.FIXED:
        return {*catalog.fixed(table).knobs}
    return {knob for name in catalog.names(table) for knob in catalog.find(table, name).knobs}


def component(table: str, name: str, choices: Iterable[str]) -> str:
    """Say which component was meant, also by another program's name, or list those there are."""
    names = list(choices)
    if table == "sampler":
        lists = {_plain(choice): choice for choice in names}
        for form in _forms(name):
            if meant := lists.get(form) or SAMPLERS.get(form):
                levels = " with --set levels.name=karras" * ("karras" in name.lower())
                return f"did you mean {meant}{levels}?"
        if name.lower() in catalog.names("levels"):
            return f"that is a list of levels: --set levels.name={name.lower()}"
    if table == "guidance" and (meant := GUIDERS.get(_plain(name))):
        return meant
    if table == "operator" and (meant := _operator(name)):
        others = ", ".join(sorted({*names} - {meant}))
        if meant in names:
            return f"did you mean {meant}? Others: {others}"
        elsewhere = f"{meant} is an operator of the command line"
        elsewhere = "holes are filled by ddpm inpaint" if meant == "mask" else elsewhere
        return f"{elsewhere}; choose from {others}"
    return nearest(name, names)


def _operator(name: str) -> str:
    """Which operator undoes what is called so, or `mask`; empty if none is known to."""
    plain = _plain(name)
    known = OPERATORS.items()
    return next((ours for ours, theirs in known if plain in (ours, *theirs.split())), "")


def _plain(name: str) -> str:
    """A name without what programs write differently."""
    return re.sub(r"[^a-z0-9+]", "", name.lower()).replace("pp", "++")


def _forms(name: str) -> list[str]:
    """What a sampler may be called here."""
    plain = _plain(name).removesuffix("scheduler").removesuffix("sampler")
    plain = plain.removesuffix("karras").removeprefix("sample")
    forms = [plain, plain.removeprefix("k")]
    return [*forms, *(form.replace("ancestral", "a") for form in forms)]


def option(flag: str, known: Iterable[str]) -> str:
    """Which option of a command, that knows these, another program's stands for."""
    plain, have = flag.replace("_", "-"), set(known)
    for ours, theirs in OPTIONS.items():
        if plain in theirs.split() and ours.split()[0] in have:
            return ours
    return ""


def verb(name: str) -> str:
    """Which command another program's stands for."""
    return next((ours for ours, theirs in VERBS.items() if name in theirs.split()), "")
