"""A frame that has left its topic is judged again as the frame that its inspection names."""

from dataclasses import replace
from pathlib import Path

import pytest

from qc_worker.commands.kept_frame import kept_frame
from qc_worker.domain.errors import SettingsError
from qc_worker.wire.images import decode_record
from qc_worker.wire.json_types import encode_inspection
from tests.support.published import inspection


def test_record_is_made_again_of_bytes_and_inspection(tmp_path: Path) -> None:
    for recorded in (inspection(7, part="4711"), inspection(7, frame_id="images:0:7", captured_at=None)):
        (tmp_path / "frame").write_bytes(b"picture")
        (tmp_path / "inspection").write_bytes(encode_inspection(recorded))
        record, read = kept_frame(recorded.source, tmp_path / "frame", tmp_path / "inspection")
        frame = decode_record(record)
        assert read == recorded
        assert (frame.content, frame.position, frame.ignored) == (b"picture", recorded.source, ())
        assert (frame.line, frame.camera, frame.frame_id, frame.part) == (
            recorded.line,
            recorded.camera,
            recorded.frame_id,
            recorded.part,
        )


def test_files_that_do_not_belong_together_are_refused_in_a_sentence(tmp_path: Path) -> None:
    frame, written = tmp_path / "frame", tmp_path / "inspection"
    frame.write_bytes(b"picture")
    written.write_bytes(encode_inspection(inspection(7)))
    source = inspection(7).source
    with pytest.raises(SettingsError, match="not of images:0:8"):
        kept_frame(replace(source, offset=8), frame, written)
    with pytest.raises(SettingsError, match="give both"):
        kept_frame(source, frame, None)
    with pytest.raises(SettingsError, match="cannot be read"):
        kept_frame(source, tmp_path / "missing", written)
    written.write_bytes(b"{}")
    with pytest.raises(SettingsError, match="inspection"):
        kept_frame(source, frame, written)
