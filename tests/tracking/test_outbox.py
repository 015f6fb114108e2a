import subprocess
import sys
from pathlib import Path

import pytest

from hpa.tracking.outbox import (
    Call,
    CallRefusedError,
    Delivery,
    Outbox,
    RunRefusedError,
    StoreUnavailableError,
    deliver,
    kept_calls,
    refused_calls,
)
from support.paths import ROOT


class Store:
    """Accepts calls while it is up, and counts the attempts."""

    def __init__(self) -> None:
        self.up, self.made, self.attempts = True, [], 0

    def __call__(self, call: Call) -> None:
        self.attempts += 1
        if not self.up:
            raise StoreUnavailableError("down")
        contents = [Path(path).read_text() for path in call.get("paths", [])]
        self.made.append((call["call"], *contents))


@pytest.fixture
def store() -> Store:
    return Store()


def send(outbox: Outbox, *names: str) -> None:
    for name in names:
        outbox.send({"call": name})


def test_calls_go_straight_to_a_store_that_is_up(store: Store, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "box", store)
    send(outbox, "a", "b")
    outbox.close()
    assert store.made == [("a",), ("b",)]
    assert list(tmp_path.iterdir()) == []


def test_calls_of_an_outage_are_made_later_in_their_order(store: Store, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "box", store)
    send(outbox, "a")
    store.up = False
    send(outbox, "b", "c")
    store.up = True
    outbox.close()
    assert store.made == [("a",), ("b",), ("c",)]
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_sent_as_it_was_when_it_was_logged(store: Store, tmp_path: Path) -> None:
    path, outbox = tmp_path / "file.txt", Outbox(tmp_path / "box", store)
    store.up = False
    for text in ("first", "second"):
        path.write_text(text)
        outbox.send({"call": "files", "paths": [str(path)]})
    path.unlink()
    store.up = True
    outbox.close()
    assert store.made == [("files", "first"), ("files", "second")]


def test_attempts_take_a_fiftieth_of_the_time(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each attempt takes 2 s, each call 1 s of the clock: one attempt in 2 + 50 · 2 = 102 s.
    clock = 0.0

    def fail(_: Call) -> None:
        nonlocal clock
        clock, store.attempts = clock + 2, store.attempts + 1
        raise StoreUnavailableError("no response")

    monkeypatch.setattr("hpa.tracking.outbox.time.monotonic", lambda: clock)
    outbox = Outbox(tmp_path / "box", fail)
    while clock < 1020:
        send(outbox, "metric")
        clock += 1
    assert store.attempts == pytest.approx(10, abs=1)


def test_the_first_attempt_waits_for_a_store_just_found_down(store: Store, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "box", store, wait_s=1000)
    send(outbox, "a")
    assert store.attempts == 0
    outbox.close()  # one attempt at the end
    assert store.made == [("a",)]


def test_kept_calls_are_delivered_once_and_only_after_their_process(
    store: Store, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "box", store)
    store.up = False
    send(outbox, "a", "b")
    store.up = True
    assert deliver(tmp_path, lambda: store) == Delivery(0, {})  # its process is alive
    store.up = False
    outbox.close()
    with pytest.raises(StoreUnavailableError):
        deliver(tmp_path, lambda: store)
    store.up = True
    assert deliver(tmp_path, lambda: store) == Delivery(1, {})
    assert deliver(tmp_path, lambda: store) == Delivery(0, {})
    assert store.made == [("a",), ("b",)]
    assert list(tmp_path.iterdir()) == []


def test_the_calls_of_a_killed_process_are_delivered(store: Store, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from hpa.tracking.outbox import Outbox, StoreUnavailableError\n"
        "def fail(call): raise StoreUnavailableError('down')\n"
        "outbox = Outbox(Path(sys.argv[1]) / 'box', fail)\n"
        "outbox.send({'call': 'a'}); outbox.send({'call': 'b'})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={"PYTHONPATH": ROOT / "src"})
    assert deliver(tmp_path, lambda: store).n_sent == 1
    assert store.made == [("a",), ("b",)]


def test_a_line_cut_short_damages_no_other(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_text('\n{"call": "a"}\n{"call": "b", "pa\n{"call": "c"}')
    assert [call["call"] for call in kept_calls(tmp_path)] == ["a", "c"]


def test_a_full_disk_stops_nothing(
    store: Store, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = Outbox(small_disk / "box", store)
    store.up = False
    send(outbox, "a")
    outbox.send({"call": "b", "text": "x" * 300_000})
    store.up = True
    outbox.close()
    assert store.made == [("a",)]
    assert "tracking: b is lost" in capsys.readouterr().err


class PickyStore(Store):
    """Refuses calls named `bad` for good, and runs that begin with `wait` until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told = False

    def __call__(self, call: Call) -> None:
        if call["call"] == "bad":
            raise CallRefusedError("such a name")
        if call["call"].startswith("wait") and not self.told:
            raise RunRefusedError("tell it")
        super().__call__(call)


def test_a_refused_call_is_put_aside_with_its_files_and_those_after_it_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, path, box = PickyStore(), tmp_path / "file.txt", tmp_path / "boxes" / "box"
    path.write_text("precious")
    outbox = Outbox(box, store)
    send(outbox, "a")
    outbox.send({"call": "bad", "paths": [str(path)]})
    store.up = False
    send(outbox, "b")
    outbox.send({"call": "bad", "paths": [str(path)]})
    store.up = True
    outbox.close()
    assert store.made == [("a",), ("b",)]
    ((aside, n_calls),) = refused_calls(tmp_path / "boxes").items()
    assert n_calls == 2
    for call in kept_calls(aside):
        assert call["refused"] == "such a name"
        assert Path(call["paths"][0]).read_text() == "precious"
    assert str(aside) in capsys.readouterr().err


def test_a_run_that_must_wait_keeps_all_its_calls_and_holds_up_no_other(tmp_path: Path) -> None:
    store = PickyStore()
    for name in ("wait", "go"):
        outbox = Outbox(tmp_path / name, store)
        store.up = name == "wait"
        send(outbox, name, f"after {name}")
        outbox.close()
    store.up = True
    assert deliver(tmp_path, lambda: store) == Delivery(1, {tmp_path / "wait": "tell it"})
    assert store.made == [("go",), ("after go",)]
    store.told = True
    assert deliver(tmp_path, lambda: store) == Delivery(1, {})
    assert store.made[2:] == [("wait",), ("after wait",)]


def test_the_first_call_is_kept_with_later_ones_even_if_it_was_made(tmp_path: Path) -> None:
    store = Store()
    outbox = Outbox(tmp_path / "box", store)
    send(outbox, "begin")
    store.up = False
    send(outbox, "b")
    outbox.close()
    assert [call["call"] for call in kept_calls(tmp_path / "box")] == ["begin", "b"]


def test_a_first_call_that_a_full_disk_refused_goes_before_those_kept_later(
    store: Store, tmp_path: Path
) -> None:
    store.up = False
    box = tmp_path / "boxes" / "box"
    box.parent.write_text("no folder")  # as if nothing could be written
    outbox = Outbox(box, store)
    send(outbox, "begin")
    box.parent.unlink()
    send(outbox, "b")
    store.up = True
    outbox.close()
    assert store.made == [("begin",), ("b",)]


def test_a_line_cut_short_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls.jsonl").write_text('\n{"call": "a"}\n{"call": "b", "pa')
    assert len(list(kept_calls(tmp_path))) == 1
    assert "cut short" in capsys.readouterr().err
