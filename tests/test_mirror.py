"""Tests mirror the package: the test of `ddpm_cli/A/b.py` is `tests/A/test_b.py`.

What every module of a folder must do stands in `test_contract.py` there; the work of a verb,
`pipelines/VERB.py`, is tested with its command.
"""

from pathlib import Path

import ddpm_cli

TESTS = Path(__file__).parent
PACKAGE = Path(ddpm_cli.__file__).parent
# Modules that are tested with others, by the file that does it.
ELSEWHERE = {
    "data/sets/test_windowed.py": "data/recordings",
    "api/test_model.py": (
        "api/arguments api/coding api/drawing api/edits api/guiding api/handle api/likelihood "
        "api/loading"
    ),
    "commands/test_collect.py": (
        "pipelines/array_stores pipelines/collect_latents pipelines/collected_files "
        "pipelines/contact_sheets pipelines/gathering pipelines/stores settings/collecting"
    ),
    "commands/test_convert.py": (
        "files/checkpoints/containers/content "
        "files/checkpoints/containers/unpickling files/checkpoints/conversion "
        "pipelines/convert_check settings/releases"
    ),
    "commands/test_convert_ema.py": (
        "files/checkpoints/averages pipelines/ema_best pipelines/kept_averages"
    ),
    "data/test_emoji_names.py": "data/emoji_tables",
    "diffusion/losses/test_distilling.py": "diffusion/few_steps",
    "pipelines/test_distill.py": "pipelines/inheriting",
    "commands/test_encode.py": (
        "files/checkpoints/latents options/walking pipelines/inversion pipelines/starts "
        "settings/usual"
    ),
    "commands/test_eval.py": (
        "data/image_arrays evaluation/extractor evaluation/features/lenet evaluation/statistics "
        "files/cache pipelines/eval_drawing pipelines/eval_evidence "
        "pipelines/eval_features pipelines/eval_figures pipelines/eval_floor "
        "pipelines/eval_report pipelines/eval_sides pipelines/eval_statistics "
        "pipelines/eval_words settings/eval_requests settings/protocols"
    ),
    "commands/test_eval_sweep.py": (
        "pipelines/sweep pipelines/sweep_cells pipelines/sweep_report pipelines/sweep_table"
    ),
    "commands/test_fit.py": "files/checkpoints/moments",
    "commands/test_fit_levels.py": (
        "files/checkpoints/level_fits pipelines/level_search settings/fit_requests"
    ),
    "commands/test_guide.py": "guides/scorer options/guiding settings/guides",
    "commands/test_guide_by_method.py": ("guides/parts/known_images pipelines/guided_restoring"),
    "commands/test_guide_with.py": "files/checkpoints/guide_models models/second",
    "diffusion/guiders/test_contract.py": "diffusion/directed",
    "commands/test_info.py": "files/checkpoints/find",
    "commands/test_info_data.py": (
        "data/surveying pipelines/info_columns pipelines/info_sheet pipelines/info_train "
        "pipelines/info_words"
    ),
    "commands/test_inpaint.py": "files/images/canvas files/images/masks pipelines/filling",
    "commands/test_nll.py": (
        "files/outputs/curves pipelines/meter pipelines/nll_baselines pipelines/nll_kept "
        "pipelines/nll_measuring pipelines/nll_plan pipelines/nll_words pipelines/rows "
        "settings/nll_requests"
    ),
    "commands/test_refusals.py": (
        "data/array_faults data/no_classes data/no_images files/images/tiff "
        "foreign/kinds foreign/signs"
    ),
    "commands/test_report.py": (
        "files/outputs/page/document files/outputs/page/sheets "
        "pipelines/report_sections pipelines/report_subjects"
    ),
    "commands/test_verbs_on_rows.py": (
        "api/rows data/given_rows files/outputs/row_files pipelines/encode_rows "
        "pipelines/given pipelines/inpaint_rows pipelines/interpolate_rows pipelines/nll_scores "
        "pipelines/opening_inpaint pipelines/opening_rows pipelines/row_filling"
    ),
    "commands/test_sample.py": "pipelines/drawing pipelines/finishing",
    "commands/test_selftest.py": "evaluation/oracles",
    "commands/test_upscale.py": (
        "pipelines/editing pipelines/opening_upscale pipelines/restorer pipelines/upscale_job"
    ),
    "data/sets/test_arrays.py": "pipelines/train_checks pipelines/train_warnings",
    "data/test_columns.py": "data/column_files data/table_cells",
    "data/test_shards.py": "data/forms",
    "data/test_sources.py": "data/places",
    "data/test_dataset_json.py": "data/npy_images",
    "data/test_lmdb_files.py": "data/lmdb_index",
    "data/test_loading.py": "data/image_set",
    "data/test_npz_sets.py": "data/image_stacks data/npz_entries data/npz_names data/row_files",
    "data/test_parquet_files.py": "data/own_classes data/parquet_columns",
    "data/test_python_sets.py": "data/python_rows data/sets/programs",
    "data/test_tar_files.py": "data/pieces data/tar_index",
    "data/test_tasks.py": "training/init",
    "data/test_value_files.py": "data/told_values",
    "data/test_torchvision_files.py": "data/sets/packages",
    "diffusion/samplers/test_contract.py": "diffusion/exponential diffusion/steps",
    "diffusion/schedules/test_tables.py": "settings/inlining",
    "diffusion/test_constraints.py": "diffusion/known_pixels",
    "diffusion/test_denoiser.py": "diffusion/shapes",
    "diffusion/test_walk.py": "diffusion/renoise",
    "evaluation/features/test_networks.py": (
        "evaluation/features/inceptions evaluation/features/transformers evaluation/resizing "
        "evaluation/weights"
    ),
    "evaluation/metrics/test_frechet.py": "evaluation/metrics/parts/gaussians",
    "evaluation/test_measuring.py": "evaluation/measures",
    "files/checkpoints/formats/test_edm.py": (
        "files/checkpoints/containers/persistent files/checkpoints/formats/parts/edm_networks"
    ),
    "files/checkpoints/formats/test_guided_diffusion.py": (
        "files/checkpoints/formats/parts/keys files/checkpoints/formats/parts/openai "
        "files/checkpoints/formats/parts/openai_models files/checkpoints/formats/parts/questions"
    ),
    "files/checkpoints/formats/test_score_sde.py": "files/checkpoints/formats/parts/song_networks",
    "files/checkpoints/formats/test_lucidrains.py": (
        "files/checkpoints/formats/parts/lucidrains_keys networks/parts/memories "
        "networks/parts/postnorm"
    ),
    "files/checkpoints/formats/test_diffusers.py": (
        "files/checkpoints/formats/parts/diffusers/names "
        "files/checkpoints/formats/parts/diffusers/options "
        "files/checkpoints/formats/parts/diffusers/places"
    ),
    "files/checkpoints/formats/parts/diffusers/test_schedules.py": (
        "files/checkpoints/formats/parts/diffusers/walks"
    ),
    "files/checkpoints/formats/test_k_diffusion.py": (
        "files/checkpoints/containers/fields files/checkpoints/formats/parts/k_diffusion_networks "
        "networks/parts/adaptive networks/parts/hourglass"
    ),
    "files/checkpoints/test_run.py": "files/checkpoints/lock",
    "files/checkpoints/test_hostile.py": "files/checkpoints/entries",
    "files/checkpoints/test_header.py": "files/checkpoints/data_info files/titles",
    "files/images/test_decoding.py": "files/images/deep",
    "files/images/test_inputs.py": "files/images/opening",
    "files/images/test_pixels.py": "files/images/png",
    "files/outputs/test_numbers.py": "files/outputs/plots",
    "files/outputs/test_targets.py": "files/outputs/pictures files/outputs/stills",
    "files/outputs/test_trajectories.py": (
        "files/outputs/frames files/outputs/panels settings/showing"
    ),
    "files/test_provenance.py": "files/records options/reading",
    "golden/test_weights.py": "diffusion/weights",
    "diffusion/losses/test_contrasting.py": "diffusion/contrast",
    "guides/parts/test_clip_judge.py": "guides/clip guides/parts/faults",
    "guides/parts/test_rewards.py": "guides/parts/programs",
    "guides/parts/test_user_code.py": "guides/parts/user_functions",
    "commands/test_particles.py": "guides/parts/particles",
    "guides/test_classifier.py": (
        "guides/parts/classifiers guides/parts/context guides/parts/steering"
    ),
    "models/test_build.py": "models/datasets models/kinds models/saved",
    "models/test_walks.py": "models/model models/walk_parts",
    "encoders/test_frozen.py": "encoders/clip_texts encoders/hashes files/encodings",
    "networks/parts/test_layers.py": "networks/parts/embeddings",
    "networks/conditions/test_told.py": "files/quantities networks/conditions/text",
    "networks/test_unets.py": "networks/parts/stages",
    "options/test_completion.py": "options/model_names",
    "options/test_shared.py": (
        "options/listing options/outputs settings/request_parts settings/requests settings/seeds"
    ),
    "pipelines/exports/test_export.py": (
        "pipelines/cards pipelines/portable pipelines/portable_calls pipelines/tracing"
    ),
    "pipelines/test_hub.py": "pipelines/publish",
    "pipelines/test_budget.py": "pipelines/forecast pipelines/train_plan",
    "pipelines/test_evaluator.py": (
        "files/checkpoints/best pipelines/sheet_batches pipelines/train_eval"
    ),
    "pipelines/test_fit.py": "networks/parts/heads",
    "pipelines/test_translate.py": "pipelines/translating",
    "pipelines/test_steering.py": "pipelines/guided_classes pipelines/opening",
    "pipelines/test_upscale_windows.py": "pipelines/sizes pipelines/upscale_inputs",
    "settings/test_catalog.py": "settings/components settings/knobs",
    "settings/test_following.py": "pipelines/train_classes",
    "settings/test_limits.py": "options/numbers",
    "settings/test_config.py": "settings/fitting",
    "training/test_conditions.py": "pipelines/materials",
    "training/test_loop.py": (
        "pipelines/journal training/batches training/reporting training/window"
    ),
    "training/test_resume.py": "training/state",
    "training/test_train_classifier.py": "training/held_out",
}


def at_home(module: str) -> list[str]:
    """The test files in which those of a module, api/model.py, are looked for."""
    path = Path(module)
    files = [path.with_name(f"test_{path.name}"), path.with_name("test_contract.py")]
    if path.parts[0] == "pipelines":
        files.append(Path("commands", f"test_{path.name}"))
    return [file.as_posix() for file in files]


def test_every_module_has_a_test_that_is_found_by_its_name() -> None:
    modules = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    tests = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    elsewhere = {f"{name}.py" for names in ELSEWHERE.values() for name in names.split()}
    homeless = {module for module in modules if not tests & {*at_home(module)}}
    assert sorted(homeless - elsewhere) == [], "write tests, or say above where they are"
    assert sorted(elsewhere - homeless) == [], "no longer elsewhere, or no longer there"
    assert sorted({*ELSEWHERE} - tests) == [], "no such test"
