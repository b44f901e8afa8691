"""Records on disk that are found out once."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.utils import record_log
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.record_log import ENDING, RecordLog

KEYS = [fingerprint(number) for number in range(50)]


def filled(folder: Path, numbers: range = range(50)) -> RecordLog:
    log = RecordLog(folder)
    for number in numbers:
        log.put(KEYS[number], {"number": number, "half": number / 2})
    log.flush()
    return log


def test_what_was_put_is_found_by_its_key_in_another_process_too(tmp_path: Path) -> None:
    filled(tmp_path)
    wanted = [KEYS[7], fingerprint("other"), KEYS[3]]
    found = dict(RecordLog(tmp_path).find(wanted))
    assert found == {0: {"number": 7, "half": 3.5}, 2: {"number": 3, "half": 1.5}}


def test_nothing_is_found_or_kept_without_a_folder(tmp_path: Path) -> None:
    log = RecordLog(None)
    log.put(KEYS[0], 1)
    log.flush()
    assert list(log.find(KEYS)) == []
    assert list(RecordLog(tmp_path / "not there").find(KEYS)) == []
    assert not (tmp_path / "not there").exists()


def test_records_are_read_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setattr(record_log, "AT_ONCE", 7)
    assert sorted(place for place, _ in RecordLog(tmp_path).find(KEYS)) == list(range(50))


def test_numbers_come_back_to_the_last_digit(tmp_path: Path) -> None:
    log = RecordLog(tmp_path)
    values = [0.1 + 0.2, 1e-300, -0.0, 2**60 + 1, float("inf")]
    log.put(KEYS[0], values)
    log.flush()
    ((_, found),) = log.find([KEYS[0]])
    assert list(map(repr, found)) == list(map(repr, values))


@pytest.mark.parametrize("harm", ["cut", "changed", "empty"])
def test_a_damaged_file_is_passed_over_and_the_others_are_read(tmp_path: Path, harm: str) -> None:
    filled(tmp_path, range(25))
    (file,) = tmp_path.glob(f"*{ENDING}")
    filled(tmp_path, range(25, 50))
    data = file.read_bytes()
    harmed = {"cut": data[:-9], "changed": data.replace(b'"number":3', b'"number":4'), "empty": b""}
    assert harmed[harm] != data
    file.write_bytes(harmed[harm])
    assert sorted(place for place, _ in RecordLog(tmp_path).find(KEYS)) == list(range(25, 50))


def test_a_place_that_cannot_be_written_costs_the_records_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    log = filled(tmp_path / "file" / "below")
    assert list(log.find(KEYS)) == []


def test_many_files_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    for number in range(record_log.MANY_FILES + 4):
        filled(tmp_path, range(number, number + 1))
    log = RecordLog(tmp_path)
    assert len(list(log.find(KEYS[:1]))) == 1  # whoever asks for one joins all
    assert len(list(tmp_path.iterdir())) == 1
    first = sorted(place for place, _ in log.find(KEYS))
    assert sorted(place for place, _ in log.find(KEYS)) == first == list(range(20))


def test_records_that_nobody_looks_up_are_dropped_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_log, "MOST_BYTES", 100)
    for number in range(record_log.MANY_FILES + 4):
        filled(tmp_path, range(number, number + 1))
    assert len(list(RecordLog(tmp_path).find(KEYS[:2]))) == 2
    assert len(list(RecordLog(tmp_path).find(KEYS))) == 2


def test_a_kill_loses_seconds_of_records_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_log, "SECONDS", 0.0)
    log = RecordLog(tmp_path)
    log.put(KEYS[0], 1)  # and no flush
    assert dict(RecordLog(tmp_path).find(KEYS)) == {0: 1}
