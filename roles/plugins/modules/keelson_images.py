"""Keeps images in containerd that no registry serves: imported from archives, and pinned, since the kubelet's garbage
collection would remove what could not be pulled again.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: keelson_images
short_description: Import and pin container images
options:
  images:
    description: Name, digest and, where it is to be imported, archive (a path on the host) of each image.
    type: list
    elements: dict
    required: true
"""

RETURN = """
missing: {description: Names of images that are not there and came without an archive., type: list, returned: always}
"""

RECORD = Path("/var/lib/keelson/images.json")
PINNED = "io.cri-containerd.pinned=pinned"


class RefusedError(Exception):
    """An image cannot be imported; the text says which and what containerd said."""


def ctr(*arguments: str) -> str:
    """Run ctr in the namespace of the CRI. Raises RefusedError with what it said where it fails."""
    done = subprocess.run(["ctr", "--namespace", "k8s.io", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"ctr {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def held() -> set[str]:
    """Names of the images that containerd has."""
    return set(ctr("images", "list", "--quiet").split())


def imported() -> dict[str, str]:
    """Digests of the archives that images were imported from, by name."""
    try:
        return dict(json.loads(RECORD.read_text()))
    except FileNotFoundError:
        return {}


def record(digests: dict[str, str]) -> None:
    """Remember the digests, atomically."""
    RECORD.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = RECORD.with_suffix(".new")
    draft.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    draft.replace(RECORD)


def bring(images: list[dict[str, Any]], *, check: bool) -> dict[str, Any]:
    """Import what is missing and has an archive; gives Ansible's answer."""
    there, digests = held(), imported()
    wanted = [image for image in images if image["name"] not in there or digests.get(image["name"]) != image["digest"]]
    missing = []
    for image in wanted:
        name = image["name"]
        if check or not image.get("archive"):
            missing.append(name)
            continue
        ctr("images", "import", image["archive"])
        if name not in held():
            raise RefusedError(f"{name}: its archive holds no image of that name")
        ctr("images", "label", name, PINNED)
        digests[name] = image["digest"]
        record(digests)
    return {
        "changed": bool(wanted),
        "missing": missing,
        "diff": [{"before": "", "after": "".join(f"{image['name']}\n" for image in wanted)}] if wanted else [],
    }


def main() -> None:
    """Read the task's arguments, import, answer Ansible."""
    module = AnsibleModule(
        argument_spec={"images": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    try:
        # A preview of a new host: nothing is there to ask yet.
        absent = module.check_mode and not Path("/run/containerd/containerd.sock").exists()
        images = module.params["images"]
        names = [image["name"] for image in images]
        answer = {"changed": bool(names), "missing": names} if absent else bring(images, check=module.check_mode)
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'ctr'}: {error.strerror}")
    else:
        module.exit_json(**answer)


if __name__ == "__main__":
    main()
