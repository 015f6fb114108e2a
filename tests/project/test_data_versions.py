"""Every command of docs/data.md, run as it stands: on a clone, a local folder and a loopback S3."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from hpa.data.images.catalogue import read_catalogue
from hpa.data.packed.record import RECORD
from hpa.data.packed.vocabulary import FILE_NAME
from hpa.vocabulary.hpa2018 import HPA_2018
from support.clones import ROOT, link_environment, make_clone, shell
from support.servers import Response, serve
from support.worlds import digests, draw_pixels, write_csv, write_image, write_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="no .venv: run make setup"),
]
PERSON = {
    f"GIT_{role}_{name}": value
    for role in ("AUTHOR", "COMMITTER")
    for name, value in (("NAME", "t"), ("EMAIL", "t@example.org"))
}


def commands(title: str, number: int = 0) -> str:
    """Return a block of shell commands of docs/data.md by the title of its section."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    section = re.split(rf"^## {re.escape(title)}$", text, flags=re.MULTILINE)[1]
    section = section.partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[number]


def run(folder: Path, block: str, changes: dict[str, str] | None = None, **environment: str) -> str:
    """Run a block after literal changes, each of which must apply; returns what it says."""
    for old, new in (changes or {}).items():
        assert old in block
        block = block.replace(old, new)
    done = shell(folder, f"set -e\n{block}", **PERSON, **environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def dated(when: str) -> dict[str, str]:
    stamp = subprocess.run(
        ["date", "--iso-8601=seconds", "--date", when], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}


@contextmanager
def forgotten(folder: Path) -> Iterator[None]:
    """Hide the images and DVC's cache, so that only a remote has them."""
    run(folder, "mv .dvc/cache .dvc/hidden && rm -rf data own/mydata")
    yield
    run(folder, "rm -rf .dvc/cache && mv .dvc/hidden .dvc/cache")


def images_in(raw_dir: Path) -> dict[str, bytes]:
    """Return images and tables of data/raw, without their vocabulary and record."""
    return {
        name: content
        for name, content in digests(raw_dir).items()
        if name not in (RECORD, FILE_NAME)
    }


@pytest.fixture(scope="module")
def data_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with two versions of a user's images: of two months ago, and of today."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "hpa")
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    of_data = {name: stages[name] for name in ("fetch", "pack", "split")}  # the others take minutes
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": of_data}))
    run(folder, "git commit -qam 'Data only'")
    write_world(folder / "own/mydata")
    past = dated("2 months ago")
    run(folder, commands("Version your own images"), **past)
    shares = "-S split.test_fraction=0.3 -S split.val_fraction=0.3"  # of 40 images
    run(folder, f"{commands('Four sources').splitlines()[0]} {shares}")
    run(folder, "git add params.yaml dvc.lock && git commit -qm old", **past)
    write_image(folder / "own/mydata/train", "cell-000", draw_pixels(99))
    run(folder, commands("Version your own images"))
    run(folder, "dvc repro && git add dvc.lock && git commit -qm new")
    return folder


@pytest.fixture(scope="module")
def versions(data_clone: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The images of two months ago, and those of today."""
    today = digests(data_clone / "own/mydata")
    run(data_clone, "git switch -q --detach HEAD~2 && dvc checkout")
    past = digests(data_clone / "own/mydata")
    run(data_clone, "git switch -q - && dvc checkout")
    assert past != today
    return past, today


def test_dvc_watches_the_folder_that_fetch_reads(
    data_clone: Path, versions: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    assert images_in(data_clone / "data/raw") == versions[1]
    assert "Running stage" not in run(data_clone, "dvc repro")


def test_each_source_runs_by_its_command(data_clone: Path, tmp_path: Path) -> None:
    _, atlas, kaggle = commands("Four sources").splitlines()
    picture = (data_clone / "own/mydata/train/cell-001_red.png").read_bytes()
    write_csv(
        data_clone / "own/hpav18.csv", ("Id", "Target"), [("1_2_A1_1", "7"), ("3_2_A1_1", "")]
    )
    with serve(lambda _: Response(200, picture)) as server:
        run(data_clone, f"{atlas} -S fetch.base_url={server.url} fetch")
    assert list(read_catalogue(data_clone / "data/raw", HPA_2018)["Id"]) == ["1_2_A1_1", "3_2_A1_1"]
    home = {"HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    done = shell(data_clone, f"{kaggle} fetch", **PERSON, **home)
    assert "no valid Kaggle credentials" in done.stdout + done.stderr
    run(data_clone, "git checkout -q -- params.yaml dvc.lock && dvc checkout")


def test_a_local_folder_keeps_and_returns_the_images(
    data_clone: Path, versions: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    block = commands("Share it through a folder")
    before, _, pull = block.rpartition("dvc pull")
    assert pull == "\n"
    run(data_clone, before, {"/mnt/shelf/hpa": str(tmp_path)})
    with forgotten(data_clone):
        run(data_clone, "dvc pull")
    assert digests(data_clone / "own/mydata") == images_in(data_clone / "data/raw") == versions[1]
    run(data_clone, "dvc remote remove shelf && git commit -qam 'Forget the folder'")


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    ).create_bucket(Bucket="my-bucket")
    yield {"https://s3.example.org": url, "ID=…": "ID=x", "KEY=…": "KEY=x"}
    server.stop()


def test_s3_keeps_and_returns_the_images(
    data_clone: Path, versions: tuple[dict[str, bytes], dict[str, bytes]], s3: dict[str, str]
) -> None:
    before, _, pull = commands("Share it through S3").rpartition("dvc pull")
    run(data_clone, before, s3)
    keys = "export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x\n"
    with forgotten(data_clone):
        run(data_clone, f"{keys}dvc pull{pull}")
    assert digests(data_clone / "own/mydata") == images_in(data_clone / "data/raw") == versions[1]
    run(data_clone, "git checkout -q -- .dvc/config")


def test_last_month_s_data_comes_back_and_today_s_again(
    data_clone: Path, versions: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    past, today = versions
    there, _, back = commands("Go back to last month's data").partition("git switch -\n")
    naming, _, there = there.partition("\n")
    run(data_clone, naming, {"/mnt/shelf/hpa": str(tmp_path)})
    run(data_clone, "dvc push --all-commits")
    with forgotten(data_clone):
        run(data_clone, there)
        assert digests(data_clone / "own/mydata") == images_in(data_clone / "data/raw") == past
    run(data_clone, "git switch -\n" + back)
    assert digests(data_clone / "own/mydata") == images_in(data_clone / "data/raw") == today

    run(data_clone, commands("Go back to last month's data", 1), {"dvc repro": "dvc repro fetch"})
    assert digests(data_clone / "own/mydata") == images_in(data_clone / "data/raw") == past
    run(data_clone, "git checkout -q HEAD -- own/mydata.dvc dvc.lock && dvc checkout")


def test_a_colleague_reproduces_a_run_from_its_commit_alone(
    data_clone: Path, tmp_path: Path
) -> None:
    run(data_clone, f"dvc remote add --force --default shelf {tmp_path / 'shelf'}")
    run(data_clone, "rm -f .dvc/config.local")
    (data_clone / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    run(data_clone, "dvc repro")
    run(data_clone, "git add --all . && git commit -qm 'A run' && dvc push")
    commit = run(data_clone, "git rev-parse HEAD").strip()
    cloning, *rest = commands("Reproduce a run from its commit").splitlines()
    address = re.findall(r"https://\S+", cloning)[0]
    run(data_clone, cloning, {address: str(data_clone), " colleague": f" {tmp_path / 'colleague'}"})
    colleague = tmp_path / "colleague"
    link_environment(colleague)
    assert rest[:3] == ["cd colleague", "git switch --detach COMMIT", "make setup"]
    run(colleague, rest[1], {"COMMIT": commit})
    said = run(colleague, "\n".join(rest[3:]))
    assert "Running stage" not in said
    for name in ("data/raw", "model", "reports", "own/mydata"):
        assert digests(colleague / name) == digests(data_clone / name)
