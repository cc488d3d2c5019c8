import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import typer.main
import yaml
from jsonschema import Draft202012Validator

from qc_dashboard.settings import load_dashboard_settings
from qc_worker.settings import Settings, load_settings
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES

REPOSITORY = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (REPOSITORY / "deploy/Dockerfile").read_text(encoding="utf-8")
GPU = yaml.safe_load((REPOSITORY / "deploy/gpu.yml").read_text(encoding="utf-8"))
GPU_WORKER: dict[str, Any] = GPU["services"]["worker"]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "qc-worker"}


@pytest.mark.parametrize("composed", ["docker-compose.yml", "deploy/gpu.yml", "both"])
def test_compose_files_are_valid_by_the_compose_specification(composed: str) -> None:
    composition = {"docker-compose.yml": COMPOSE, "deploy/gpu.yml": GPU, "both": _merged(COMPOSE, GPU)}[composed]
    specification = json.loads((REPOSITORY / "tests/unit/schemas/compose-spec.json").read_text(encoding="utf-8"))
    errors = [
        f"{error.json_path}: {error.message[:200]}"
        for error in Draft202012Validator(specification).iter_errors(composition)
    ]
    assert errors == []


@pytest.mark.parametrize("name", OURS)
def test_every_setting_a_service_gets_exists_and_is_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _check_settings(_environment(name), monkeypatch, tmp_path)


def test_every_setting_of_a_worker_on_a_gpu_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _check_settings(_environment("worker") | _gpu_settings(), monkeypatch, tmp_path)


def test_the_file_for_a_gpu_changes_services_that_exist_and_replaces_nothing() -> None:
    assert set(GPU["services"]) <= set(SERVICES)
    assert not GPU_WORKER["environment"].keys() & SERVICES["worker"]["environment"].keys()


def test_a_worker_on_a_gpu_gets_one_device_and_all_that_it_needs_of_the_driver() -> None:
    resources = GPU_WORKER["deploy"]["resources"]
    assert resources["reservations"]["devices"] == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    [of_image] = re.findall(r"NVIDIA_DRIVER_CAPABILITIES=(\S+)", DOCKERFILE)
    for capabilities in (of_image, GPU_WORKER["environment"]["NVIDIA_DRIVER_CAPABILITIES"]):
        assert set(capabilities.split(",")) == {"compute", "utility", "video"}


def test_the_page_on_gpus_names_the_same_variables_and_limit() -> None:
    page = (REPOSITORY / "docs/how-to/use-a-gpu.md").read_text(encoding="utf-8")
    for name, text in GPU_WORKER["environment"].items():
        assert f"`{name}={text}`" in page
    limit = GPU_WORKER["deploy"]["resources"]["limits"]["memory"]
    assert f"`{limit}`" in page
    assert f"--memory {limit}" in page
    assert "-f docker-compose.yml -f deploy/gpu.yml" in page


def test_variables_of_torch_are_spelt_as_torch_reads_them() -> None:
    folder = Path(torch.__file__).parent
    compiler = (folder / "_inductor/config.py").read_text(encoding="utf-8")
    assert int(GPU_WORKER["environment"]["TORCHINDUCTOR_COMPILE_THREADS"]) > 0
    assert '"TORCHINDUCTOR_COMPILE_THREADS"' in compiler
    assert b"PYTORCH_CUDA_ALLOC_CONF" in (folder / "lib/libc10.so").read_bytes()
    setting, _, choice = GPU_WORKER["environment"]["PYTORCH_CUDA_ALLOC_CONF"].partition(":")
    assert setting.encode() in (folder / "lib/libc10.so").read_bytes()
    assert choice == "True"


def _check_settings(given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, text in given.items():
        monkeypatch.setenv(variable, text)
    settings = load_settings()
    for variable, text in given.items():
        assert str(getattr(settings, variable.removeprefix("QC_").lower())) == text


def test_every_setting_of_the_image_exists() -> None:
    assert set(re.findall(r"\bQC_[A-Z_]+", DOCKERFILE)) <= {f"QC_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", OURS)
def test_every_command_a_service_runs_exists_with_its_options(name: str) -> None:
    _check_command(OURS[name]["command"])


def test_the_images_own_command_exists() -> None:
    _check_command(json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1]))


