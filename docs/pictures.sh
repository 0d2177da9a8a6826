#!/bin/sh
# Makes the pictures of the docs that need no long training: sh docs/pictures.sh MNIST FOLDER
# MNIST: the folder of the test set; FOLDER: where to work. Minutes on two cores.
set -e
mnist=$1 out=$(cd "$(dirname "$0")/pictures" && pwd)
mkdir -p "$2" && cd "$2"
ddpm() { python -m ddpm_cli "$@" -q; }

python - "$mnist" <<'EOF'
import sys
from pathlib import Path

from PIL import Image, ImageDraw
from ddpm_cli.data.sets.images import mnist

images = mnist("test", path=sys.argv[1])[list(range(12))][0]
for folder in ("digits", "hole", "small", "shown", "bicubic"):
    Path(folder).mkdir(exist_ok=True)
for number, pixels in enumerate(images):
    name, digit = f"d{number:02}.png", Image.fromarray(pixels[0].numpy())
    hole = digit.copy()
    ImageDraw.Draw(hole).rectangle((7, 7, 20, 20), fill=128)
    small = digit.reduce(2)
    digit.save(f"digits/{name}")
    hole.save(f"hole/{name}")
    small.save(f"small/{name}")
    small.resize((28, 28), Image.Resampling.NEAREST).save(f"shown/{name}")
    small.resize((28, 28), Image.Resampling.BICUBIC).save(f"bicubic/{name}")
EOF

for each in "digits -n 64" "fewer --seeds 0-15 --steps 25" \
    "heun --seeds 0-15 --sampler heun --calls 49" "sevens --seeds 0-15 --class 7"; do
    set -- $each
    name=$1 && shift
    ddpm sample -m mnist "$@" --zoom 2 -o "$out/$name.png" --force
done

ddpm guide -m mnist --class 7 -n 9 --zoom 2 --scale 1 -o none.png --force
ddpm guide -m mnist --class 7 -n 9 --zoom 2 --scale 1.5 -o some.png --force
ddpm guide -m mnist --class 7 -n 9 --zoom 2 --scale 4 -o much.png --force
ddpm guide -m mnist --class 7 --classifier mnist-classifier --unconditional --scale 8 -n 9 \
    --zoom 2 -o judged.png --force
ddpm collect none.png some.png much.png judged.png -o "$out/guided.png" --force --columns 4

ddpm inpaint digits --mask 7,7,21,21 -n 3 -o proposals/ --force
ddpm collect digits hole proposals/*-000000.png proposals/*-000001.png proposals/*-000002.png \
    -o "$out/inpaint.png" --force --columns 12 --zoom 2

ddpm upscale small -o enlarged/ --force
ddpm collect shown bicubic enlarged digits -o "$out/upscale.png" --force --columns 12 --zoom 2

ddpm interpolate digits/d00.png digits/d01.png digits/d02.png -n 7 --zoom 2 --labels place \
    -o "$out/interpolate.png" --force

ddpm train --preset swiss-roll -o roll
ddpm sample -m roll -n 1000 --batch 1000 -o points.csv --trajectory "$out/walk.png" \
    --show forward,walk,score --force

ddpm train --preset two-gaussians -o pair
ddpm sample -m pair -n 1000 --batch 1000 --sampler langevin -o plain.csv \
    --trajectory "$out/langevin.png" --show walk,score,paths --frames 6 --force
ddpm train --preset two-points -o points
ddpm sample -m points -n 300 --batch 300 -o numbers.csv --trajectory "$out/numbers.png" \
    --show walk,score,paths --frames 6 --force
python -c "print('x1', *[-0.5, 0.5] * 200, sep='\n')" > points.csv
ddpm encode points.csv -m points --method forward --at 0,5%,10%,25%,50%,100% \
    -o "$out/two-points.png" --force

ddpm sample -m mnist --class 7 --seed 0 -o seven.png --force
ddpm sample -m mnist --class 2 --seed 5 -o two.png --force
ddpm encode seven.png two.png -m mnist --method forward --at 0,10%,25%,50%,75%,100% --zoom 3 \
    -o "$out/forward.png" --force
ddpm sample -m mnist -n 2 -o digits.png --trajectory "$out/predicted.png" \
    --show forward,walk,x0 --zoom 2 --force
ddpm nll -m mnist-likelihood --split test -n 4 --method vlb --steps 250 \
    --rate-distortion "$out/decompression.png" --force
ddpm schedule -m mnist --spectrum seven.png --plot "$out/spectrum.png" --force
ddpm encode seven.png two.png -m mnist,mnist-diffusers -o "$out/codes.png" --force
