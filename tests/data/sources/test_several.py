"""Several sources as one set: the competition with the atlas, and plates of one's own."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
import pytest

import fetch as script
from hpa.config.params import Params, load_params
from hpa.data.images.catalogue import read_catalogue
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.record import RECORD, fetch_record
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.sources.several import merged
from hpa.data.splits.splitting import split_images
from hpa.errors import UserError
from hpa.inference.reading_rules import reading_rules
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS
from support.fake_sources import IDS, FakeAtlas, FakeKaggle, archive_of, serve_kaggle
from support.paths import ROOT
from support.servers import Server, serve
from support.worlds import digests, draw_pixels, pack_small, write_csv, write_image

PLATES = [
    {"name": f"plate{number}", "source": "local", "path": f"own/plates/{number}"}
    for number in (7, 8)
]
KAGGLE = {"name": "competition", "source": "kaggle"}
ATLAS = {"name": "atlas", "source": "hpa", "path": "own/plates/atlas.csv"}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository's folder; threads, as joblib's processes would stay in that of another test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script, "CACHE_DIR", tmp_path / ".download_cache")
    (tmp_path / "own/labels").mkdir(parents=True)
    with joblib.parallel_config(backend="threading"):
        yield tmp_path


@pytest.fixture
def kaggle(raw_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serve_kaggle(FakeKaggle(archive_of(raw_world)), tmp_path / "home", monkeypatch) as running:
        yield running


@pytest.fixture
def atlas(workspace: Path) -> Iterator[Server]:
    rows = [(IDS[0], "Nucleoli rim"), (IDS[1], "Midbody; Cytosol"), (IDS[2], "Kinetochore")]
    write_csv(workspace / ATLAS["path"], ("Id", "Target"), rows)
    with serve(FakeAtlas().respond) as running:
        yield running


def plate(number: int, *rows: tuple[str, str, str], unlabelled: tuple[str, ...] = ()) -> None:
    """Write own/plates/<number>: images of (Id, Target, group)."""
    folder = Path(f"own/plates/{number}")
    for place, ids in (("train", [row[0] for row in rows]), ("test", unlabelled)):
        for image_id in ids:
            seed = sum(image_id.encode()) + 1000 * number
            write_image(folder / place, image_id, draw_pixels(seed))
    write_csv(folder / "train.csv", ("Id", "Target", "group"), rows)
    if unlabelled:
        write_csv(folder / "sample_submission.csv", ("Id",), [(each,) for each in unlabelled])


def parameters(*sources: dict[str, Any], **changes: Any) -> Params:
    stated = {"source": "several", "sources": list(sources), "path": "own/plates"} | changes
    overrides = {f"fetch.{key}": value for key, value in stated.items()}
    return load_params(ROOT / "params.yaml", overrides)


def fetch(*sources: dict[str, Any], **changes: Any) -> pd.DataFrame:
    found = script.several(parameters(*sources, **changes).fetch)
    assert found is not None
    return read_catalogue(Path("data/raw"), read_vocabulary(Path("data/raw"))).set_index("Id")


def test_two_plates_with_equal_ids_are_one_set_whose_rows_keep_their_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plate(7, ("A01", "Cytosol", "patient 1"), ("A02", "0", ""), unlabelled=("A03",))
    plate(8, ("A01", "Nucleoli", ""), ("B01", "1", "patient 1"), ("A03", "2", ""))
    images = fetch(*PLATES)
    assert images["source"].to_dict() == {
        "plate7_A01": "plate7", "A02": "plate7", "plate8_A01": "plate8", "B01": "plate8",
        "plate8_A03": "plate8", "plate7_A03": "plate7",
    }  # fmt: skip
    assert list(images["Target"]) == ["25", "0", "2", "1", "2", ""]
    assert list(images["labelled"]) == [True] * 5 + [False]
    assert images["group"]["plate7_A01"] == images["group"]["B01"] == "patient 1"
    assert images["group"].nunique() == 5
    for image_id, old in (("plate7_A01", "7/train/A01"), ("plate7_A03", "7/test/A03")):
        for channel in CHANNELS.names:
            new = Path(f"data/raw/{images['folder'][image_id]}/{image_id}_{channel}.png")
            assert new.read_bytes() == Path(f"own/plates/{old}_{channel}.png").read_bytes()
    assert {path.name for path in Path("data").iterdir()} == {"raw"}
    assert {path.name for path in Path("data/raw").iterdir()} == {
        "train", "test", "train.csv", "sample_submission.csv", "vocabulary.json",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "source plate7: 2 labelled images, 1 without labels\n" in said
    assert "4 Ids occur in several sources and got the source's name in front: plate7_A01" in said
    assert "1 groups hold images of several sources" in said
    assert "outside" not in said


def test_kaggle_and_the_atlas_together_are_fetched_packed_and_split(
    kaggle: Server, atlas: Server, raw_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = fetch(
        KAGGLE,
        ATLAS | {"base_url": f"{atlas.url}/images", "label_map": "atlas"},
    )
    competition = images[images["source"] == "competition"]
    assert list(competition.index) == list(read_catalogue(raw_world, HPA_2018)["Id"])
    assert list(competition["Target"]) == list(read_catalogue(raw_world, HPA_2018)["Target"])
    assert images["Target"][IDS[0]] == "2"  # Nucleoli rim
    assert images["Target"][IDS[1]] == "16 25"  # Midbody: cytokinetic bridge
    assert IDS[2] not in images.index  # a kinetochore is none of the 28
    said = capsys.readouterr().out
    assert "1 images are left out, as fetch.label_map drops all of their labels: 4109_12_B2" in said
    assert f"{ATLAS['path']}: Nucleoli rim -> Nucleoli (1 rows)" in said
    pack_small(Path("data/raw"), Path("data/packed"))
    index = read_index(Path("data/packed"))
    assert list(index["source"]) == list(images["source"])
    split = load_params(ROOT / "params.yaml").split
    options = {"test_fraction": 0.2, "val_fraction": 0.2, "n_folds": 1, "seed": split.seed}
    assignment = split_images(index, LABELS, hash_distance=6, train_only="atlas", **options)
    assert set(assignment["split"][index["source"] == "atlas"]) == {"train"}
    assert {"train", "val", "test"} <= set(assignment["split"])
    n_requests = len(atlas.requests), sum("bundle" in each.path for each in kaggle.requests)
    before = digests(Path("data/raw"))
    fetch(KAGGLE, ATLAS | {"base_url": f"{atlas.url}/images", "label_map": "atlas"})
    assert digests(Path("data/raw")) == before
    again = len(atlas.requests), sum("bundle" in each.path for each in kaggle.requests)
    assert again[0] == n_requests[0]  # downloads are kept
    assert again[1] <= n_requests[1] + 1  # one request for the headers of the archive


def test_the_competition_keeps_its_ids_and_one_s_own_give_way(kaggle: Server) -> None:
    plate(7, ("cell-000", "Cytosol", ""), unlabelled=("cell-043",))
    images = fetch(PLATES[0], KAGGLE)
    assert images["source"]["plate7_cell-000"] == images["source"]["plate7_cell-043"] == "plate7"
    assert images["source"]["cell-000"] == images["source"]["cell-043"] == "competition"
    assert list(images.index)[:2] == ["plate7_cell-000", "cell-000"]  # in the order of sources


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("path", r"source plate7: fetch\.path is neither a folder nor a(.|\n)*own/plates/9"),
        ("table", r"source plate7: own/plates/7/train\.csv has(.|\n)*unknown label 'Cytosole'"),
        ("file", r"no file of own/plates/7 is the channel red"),
        ("atlas", r"source atlas: .*, line 2: not an image of the atlas"),
        ("token", "no valid Kaggle credentials"),
    ],
)
def test_a_source_that_is_not_available_fails_before_anything_is_downloaded(
    kaggle: Server, atlas: Server, broken: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate(7, ("A01", "Cytosole" if broken == "table" else "Cytosol", ""))
    own = dict(PLATES[0])
    if broken == "path":
        own["path"] = "own/plates/9"
    elif broken == "file":
        Path("own/plates/7/train/A01_red.png").unlink()
    elif broken == "atlas":
        write_csv(Path(ATLAS["path"]), ("Id", "Target"), [("x", "Cytosol")])
    elif broken == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", "")
        for module in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
            monkeypatch.delitem(sys.modules, module)
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/older").touch()
    base = {"base_url": f"{atlas.url}/images", "label_map": "atlas"}
    with pytest.raises(UserError, match=said):
        fetch(KAGGLE, ATLAS | base, own)
    assert atlas.requests == []
    assert not [each for each in kaggle.requests if "IntrospectToken" not in each.path]
    assert [path.name for path in Path("data/raw").iterdir()] == ["older"]
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_a_source_that_breaks_off_leaves_the_older_images(atlas: Server) -> None:
    plate(7, ("A01", "Cytosol", ""))
    fetch(PLATES[0])
    before = digests(Path("data/raw"))
    Path("own/plates/7/train/A01_red.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"A01_red\.png cannot be read"):
        fetch(PLATES[0], ATLAS | {"base_url": f"{atlas.url}/images", "label_map": "atlas"})
    assert digests(Path("data/raw")) == before
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_originals_in_the_folder_that_is_replaced_are_refused() -> None:
    plate(7, ("A01", "Cytosol", ""))
    shutil.copytree("own/plates/7", "data/raw/7")
    with pytest.raises(UserError, match="files to copy are in data/raw, which this stage replaces"):
        fetch(PLATES[0] | {"path": "data/raw/7"})
    assert Path("data/raw/7/train/A01_red.png").is_file()


def test_each_source_is_read_by_its_own_parameters() -> None:
    """12-bit files of one camera, 16-bit ones of another, and names of another laboratory."""
    plate(7, ("A01", "Juice", ""))
    plate(8, ("B01", "Cytosol", ""))
    for number, image_id, white in ((7, "A01", 4095), (8, "B01", 65535)):
        path = Path(f"own/plates/{number}/train/{image_id}_green.png")
        grey = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        wide = np.round(grey * (white / 255)).astype(np.uint16)
        path.unlink()
        assert cv2.imwrite(str(path.with_suffix(".tif")), wide)
    write_csv(Path("own/labels/7.csv"), ("from", "to"), [("Juice", "Cytosol")])
    sources = [PLATES[0] | {"depth": 4095, "label_map": "own/labels/7.csv"}, PLATES[1]]
    images = fetch(*sources, depth=65535)
    assert list(images["Target"]) == ["25", "25"]
    for number, image_id in ((7, "A01"), (8, "B01")):
        seed = sum(image_id.encode()) + 1000 * number
        pixels = cv2.imread(f"data/raw/train/{image_id}_green.png", cv2.IMREAD_UNCHANGED)
        assert (pixels == draw_pixels(seed)[..., 1]).all()


def test_prediction_reads_files_as_all_sources_do_and_else_by_the_section() -> None:
    for own, of_model in ((4095, 4095), (255, 65535)):
        plate(7, ("A01", "Cytosol", ""))
        plate(8, ("B01", "Cytosol", ""))
        sources = [PLATES[0] | {"depth": 4095}, PLATES[1] | {"depth": own}]
        params = parameters(*sources, depth=65535)
        record = fetch_record(asdict(params.fetch), script.several(params.fetch))
        made_with = {
            f"{section}.{key}": value
            for section, values in record.items()
            for key, value in values.items()
        }
        assert reading_rules(params.serve, CHANNELS, made_with).depth.white == of_model


def test_from_table_is_the_union_of_the_names_of_all_sources(kaggle: Server) -> None:
    plate(7, ("A01", "Juice; Nucleoli", ""), ("A02", "Halo", ""))
    write_csv(Path("own/labels/k.csv"), ("from", "to"), [("Endosomes", ""), ("Lysosomes", "Halo")])
    images = fetch(KAGGLE | {"label_map": "own/labels/k.csv"}, PLATES[0], labels="from_table")
    names = read_vocabulary(Path("data/raw")).labels.names
    assert set(names) == {*LABELS.names, "Juice", "Halo"} - {"Endosomes", "Lysosomes"}
    of = {image_id: {names[int(n)] for n in text.split()} for image_id, text in
          images["Target"].items()}  # fmt: skip
    assert of["A01"] == {"Juice", "Nucleoli"}
    assert of["cell-010"] == {"Halo"}  # lysosomes, 10, of the competition
    assert of["cell-000"] == {"Nucleoplasm"}  # and endosomes, 9, which are dropped
    assert "cell-037" not in images.index or of["cell-037"]  # 9 alone is left out


def test_the_command_writes_the_record_and_names_what_dvc_does_not_watch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plate(7, ("A01", "Cytosol", ""))
    plate(8, ("B01", "Cytosol", ""))
    sources = json.dumps([PLATES[0] | {"depth": 4095}, PLATES[1]])
    arguments = ["--fetch.source", "several", "--fetch.sources", sources]
    arguments += ["--fetch.path", "own/plates/7", "--params", str(ROOT / "params.yaml")]
    monkeypatch.setattr("sys.argv", ["fetch.py", *arguments])
    script.main()
    record = json.loads(Path("data/raw", RECORD).read_text())
    assert record["fetch"]["source"] == "several"
    assert record["fetch"]["sources"] == json.loads(sources)
    assert record["fetch"]["labels"] == "hpa2018"
    assert "path" not in record["fetch"]
    assert "competition" not in record["fetch"]
    assert record["found"]["types"] == ["uint8"]
    said = capsys.readouterr().out
    assert "own/plates/8 of source plate8 is outside own/plates/7, the path that DVC w" in said
    assert "of source plate7 is outside" not in said


def test_labels_without_an_image_are_a_line_of_one_source_and_of_the_whole_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_csv(Path("own/labels/l.csv"), ("number", "name"), [("0", "Cilia"), ("1", "Cytosol")])
    plate(7, ("A01", "Cytosol", ""))
    plate(8, ("B01", "Cytosol", ""))
    said = "1 of 2 labels without an image (fetch.labels=from_table omits them): Cilia\n"
    own = {"fetch.source": "local", "fetch.path": "own/plates/7"}
    script.only(load_params(ROOT / "params.yaml", own | {"fetch.labels": "own/labels/l.csv"}).fetch)
    assert capsys.readouterr().out.count(said) == 1
    fetch(*PLATES, labels="own/labels/l.csv")
    assert capsys.readouterr().out.count(said) == 1


# Merging alone: Ids and groups.


def table(*rows: tuple[str, str, str, str], folder: str = "train") -> pd.DataFrame:
    """Images of (Id, group, stated, antibody)."""
    made = pd.DataFrame(rows, columns=["Id", "group", "stated", "antibody"])
    return made.assign(Target="0", labelled=folder == "train", folder=folder)


def groups(**parts: pd.DataFrame) -> dict[str, str]:
    images = merged(parts, dict.fromkeys(parts, "local"))
    return dict(zip(images["Id"], images["group"], strict=True))


def test_equal_stated_groups_and_antibodies_are_one_group_and_equal_ids_are_not() -> None:
    found = groups(
        a=table(
            ("1", "p", "p", "1"), ("2", "2", "", "2"), ("x_1", "gene", "gene", "77"),
            ("solo", "solo", "solo", "solo"),
        ),
        b=table(
            ("3", "p", "p", "3"), ("2", "2", "", "2"), ("77_1", "77", "", "77"),
            ("4", "77", "", "77"), ("5", "solo", "solo", "5"), ("6", "1", "1", "6"),
        ),
    )  # fmt: skip
    assert found["1"] == found["3"] == "p"
    assert found["a_2"] != found["b_2"]
    assert found["x_1"] == found["77_1"] == found["4"]  # one antibody, in one source within a gene
    assert found["solo"] == found["5"]  # stated in both, and the Id of one
    assert found["6"] != found["1"]  # a stated group that is the Id of another source's image
    assert found["6"] != "1"
    assert len(set(found.values())) == 6


def test_a_group_is_not_joined_to_an_unlabelled_image_of_its_name() -> None:
    found = groups(a=table(("1", "u", "u", "1")), b=table(("u", "u", "", "u"), folder="test"))
    assert found["1"] != found["u"] == "u"


def test_ids_that_stay_equal_are_refused_with_the_way_out() -> None:
    part = table(("A01", "A01", "", "A01"), ("plate8_A01", "plate8_A01", "", "plate8_A01"))
    with pytest.raises(UserError, match=r"plate8_A01(.|\n)*give one of the sources another name"):
        groups(plate8=part, other=table(("A01", "A01", "", "A01")))


@pytest.mark.parametrize("seed", range(20))
def test_merging_separates_no_group_and_joins_none_by_chance(seed: int) -> None:
    """Random sources: two images are in one group only if a chain of links joins them."""
    random = np.random.default_rng(seed)
    parts, links = {}, []
    for name in ("a", "b", "c"):
        stated = [f"{n}" if n < 8 else "" for n in random.integers(0, 16, 30)]
        antibody = [f"{n}" if 20 <= n < 26 else "" for n in random.integers(20, 40, 30)]
        ids = [str(each) for each in random.permutation(60)[:30]]
        within = random.integers(0, 40, 30)  # groups of another kind, such as wells
        rows = []
        for image_id, own, kin, well in zip(ids, stated, antibody, within, strict=True):
            rows.append((image_id, own or f"well {well}", own, kin or image_id))
            links.append({(name, image_id), (name, own or f"well {well}", "within")})
            links[-1] |= {own} - {""} | {kin} - {"", image_id}
        parts[name] = table(*rows)
    images = merged(parts, dict.fromkeys(parts, "local"))
    united: list[set[Any]] = []
    for link in links:
        touched = [each for each in united if each & link]
        united = [each for each in united if not each & link] + [link.union(*touched)]
    expected = {member: number for number, each in enumerate(united) for member in each}
    numbers = [expected[row["source"], row["old_id"]] for row in images.to_dict("records")]
    assert (pd.factorize(images["group"])[0] == pd.factorize(np.array(numbers))[0]).all()
    assert images["Id"].is_unique
