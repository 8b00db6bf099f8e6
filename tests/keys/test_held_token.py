"""A token that waits for its key: what is kept of it is the token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from receiver.core.tenants import TenantDirectory
from receiver.core.tokens import logout_token as lt
from receiver.ingress.keys.held_token import HeldToken, opened
from tests.protocol.baseline import TENANT, encrypted, pem, token
from tests.support.clock import NOW
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys.conftest import Start
    from tests.support.clock import Clock
    from tests.support.op import OP

ABLE = replace(TENANT, decryption_key=pem(rsa_pair("enc")))


@pytest.mark.parametrize("compact", [token(), encrypted(token())])
def test_what_is_kept_is_the_token(compact: str) -> None:
    """Taken apart again it is as it was when it came, also out of its encryption, with nothing decrypted again."""
    parsed, tenant = lt.parse(compact, TenantDirectory((ABLE,)))

    held = HeldToken(
        compact=compact, opened=opened(parsed), tenant=replace(tenant, decryption_key=None), received_at=NOW
    )

    assert parsed == held.token


async def test_encrypted_token_waits_for_its_key(start: Start, op: OP, clock: Clock, tmp_path: Path) -> None:
    """It is published once the key of the token inside is there, as any other, where encryption is required, too."""
    path = tmp_path / "enc.pem"
    path.write_text(pem(rsa_pair("enc")))
    rig = await start(decryption_key_file=str(path), encrypted=True)
    await rig.post(encrypted(op.token()))
    await rig.post(encrypted(op.token(header={"kid": "forged"}, key=rsa_pair("forger"))))
    new = rsa_pair("k2")
    clock.advance(10)
    refused = await rig.post(encrypted(op.token(key=new, header={"kid": "k2"}, jti="waits")))
    op.keys.append(new.published())
    assert (400, "unknown_kid") == (refused.status, refused.code)

    clock.advance(300)
    await rig.retry()

    assert "waits" == (await rig.events())[-1]["data"]["jti"]
