"""Every command with something wrong around it: it ends with an exit code of ours, and never with a traceback."""

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Services
from tests.faults.disks import filled, small_disk
from tests.support.injected import Commands, Ended
from tests.unit.trainer.factories import png, write_images

EXIT_CODES = {0, 1, 2, 75, 130}
STDOUT_FULL = "error: standard output cannot be written: No space left on device"
DISK_MB = 64
SETTINGS = {
    "QC_BROKER_PATIENCE_S": "1",
    "QC_HEALTH_PORT": "0",
    "QC_TORCH_THREADS": "1",
    "QC_COMPILE": "false",
}

OFFLINE = (
    "qc-worker --help",
    "qc-worker score --help",
    "qc-worker nonsense",
    "qc-worker score --line A pictures",
    "qc-worker score --line A pictures --json --heatmaps heat",
    "qc-worker score --line B pictures",
    "qc-worker demo --frames 2",
    "qc-trainer --help",
    "qc-trainer lines",
    "qc-trainer lines --json",
    "qc-trainer versions --line A",
    "qc-trainer versions --line A --json",
    "qc-trainer regions --line A --show shown.png",
    "qc-trainer regions --line A --ignore ignored.json --json",
    "qc-trainer import --line A --good pictures",
    "qc-trainer import --line C --good pictures --defect defects --json",
    "qc-trainer threshold --line A --offline",
    "qc-trainer threshold --line A --offline --max-false-reject 0.2 --json",
    "qc-trainer evaluate --line A --dataset set --report report.html",
    "qc-trainer evaluate --line A --dataset set --json",
    "qc-trainer retrain --line A --offline --input-size 64 --steps 20",
)
ONLINE = (
    "qc-worker topics",
    "qc-worker topics --check --json",
    "qc-worker account",
    "qc-worker account --json",
    "qc-worker replay --position {images}:0:0",
    "qc-trainer collect",
    "qc-trainer collect --json",
    "qc-trainer promote --line A --version {version}",
    "qc-trainer promote --line A --version {version} --json",
    "qc-trainer rollback --line A",
    "qc-trainer threshold --line A",
    "qc-trainer retrain --line A --input-size 64 --steps 20 --json",
)
WRITING = (
    "qc-worker score --line A pictures --heatmaps heat",
    "qc-worker demo",
    "qc-trainer import --line C --good pictures",
    "qc-trainer retrain --line A --offline --input-size 64 --steps 20",
    "qc-trainer threshold --line A --offline --max-false-reject 0.2",
    "qc-trainer evaluate --line A --dataset set --report report.html",
    "qc-trainer regions --line A --show shown.png",
    "qc-trainer regions --line A --ignore ignored.json",
)
"""Commands that come to nothing where nothing can be written."""


