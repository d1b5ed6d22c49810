"""The demonstration encoder's training, in its parts: what is held out, the loss, the augmentation."""

import numpy as np
import torch

from scripts.emoji_art import TRAINED_ON, UNSEEN, ArtSet, Concept
from scripts.train_joint_encoder import augmented, info_nce, phrases, recall
from tests.emoji import LABELS, PICTURES


def concept(code: str, label: str = "a thing", *tags: str) -> Concept:
    return Concept(code, label, tags, "objects", "tool")


def test_the_pictures_of_the_tests_are_of_held_out_emoji() -> None:
    for path, label in zip(PICTURES, LABELS, strict=True):
        assert concept(path.stem.upper(), label).held_out


def test_man_woman_and_person_are_held_out_together() -> None:
    for number in range(0x1F300, 0x1F6FF):
        person = f"{number:X}"
        for other in ("-200D-2642-FE0F", "-200D-2640-FE0F", "-200D-27A1-FE0F"):
            assert concept(person + other).held_out == concept(person).held_out
        assert len({concept(f"{who}-200D-{person}").held_out for who in ("1F468", "1F469", "1F9D1")}) == 1
    shares = [concept(f"{number:X}").held_out for number in range(0x1F300, 0x1F6FF)]
    assert 0.07 < np.mean(shares) < 0.13


def test_openmoji_is_never_trained_on() -> None:
    assert UNSEEN == "OpenMoji"
    assert UNSEEN not in TRAINED_ON


def test_phrases_are_of_the_label_and_the_tags() -> None:
    said = phrases(concept("1F528", "hammer", "tool", "nail"), np.random.default_rng(0))
    assert said[0] == "hammer"
    assert phrases(concept("1F528", "hammer"), np.random.default_rng(0))[3] == "hammer, hammer, hammer"


def test_info_nce_is_its_formula() -> None:
    torch.manual_seed(0)
    images, bank = (torch.nn.functional.normalize(torch.randn(rows, 5), dim=-1) for rows in (4, 7))
    place, scale = torch.tensor([2, 5, 2, 0]), torch.tensor(3.0)
    near = (scale * images @ bank.T).double()
    to_text = -torch.log_softmax(near, dim=1)
    smoothed = 0.9 * to_text[range(4), place] + 0.1 * to_text.mean(dim=1)
    among = torch.softmax(near[:, place].T, dim=1)
    right = torch.tensor([among[0, 0] + among[0, 2], among[1, 1], among[2, 0] + among[2, 2], among[3, 3]])
    wanted = (smoothed.mean() - right.log().mean()) / 2
    torch.testing.assert_close(info_nce(images, bank, place, scale).double(), wanted, atol=1e-6, rtol=1e-6)


def test_pictures_stay_pictures() -> None:
    torch.manual_seed(0)
    pixels = torch.zeros(40, 64, 64, 4, dtype=torch.uint8)
    pixels[:, 16:48, 16:48] = torch.tensor([200, 30, 30, 255], dtype=torch.uint8)
    made = augmented(pixels, torch.zeros(40, dtype=torch.bool))
    assert made.shape == (40, 3, 64, 64)
    assert float(made.min()) >= -1
    assert float(made.max()) <= 1
    assert len({tuple(picture.flatten()[::997].tolist()) for picture in made}) == 40
    assert (made[:, 0, 32, 32] > made[:, 1, 32, 32]).float().mean() > 0.8


def test_recall_counts_the_rows_whose_own_column_is_near() -> None:
    near = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1]], dtype=np.float32)
    assert recall(near, 1) == round(1 / 3, 4)
    assert recall(near, 2) == round(2 / 3, 4)


def test_what_is_transparent_shows_white() -> None:
    pixels = np.zeros((2, 64, 64, 4), dtype=np.uint8)
    pixels[1, :, :, 3] = 255
    clear, black = ArtSet("drawn", np.array([0, 1]), pixels).on_white()
    assert clear.getpixel((5, 5)) == (255, 255, 255)
    assert black.getpixel((5, 5)) == (0, 0, 0)
    assert len(ArtSet("drawn", np.array([0, 1]), pixels).on_white(np.array([False, True]))) == 1