def test_ports_are_open_to_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_dashboard_on_the_machines_own_network_serves_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [name for name, service in SERVICES.items() if "network_mode" in service] == ["dashboard"]
    assert OURS["dashboard"]["network_mode"] == "host"
    settings = load_dashboard_settings(**_fields("dashboard"))
    assert settings.dashboard_host == "127.0.0.1"
    assert f"127.0.0.1:{settings.dashboard_port}/readyz" in OURS["dashboard"]["healthcheck"]["test"][-1]
    published = {port.rpartition(":")[0] for port in SERVICES["kafka"]["ports"] + SERVICES["redis"]["ports"]}
    assert {settings.kafka_bootstrap_servers, settings.redis_url.split("/")[2]} == published
    assert (
        f"HOST://{settings.kafka_bootstrap_servers}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )


def test_image_has_all_programs_with_what_they_need() -> None:
    assert '".[dashboard]"' in DOCKERFILE
    assert {"qc_worker", "trainer", "qc_dashboard"} <= set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))


def test_images_of_others_are_pinned() -> None:
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert all(re.fullmatch(r"[a-z/]+:\d[\w.-]*", image) for image in images), images


def test_services_that_stay_up_come_back_and_are_watched_or_say_why_not() -> None:
    staying = {name: service for name, service in SERVICES.items() if "profiles" not in service and name != "topics"}
    assert all(service["restart"] == "unless-stopped" for service in staying.values())
    unwatched = [name for name, service in staying.items() if service.get("healthcheck") == {"disable": True}]
    assert unwatched == ["collect"]  # it answers no probes


def test_nothing_of_ours_runs_as_root_or_writes_outside_its_volumes() -> None:
    assert re.search(r"^USER (?!0|root)\d+$", DOCKERFILE, re.MULTILINE)
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in OURS.values())
    writable = set(re.findall(r"/var/lib/qc/\w+", DOCKERFILE))
    mounted = {volume.split(":")[1] for service in OURS.values() for volume in service.get("volumes", [])}
    assert mounted <= writable


def test_worker_cannot_write_the_models_it_reads() -> None:
    assert "models:/var/lib/qc/models:ro" in SERVICES["worker"]["volumes"]


def test_broker_takes_the_largest_dead_letter() -> None:
    assert int(SERVICES["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]) >= MAX_DEAD_LETTER_BYTES


def test_services_listen_where_the_others_look_for_them() -> None:
    kafka = SERVICES["kafka"]["environment"]
    assert f"INTERNAL://{_environment('worker')['QC_KAFKA_BOOTSTRAP_SERVERS']}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert _environment("worker")["QC_HEALTH_PORT"] == "8080"
    assert "127.0.0.1:8080/livez" in DOCKERFILE


def test_image_is_built_from_files_that_exist_and_are_sent_to_the_builder() -> None:
    sent = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (REPOSITORY / source).exists()
        assert f"!{source}" in sent


def _environment(name: str) -> dict[str, str]:
    return {variable: str(text) for variable, text in OURS[name]["environment"].items()}


def _fields(name: str) -> dict[str, str]:
    return {variable.removeprefix("QC_").lower(): text for variable, text in _environment(name).items()}


def _gpu_settings() -> dict[str, str]:
    return {name: text for name, text in GPU_WORKER["environment"].items() if name.startswith("QC_")}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge as `docker compose -f` does where no list is given twice."""
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _merged(merged[key], value) if isinstance(merged.get(key), dict) else value
    return merged


def _check_command(words: list[str]) -> None:
    program, *rest = words
    command = typer.main.get_command(_program(program))
    if not rest[0].startswith("-"):
        commands = getattr(command, "commands", {})
        assert rest[0] in commands, f"{program} has no command {rest[0]}"
        command = commands[rest[0]]
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("-")} <= known


def _program(name: str) -> typer.Typer:
    if name == "qc-worker":
        import qc_worker.cli

        return qc_worker.cli.app
    if name == "qc-dashboard":
        import qc_dashboard.cli

        return qc_dashboard.cli.app
    import trainer.cli

    return trainer.cli.app
