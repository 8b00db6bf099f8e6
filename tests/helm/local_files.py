"""Settings as they are in a pod, made to work here."""

import json
from pathlib import Path

from rendered import Object

SECRETS = (
    "/var/run/secrets/logout-receiver/api/token",
    "/var/run/secrets/logout-receiver/redis/password",
    "/var/run/secrets/logout-receiver/index/secret",
    "/etc/clients/portal",
    "/etc/sessions/password",
)


def with_local_files(settings: Object, directory: Path) -> Object:
    """These settings, naming files that exist here instead of those mounted in a pod."""
    local = {"/etc/ca/ca.crt": Path(__file__).with_name("ca.crt")}
    for mounted in SECRETS:
        local[mounted] = directory / mounted.replace("/", "-")
        local[mounted].write_text("0123456789abcdef" * 2)
    text = json.dumps(settings)
    for mounted, here in local.items():
        text = text.replace(json.dumps(mounted), json.dumps(str(here)))
    replaced: Object = json.loads(text)
    return replaced
