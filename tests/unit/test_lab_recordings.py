"""Recordings of the wire: no secret gets into their files, and one pair of every shape does."""

import base64
import dataclasses
import json
import zlib
from pathlib import Path

import pytest
from lab.processes import LabError
from lab.recorder import Action, Exchange
from lab.recordings import (
    CHECKOUT,
    INSTALLED,
    PLACEHOLDER,
    UPLOADS,
    Json,
    as_pair,
    differences,
    shape,
    without_secrets,
    write,
)

KEY = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"


def _exchange(call: str, request: Json, reply: Json = None, *, from_job: bool = True) -> Exchange:
    return Exchange(
        node="node2",
        call=call,
        began=1.0,
        request_headers={"Host": "x", **({"User-Agent": "Ganeti 3.0.2"} if from_job else {})},
        request_body=json.dumps(request),
        status_line="HTTP/1.1 200 OK",
        reply_headers={},
        reply_body=json.dumps(reply or [True, None]) + "\n",
    )


def _packed(text: str) -> list[Json]:
    return [1, base64.b64encode(zlib.compress(text.encode())).decode()]


def _unpacked(encoded: Json) -> str:
    assert isinstance(encoded, list)
    assert isinstance(encoded[1], str)
    return zlib.decompress(base64.b64decode(encoded[1])).decode()


def test_uploaded_secret_files_lose_their_content_and_keep_their_encoding() -> None:
    request: Json = [["/var/lib/ganeti/hmac.key", _packed("5ec3e7"), 33056, "a", "b", 1.5, 1.5]]

    kept = as_pair(_exchange("upload_file", request), "note")["request"]

    assert isinstance(kept, list)
    assert isinstance(kept[0], list)
    assert _unpacked(kept[0][1]) == PLACEHOLDER + "\n"
    assert kept[0][2:] == [33056, "a", "b", 1.5, 1.5]


def test_private_keys_are_found_in_any_uploaded_file() -> None:
    request: Json = ["/var/lib/ganeti/anything", [0, KEY], 33056, "a", "b", 1, 1]

    assert KEY not in json.dumps(as_pair(_exchange("upload_file_single", request), "note"))


def test_secrets_inside_an_uploaded_configuration_are_replaced() -> None:
    config = json.dumps({"instances": {"u": {"osparams_private": {"password": "hush"}, "name": "inst1.lab"}}})
    request: Json = ["/var/lib/ganeti/config.data", _packed(config), 33184, "a", "b", 1, 1]

    kept = as_pair(_exchange("upload_file_single", request), "note")["request"]

    assert isinstance(kept, list)
    assert json.loads(_unpacked(kept[1])) == json.loads(config.replace("hush", PLACEHOLDER))


def test_private_parameters_and_mirror_secrets_are_replaced_at_any_depth() -> None:
    value: Json = [
        {"osparams_secret": {"a": "hush"}, "disks_info": [{"logical_id": ["n1", "n2", 11000, 0, 1, "hush"]}]}
    ]

    clean = json.dumps(without_secrets(value))

    assert "hush" not in clean
    assert clean.count(PLACEHOLDER) == 2


def test_empty_private_parameters_stay_empty() -> None:
    assert without_secrets({"osparams_private": {}}) == {"osparams_private": {}}


def test_names_and_numbers_make_no_other_shape_but_words_and_types_do() -> None:
    assert shape(["inst1.lab", 5]) == shape(["inst2.lab", 77])
    assert shape(["soft"]) != shape(["hard"])
    assert shape({"a": None}) != shape({"a": 1})
    assert shape([True, None]) != shape([False, None])
    assert shape([0, "text"]) != shape([1, "dGV4dA=="])


def test_a_body_that_is_no_json_stays_text() -> None:
    exchange = dataclasses.replace(_exchange("nothing", []), reply_body="<html>")

    assert as_pair(exchange, "note")["reply"] == "<html>"


def test_environments_of_hooks_are_all_of_one_shape() -> None:
    assert shape(["instance-add", "pre", {"PATH": "/bin"}]) == shape(
        ["instance-add", "pre", {"PATH": "", "GANETI_HV_kvm_flag": "a"}]
    )


def test_nothing_is_written_when_a_secret_of_the_cluster_would_be(tmp_path: Path) -> None:
    action = Action(note="x", exchanges=(_exchange("version", ["5ec3e7"]),))

    with pytest.raises(LabError, match="version"):
        write([action], tmp_path, secrets=["5ec3e7"])

    assert list(tmp_path.iterdir()) == []


def test_the_place_of_the_checkout_is_not_in_a_recording(tmp_path: Path) -> None:
    reply: Json = [True, f"{CHECKOUT}/libexec/kvm-console-wrapper"]

    write([Action(note="x", exchanges=(_exchange("version", [], reply),))], tmp_path)

    assert f"{INSTALLED}/libexec/kvm-console-wrapper" in (tmp_path / "version.json").read_text()
    assert not any(CHECKOUT in file.read_text() for file in tmp_path.iterdir())


def test_one_pair_of_every_shape_and_sender_is_written_and_every_call_is_in_the_sequence(tmp_path: Path) -> None:
    exchanges = (
        _exchange("instance_info", ["inst1.lab"]),
        _exchange("instance_info", ["inst2.lab"]),
        _exchange("instance_info", ["inst2.lab"], from_job=False),
        _exchange("instance_info", ["inst1.lab"], [False, "no such instance"]),
    )

    write([Action(note="gnt-instance info", exchanges=exchanges)], tmp_path)

    pairs = json.loads((tmp_path / "instance_info.json").read_text())
    (action,) = json.loads((tmp_path / "sequences.json").read_text())
    assert [(pair["request"], pair["reply"][0]) for pair in pairs] == [
        (["inst1.lab"], True),
        (["inst2.lab"], True),
        (["inst1.lab"], False),
    ]
    assert [call["sender"] for call in action["calls"]] == ["jobs", "jobs", "daemons", "jobs"]


@pytest.mark.parametrize(("recording", "least"), [("packaged", 7), ("packaged-storage", 2)])
def test_a_recording_in_this_repository_holds_no_private_key_even_when_unpacked(recording: str, least: int) -> None:
    directory = Path(__file__).resolve().parents[1] / "wire" / "recorded" / recording
    files = [file for name in UPLOADS if (file := directory / f"{name}.json").exists()]
    uploads = [pair for file in files for pair in json.loads(file.read_text())]
    requests = [pair["request"][0] if isinstance(pair["request"][0], list) else pair["request"] for pair in uploads]
    contents = [_unpacked(request[1]) if request[1][0] == 1 else request[1][1] for request in requests]

    assert len(contents) >= least
    assert not [text for text in contents if "PRIVATE" in text]
    assert not [file for file in directory.iterdir() if "PRIVATE" in file.read_text()]


def test_replies_of_another_shape_are_named_with_what_the_operator_did(tmp_path: Path) -> None:
    def recorded(name: str, reply: list[Json]) -> Path:
        action = Action(note=f"gnt-{name}", exchanges=(_exchange("version", [], reply),))
        write([action], tmp_path / name)
        return tmp_path / name

    reference = recorded("reference", [True, 3000000])

    assert list(differences(reference, recorded("same", [True, 77]))) == []
    assert list(differences(reference, recorded("other", [True, "3"]))) == ['version, at gnt-other: [true, "3"]']
