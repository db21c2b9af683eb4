"""Records of runs: written whole, read back, refused with the reason."""

import pytest
import torch
from neumeta_trainer.errors import RecordRefused
from neumeta_trainer.machine import machine
from neumeta_trainer.results.record import Measurement, RunRecord, read_records, write_record


def record(**changes) -> RunRecord:
    values = {
        "recipe": "digits",
        "tier": "trial",
        "method": "alone distilled",
        "seed": 3,
        "split": "validation",
        "samples": 100,
        "measurements": [{"compression": 0.5, "params": 10, "macs": 20, "quality": 0.9}],
        "machine": machine(torch.device("cpu")),
        "command": "neumeta alone digits",
    }
    return RunRecord.model_validate(values | changes)


def test_a_record_reads_back_as_it_was_written(tmp_path):
    written = record(training={"alone": 5}, measurements=[Measurement(compression=-0.25, params=1, macs=2, quality=0.5, widths="extrapolated")])
    path = write_record(written, tmp_path)
    assert path == tmp_path / "digits/trial/alone-distilled.validation.3.json"
    assert read_records(tmp_path) == [written]


def test_another_seed_is_another_file_and_a_repetition_replaces(tmp_path):
    for values in ({}, {"seed": 4}, {"samples": 200}):
        write_record(record(**values), tmp_path)
    assert [(found.seed, found.samples) for found in read_records(tmp_path)] == [(3, 200), (4, 100)]


def test_a_method_with_many_settings_has_a_name_that_file_systems_take(tmp_path):
    methods = [f"anchored {', '.join(f'tune.optimization.steps={number}' for number in range(20))}{end}" for end in ("", "0")]
    for method in methods:
        write_record(record(method=method), tmp_path)
    assert [found.method for found in read_records(tmp_path)] in (methods, methods[::-1])
    assert all(len(path.name) < 240 for path in tmp_path.rglob("*.json"))


def test_a_method_with_values_of_json_has_a_name_that_every_system_takes(tmp_path):
    methods = [f'slices base={{"steps":{steps},"path":"a/b"}}' for steps in (1, 2)]
    for method in methods:
        assert write_record(record(method=method), tmp_path).parent == tmp_path / "digits/trial"
    assert {found.method for found in read_records(tmp_path)} == {*methods}
    assert not [path for path in tmp_path.rglob("*.json") if set(path.name) & set('<>:"/\\|?*{}')]


def test_a_file_that_is_no_record_is_named_with_the_field(tmp_path):
    path = write_record(record(), tmp_path)
    path.write_text(path.read_text().replace('"samples": 100', '"samples": 0'))
    with pytest.raises(RecordRefused, match=r"validation\.3\.json is no record of a run: samples: .*greater than 0"):
        read_records(tmp_path)