@dataclass(frozen=True)
class Site:
    """Folders of one test: samples, a model, pictures with the names that people give them."""

    folder: Path
    commands: Commands
    settings: dict[str, str]

    def run(self, command: str, fault: str = "none") -> Ended:
        """Run a command on what all commands find here."""
        state, temporary = self.folder / "state", self.folder / "tmp"
        environment = {**SETTINGS, "QC_STATE_DIR": str(state), "TMPDIR": str(temporary), **self.settings}
        ended = self.commands.run(*command.split(), cwd=self.folder, environment=environment, fault=fault)
        assert ended.code in EXIT_CODES, (command, ended)
        for sign in ("Traceback", "Exception ignored", 'File "'):
            assert sign not in ended.err + ended.out, (command, ended)
        return ended

    @property
    def version(self) -> str:
        return min(path.name for path in (self.folder / "state" / "models" / "A").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def template(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    (folder / "tmp").mkdir()
    write_images(folder / "good", 24)
    for name in (b"[left]/a.png", b"[/red] \xc3\xa9\xe2\x98\x83.png", b"caf\xe9.png", b"up/" + b"n" * 251 + b".png"):
        path = folder / "pictures" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(len(name)))
    write_images(folder / "defects", 2, first_seed=200, defect=True)
    write_images(folder / "set" / "test" / "good", 2, first_seed=300)
    write_images(folder / "set" / "test" / "blot [\N{SNOWMAN}]", 2, first_seed=400, defect=True)
    outline = {"size": [48, 48], "polygons": [[[0, 0], [9, 0], [9, 9]]]}
    (folder / "ignored.json").write_text(json.dumps(outline))
    site = Site(folder, commands, {})
    for command in (
        "qc-trainer import --line A --good good --defect defects",
        "qc-trainer retrain --line A --offline --input-size 64 --steps 20",
    ):
        assert site.run(command).code == 0
    return folder


@pytest.fixture
def site(template: Path, commands: Commands, tmp_path: Path) -> Site:
    shutil.copytree(template, tmp_path / "site")
    return Site(tmp_path / "site", commands, {})


@pytest.fixture(scope="module")
def sound(template: Path, commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How each command ends where nothing is wrong."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(template, folder, dirs_exist_ok=True)
    site = Site(folder, commands, {})
    return {command: site.run(command) for command in OFFLINE}


SLOW = pytest.mark.faults
"""More of the same kind: all of them together take six minutes."""


@pytest.mark.parametrize(
    "fault",
    [
        "stdout_closed",
        "reader_gone",
        *(
            pytest.param(each, marks=SLOW)
            for each in ("all_closed", "both_readers_gone", "stderr_full", "ascii_output")
        ),
    ],
)
def test_streams_that_fail_change_no_exit_code(site: Site, sound: dict[str, Ended], fault: str) -> None:
    for command in OFFLINE:
        assert site.run(command, fault).code == sound[command].code, command


def test_a_full_disk_behind_stdout_is_one_line_and_exit_code_2(site: Site, sound: dict[str, Ended]) -> None:
    for command in OFFLINE:
        ended = site.run(command, "stdout_full")
        if sound[command].out:
            assert ended.code == 2, command
            assert ended.err.splitlines()[-1] == STDOUT_FULL
        else:
            assert ended.code == sound[command].code, command


def test_names_are_shown_on_an_ascii_terminal_with_escapes(site: Site) -> None:
    shown = site.run("qc-worker score --line A pictures", "ascii_output").out
    for name in (r"[/red] \xe9\u2603.png", r"caf\xe9.png", "[left]/a.png"):
        assert name in shown


@pytest.mark.parametrize("where", ["everything", pytest.param("TMPDIR", marks=SLOW)])
def test_a_full_disk_is_one_line(site: Site, where: str) -> None:
    disk = site.folder if where == "everything" else site.folder / "tmp"
    with small_disk(disk, megabytes=DISK_MB), filled(disk):
        for command in (*OFFLINE, *WRITING):
            if command == "qc-worker demo" and where == "TMPDIR":
                continue  # it has room enough
            ended = site.run(command)
            if where == "everything" and command in WRITING:
                assert ended.code in {2, 75}, (command, ended)
                assert "No space left on device" in ended.err.splitlines()[-1], command
        away = Site(site.folder, site.commands, {"QC_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
        assert away.run("qc-worker run").code in {2, 75}
    assert not list(site.folder.rglob("*.partial"))


@SLOW
def test_a_file_that_may_not_grow_is_one_line(site: Site) -> None:
    for command in (*OFFLINE, *WRITING):
        if command != "qc-worker demo":
            site.run(command, "small_files")


@SLOW
def test_too_few_files_are_one_line(site: Site) -> None:
    for command in OFFLINE:
        site.run(command, "few_files")


@pytest.mark.parametrize(
    ("mode", "of"),
    [
        (0o555, "."),
        *(pytest.param(0o000, of, marks=SLOW) for of in ("state", "pictures", "tmp")),
    ],
)
def test_no_permission_is_one_line(site: Site, mode: int, of: str) -> None:
    folders = [site.folder / of, *(path for path in (site.folder / of).rglob("*") if path.is_dir())]
    with ExitStack() as stack:
        for folder in folders:
            stack.callback(folder.chmod, 0o755)
        for folder in reversed(folders):
            folder.chmod(mode)
        for command in (*OFFLINE, *WRITING):
            if command == "qc-worker demo" and of != ".":
                continue  # it may write all it wants to
            ended = site.run(command, "no_privileges")
            if mode == 0o555 and command in WRITING:
                assert ended.code == 2, (command, ended)
                assert "ermission" in ended.err.splitlines()[-1], (command, ended)


def test_the_demo_says_before_it_starts_that_it_may_not_write(site: Site) -> None:
    site.folder.chmod(0o555)
    try:
        ended = site.run("qc-worker demo", "no_privileges")
    finally:
        site.folder.chmod(0o755)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("error: no permission to write the demo's pictures into ")


@pytest.fixture
def online(site: Site, embedded_services: Services, request: pytest.FixtureRequest) -> Site:
    names = ("images", "results", "dead_letter", "feedback", "samples", "models")
    suffix = f"{abs(hash(request.node.name)):x}"[:8]
    topics = {f"QC_{name.upper()}_TOPIC": f"{name}-{suffix}" for name in names}
    settings = {
        **topics,
        "QC_KAFKA_BOOTSTRAP_SERVERS": embedded_services.bootstrap_servers,
        "QC_REDIS_URL": embedded_services.redis_url,
        "QC_SESSION_TIMEOUT_MS": str(embedded_services.session_timeout_ms),
        "QC_DELIVERY": embedded_services.delivery,
        "QC_CONSUMER_GROUP": f"group-{suffix}",
        "QC_PARTITIONS": "1",
    }
    connected = Site(site.folder, site.commands, settings)
    assert connected.run("qc-worker topics").code == 0
    assert connected.run(f"qc-trainer promote --line A --version {site.version}").code == 0
    return connected


@pytest.mark.parametrize(
    "fault",
    ["stdout_full", *(pytest.param(fault, marks=SLOW) for fault in ("all_closed", "both_readers_gone", "few_files"))],
)
def test_commands_with_a_broker_end_in_order_as_well(online: Site, fault: str) -> None:
    images = online.settings["QC_IMAGES_TOPIC"]
    for command in ONLINE:
        ended = online.run(command.format(images=images, version=online.version), fault)
        if ended.code in {2, 75} and ended.err:
            assert ended.err.splitlines()[-1].startswith("error: "), (command, ended)


@SLOW
def test_commands_with_a_broker_and_a_full_disk_end_in_order(online: Site) -> None:
    images, version = online.settings["QC_IMAGES_TOPIC"], online.version
    with small_disk(online.folder, megabytes=DISK_MB), filled(online.folder):
        for command in ONLINE:
            online.run(command.format(images=images, version=version))


def test_a_worker_that_may_not_write_ends_before_it_takes_frames(online: Site) -> None:
    (online.folder / "state").chmod(0o555)
    try:
        ended = online.run("qc-worker run", "no_privileges")
    finally:
        (online.folder / "state").chmod(0o755)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("error: ")
