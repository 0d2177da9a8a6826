"""Make the bundled model from a run: the averaged weights as 16-bit floats.

python benchmarks/bundle.py runs/mnist ddpm_cli/assets/mnist.safetensors
"""

from pathlib import Path

import click

from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.settings import presets


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
def main(run: Path, output: Path) -> None:
    """Copy the model of RUN to OUTPUT with its whole header, weights as float16."""
    header, weights = checkpoint.load(run / "model.safetensors")
    # Where the data lay is of the machine that trained; a preset may have been told better since.
    config = {**header.config, "data": {**header.config["data"], "path": ""}}
    for name, summary, _ in presets.list_presets():
        if name == output.stem:
            config["summary"] = summary
    header = header._replace(config=config)
    small = {name: weight.half() for name, weight in weights.items()}
    header = checkpoint.save(output, small, header)
    worst = max(float((small[n].float() - weights[n]).abs().max()) for n in weights)
    print(f"{output}: {output.stat().st_size:,} bytes, weights moved by at most {worst:.2g}")
    print(f"hash {header.hash}")


if __name__ == "__main__":
    main()
