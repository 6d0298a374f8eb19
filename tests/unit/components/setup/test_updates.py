"""What a killed run leaves in a file backend, and how settings are kept free of what belongs to one clone."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from components.setup import clones, updates
from components.setup.clones import Clone, Stack
from components.setup.errors import SetupError

SALT = "v1:aaaa=:v1:bbbb:cccc=="


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text("config:\n  keelson:nodes: '1'\n")
    return Clone(
        tmp_path, {"PATH": os.defpath, "PULUMI_HOME": str(tmp_path / "home"), "PULUMI_CONFIG_PASSPHRASE": "x"}
    ).stack("dev")


def give_state(stack: Stack, latest: dict[str, object] | None) -> Path:
    file = stack.checkpoint
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "dev", "latest": latest}}))
    return file


def give_lock(stack: Stack, pid: int, host: str | None = None) -> Path:
    backend = stack.clone.file_backend
    assert backend is not None
    folder = backend / ".pulumi" / "locks" / "organization" / clones.PROJECT / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "x.json"
    lock.write_text(json.dumps({"pid": pid, "username": "root", "hostname": host or os.uname().nodename}))
    return lock


def test_the_salt_leaves_the_settings_once_the_state_has_it(stack: Stack) -> None:
    before = stack.settings.read_text()
    give_state(stack, {"secrets_providers": {"type": "passphrase", "state": {"salt": SALT}}})
    stack.settings.write_text(before + f"encryptionsalt: {SALT}\n")
    updates.tidy_settings(stack)
    assert stack.settings.read_text() == before


def test_the_salt_of_another_clone_leaves_the_settings(stack: Stack) -> None:
    before = stack.settings.read_text()
    stack.settings.write_text(f"encryptionsalt: {SALT}\n" + before)
    updates.tidy_settings(stack)
    assert stack.settings.read_text() == before


@pytest.mark.parametrize(
    ("salt", "addition"),
    [("v1:other", ""), (SALT, "  keelson:password:\n    secure: v1:xyz\n")],
    ids=["the state has another", "settings hold secrets"],
)
def test_a_salt_that_is_needed_stays(stack: Stack, salt: str, addition: str) -> None:
    text = stack.settings.read_text() + addition + f"encryptionsalt: {SALT}\n"
    stack.settings.write_text(text)
    give_state(stack, {"secrets_providers": {"type": "passphrase", "state": {"salt": salt}}})
    updates.tidy_settings(stack)
    assert stack.settings.read_text() == text


def test_a_lock_whose_process_is_gone_is_not_waited_for(stack: Stack) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    updates.await_holder(give_lock(stack, process.pid))


def test_a_lock_whose_number_is_another_process_is_not_waited_for(stack: Stack) -> None:
    updates.await_holder(give_lock(stack, os.getpid()))


def test_a_live_run_is_waited_for(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "pulumi"
    shutil.copy(shutil.which("cat") or "/bin/cat", program)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as holder:
        waiter = threading.Thread(target=updates.await_holder, args=(give_lock(stack, holder.pid),))
        waiter.start()
        waiter.join(0.2)
        assert waiter.is_alive()
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()
        waiter.join(10)
        assert not waiter.is_alive()
    assert f"another run (pid {holder.pid})" in capsys.readouterr().err


def test_a_run_on_another_machine_is_named(stack: Stack) -> None:
    with pytest.raises(SetupError, match="a run on elsewhere holds"):
        updates.await_holder(give_lock(stack, 1, host="elsewhere"))


def test_outputs_of_a_stack_that_is_not_up(stack: Stack) -> None:
    with pytest.raises(SetupError, match="dev is not up: run: make up ENV=dev"):
        updates.outputs(stack, Path("/nowhere"))


def test_kept_outputs_are_used_until_the_state_is_newer(stack: Stack, tmp_path: Path) -> None:
    state = give_state(stack, {})
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "pulumi").write_text('#!/bin/sh\necho asked >>"$0.log"\necho \'{"endpoint": "x"}\'\n')
    (engine / "pulumi").chmod(0o755)
    os.utime(state, ns=(1, 1))
    assert updates.outputs(stack, engine) == {"endpoint": "x"}
    assert updates.outputs(stack, engine) == {"endpoint": "x"}
    asked = engine / "pulumi.log"
    assert asked.read_text() == "asked\n"
    kept = stack.place / "outputs.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    os.utime(state, ns=(kept.stat().st_mtime_ns + 1,) * 2)
    updates.outputs(stack, engine)
    assert asked.read_text() == "asked\nasked\n"


def test_attributes_that_a_killed_run_left_half_written_are_dropped(stack: Stack, tmp_path: Path) -> None:
    state = give_state(stack, {})
    torn, whole = (file.with_name(f"{file.name}.attrs") for file in (state, give_lock(stack, 1 << 22)))
    torn.write_text("")
    whole.write_text("{}")
    (tmp_path / "pulumi").write_text("#!/bin/sh\n")
    (tmp_path / "pulumi").chmod(0o755)
    updates.recover(stack, tmp_path)
    assert (torn.exists(), whole.exists(), state.exists()) == (False, True, True)


def test_hosts_of_a_bring_up_that_failed_are_told_of_by_the_state(stack: Stack, tmp_path: Path) -> None:
    def made(name: str) -> dict[str, object]:
        host = {"name": name, "address": "10.0.0.1", "private_key_path": "key"}
        return {"type": "keelson:index:MachineContainer", "outputs": {"host": host}}

    converging = {"type": "keelson:index:Convergence", "inputs": {"host": {"name": "b"}, "roles": ["kube_apiserver"]}}
    give_state(stack, {})
    exported = {"deployment": {"resources": [{"type": "pulumi:pulumi:Stack"}, made("a"), made("b"), converging]}}
    (tmp_path / "pulumi").write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(exported)}\nEOF\n")
    (tmp_path / "pulumi").chmod(0o755)
    hosts = updates.recorded_hosts(stack, tmp_path)
    assert [(host["name"], host["roles"]) for host in hosts] == [("b", ["kube_apiserver"]), ("a", [])]


def test_operations_that_never_ended_are_forgotten(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = {
        "resources": ["kept"],
        "pending_operations": [{"type": "creating", "resource": {"urn": "urn:x::a::host-1"}}],
    }
    give_state(stack, latest)
    lock = give_lock(stack, 2**22 - 1)
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "exported").write_text(json.dumps({"version": 3, "deployment": latest}))
    (engine / "pulumi").write_text(
        f"""#!/bin/sh
        case "$1 $2" in
            "cancel --yes") rm '{lock}' ;;
            "stack export") cat '{engine}/exported' ;;
            "stack import") cat >'{engine}/imported' ;;
            *) exit 9 ;;
        esac
        """
    )
    (engine / "pulumi").chmod(0o755)
    updates.recover(stack, engine)
    assert json.loads((engine / "imported").read_text()) == {"version": 3, "deployment": {"resources": ["kept"]}}
    assert not lock.exists()
    told = capsys.readouterr().err
    assert "removing its lock" in told
    assert "done again: host-1" in told


def test_nothing_to_recover_asks_nothing_of_the_engine(stack: Stack) -> None:
    give_state(stack, None)
    updates.recover(stack, Path("/nowhere"))
