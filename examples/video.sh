#!/usr/bin/env bash
# Upscale a video through a folder of PNGs, with ffmpeg before and after; run again to resume.
# Usage: examples/video.sh CLIP OUT [SCALE]
set -euo pipefail
clip="${1:?video}"
out="${2:?output, such as larger.mp4}"
scale="${3:-2}"

frames="$out.frames"
mkdir -p "$frames/in"
rate="$(ffprobe -v error -select_streams v:0 -show_entries stream=r_frame_rate -of csv=p=0 "$clip")"
# all frames at one rate: those of variable rates are repeated or dropped here
if [ ! -e "$frames/complete" ]; then
  ffmpeg -v error -y -i "$clip" -map 0:v:0 -vf "fps=$rate" "$frames/in/%08d.png"
  touch "$frames/complete"
fi

srx upscale "$frames/in" "$frames/out" --scale "$scale"

# the sound is copied from the input
ffmpeg -v error -y -framerate "$rate" -i "$frames/out/%08d.png" -i "$clip" \
  -map 0:v:0 -map "1:a?" -c:a copy -c:v libx264 -crf 18 \
  -vf "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709" -colorspace bt709 \
  -pix_fmt yuv420p "$out"
rm -r "$frames"
