"""The command, its report, and the tables of the benchmark."""

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest
from typer.testing import Result

from streamdenoise.errors import ConfigError
from tests.support.command import run
from tests.support.skips import skip_or_fail
from tests.train.classic.material import imread
from train.classic.benchmark import digits as digits_table
from train.classic.benchmark import fashion as fashion_table
from train.classic.benchmark import markdown, write_readme
from train.classic.benchmark import photos as photos_table
from train.classic.networks.registry import NETWORKS


def train_by_command(digits: Path, output: Path, *more: object) -> Result:
    return run(
        *("train", "classic", "cnn4dn,autoencoder_mnist", "--data", digits),
        *("--sigma", "76.5", "--epochs", "2", "--batch", "8", "--threads", "1"),
        *("-o", output, *more),
    )


def test_the_command_trains_a_grid_and_prints_a_table(
    digits: Path, tmp_path: Path
) -> None:
    grid = ("--grid", "width=4,8", "--grid", "lr=1e-3")
    result = train_by_command(digits, tmp_path / "out", *grid)
    assert result.exit_code == 0, result.output
    header, *rows = result.stdout.splitlines()
    assert header.split()[:3] == ["network", "parameters", "kMAC/px"]
    names = [row.split()[0] for row in rows[:4]]
    assert names == [
        f"{network}-width{width}-lr0.001"
        for network in ("cnn4dn", "autoencoder_mnist")
        for width in (4, 8)
    ]
    assert all((tmp_path / "out" / n / f"{n}.safetensors").is_file() for n in names)
    assert "cnn4dn-width4-lr0.001: epoch 2, " in result.stderr
    again = train_by_command(digits, tmp_path / "out", *grid)
    assert again.exit_code == 1
    assert "add --resume" in again.stderr


def test_each_run_has_a_folder_of_its_own(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ("--data", digits, "--epochs", "1", "--width", "4", "--threads", "1")
    for names, folder in (("cnn4dn", "cnn4dn"), ("cnn4dn,resnet", "cnn4dn+resnet")):
        result = run("train", "classic", names, *more)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "runs" / folder / "report.html").is_file()


def test_the_word_recipe_may_be_left_out() -> None:
    for words in (("train",), ("train", "recipe")):
        result = run(*words, "none.toml")
        assert result.exit_code == 1
        assert "recipe none.toml cannot be used" in result.stderr


def test_the_report_shows_its_images_in_a_browser(digits: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        skip_or_fail("chromium", "there is no chromium")
    folder = tmp_path / "out"
    result = train_by_command(digits, folder, "--loss", "bce")
    assert result.exit_code == 0, result.output
    page = (folder / "report.html").read_text()
    sources = re.findall(r"""(?:src|href)=['"]([^'"]{0,22})""", page)
    assert set(sources) == {"data:image/png;base64,"}
    shot = tmp_path / "shot.png"
    subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"),
            *("--disable-background-networking", "--window-size=1200,3000"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"),
            (folder / "report.html").as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=50,
    )
    seen = imread(shot)
    for name in ("cnn4dn", "autoencoder_mnist"):
        curves = imread(folder / f"{name}-curves.png")
        strips = imread(folder / f"{name}.png")
        # Only the first strip of the PNG, because the page has captions between them.
        for image in (curves, strips[:110]):
            found = cv2.matchTemplate(seen, image, cv2.TM_CCOEFF_NORMED)
            assert found.max() > 0.98
    # There is text above the first image: the heading and the table.
    assert (seen[:200] < 100).any()


def test_the_table_of_digits_is_generated(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    digits.rename(tmp_path / "mnist" / digits.name)
    rows = digits_table(0.001, tmp_path / "out", 1, tmp_path)
    names = [row[0] for row in rows[2:]]
    assert names[: len(NETWORKS)] == [f"`{name}`" for name in NETWORKS]
    assert names[len(NETWORKS) :] == [
        *("`autoencoder_pool`", "`autoencoder_strided`", "`autoencoder_mnist`"),
    ]
    losses = [row[4].split()[0] for row in rows[2:]]
    assert losses == len(NETWORKS) * ["mse"] + 3 * ["bce"]
    assert {len(row) for row in rows} == {9}


def test_the_table_of_fashion_is_generated(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "fashion").mkdir()
    digits.rename(tmp_path / "fashion" / digits.name)
    labels = bytes((0, 0, 8, 1, 0, 0, 0, 60, *range(60)))
    (tmp_path / "fashion" / "some-labels-idx1-ubyte").write_bytes(labels)
    header, course, mse, bce = fashion_table(0.001, tmp_path / "out", 1, tmp_path)
    assert (course[4], mse[4][:4], bce[4][:4]) == ("bce 0.2765", "mse ", "bce ")
    assert mse[0] == bce[0] == "`autoencoder_strided`"
    assert {len(row) for row in (header, course, mse, bce)} == {9}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>autoencoder_strided-mse</h2>" in page
    assert "<h2>autoencoder_strided-bce</h2>" in page


def test_losses_of_the_command_share_a_report(digits: Path, tmp_path: Path) -> None:
    result = train_by_command(digits, tmp_path / "out", "--loss", "mse,bce")
    assert result.exit_code == 0, result.output
    table = result.stdout.split("\n\n")[0].splitlines()
    assert "PSNR train" in table[0]
    assert "PSNR test" in table[0]
    assert [row.split()[0] for row in table[1:]] == [
        f"{name}-{loss}"
        for name in ("cnn4dn", "autoencoder_mnist")
        for loss in ("mse", "bce")
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "loss mse, bce" in page


def test_the_table_of_photographs_is_generated(photos: Path, tmp_path: Path) -> None:
    for folder in ("train/stills", "test/images/Set12", "test/images/Kodak24"):
        shutil.copytree(photos, tmp_path / folder)
        for path in (tmp_path / folder).glob("[abc].png"):
            cv2.imwrite(str(path), cv2.resize(imread(path), (80, 72)))
    header, *rows = photos_table(0.001, tmp_path / "out", 1, tmp_path)
    assert header[4:] == (
        *("Set12 15", "Set12 25", "Set12 50"),
        *("Kodak24 15", "Kodak24 25", "Kodak24 50"),
    )
    ours, published = rows[:5], rows[5:]
    assert [row[0] for row in ours] == [
        *("`dncnn`", "`ffdnet`", "`unet`", "`nano`", "`nano`, RGB")
    ]
    assert all(0 < float(cell) < 60 for row in ours[:4] for cell in row[4:])
    assert ours[4][4:7] == ("", "", "")
    assert all(0 < float(cell) < 60 for cell in ours[4][7:])
    assert ("*DRUNet, published*", *3 * ("",), "33.25", "30.94", "27.90") == (
        published[3][:7]
    )
    assert {len(row) for row in rows} == {len(header)}


def test_a_table_goes_between_its_comments(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")
    write_readme("x", markdown([("name", "dB"), ("`a`", "1.0")]), readme)
    assert readme.read_text() == (
        "a\n<!-- x: begin -->\n| name | dB |\n|---|---:|\n| `a` | 1.0 |\n"
        "<!-- x: end -->\nb\n"
    )
    with pytest.raises(ConfigError, match="has no place for a table"):
        write_readme("y", "", readme)
