"""Asks a vision-language model about an image.

python examples/ask.py model tests/emoji/1f43c.png "What is this?"
"""

import argparse
import sys
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from transformers.utils import logging

from unicorn_hf import UnicornError
from unicorn_hf.vlm import UnicornForConditionalGeneration


def main() -> None:
    arguments = parsed()
    try:
        picture = Image.open(arguments.picture)
        options = {"encoder": arguments.encoder} if arguments.encoder else {}
        model = UnicornForConditionalGeneration.from_pretrained(arguments.model, **options).eval()
    except (OSError, UnidentifiedImageError) as error:
        sys.exit(f"error: {error}")
    if arguments.image_statistics:
        model.add_image_statistics(arguments.image_statistics)
    [answer] = model.answer([picture], [arguments.question], max_new_tokens=arguments.max_new_tokens)
    print(answer)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder of train_vlm.py, or ORG/NAME on the Hub")
    parser.add_argument("picture", type=Path)
    parser.add_argument("question")
    parser.add_argument(
        "--image-statistics", type=Path, help="a file of `unicorn-hf calibrate`, if set and training had none"
    )
    parser.add_argument("--encoder", help="the set's encoder, if this machine cannot find it by the name in the model")
    parser.add_argument("--max-new-tokens", type=int, default=60)
    return parser.parse_args()


if __name__ == "__main__":
    logging.set_verbosity_error()
    try:
        main()
    except UnicornError as error:
        sys.exit(f"error: {error}")
