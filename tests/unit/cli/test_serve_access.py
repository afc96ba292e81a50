"""Who may ask a server: without tokens only loopback, and what cannot be used is said before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.ports.http.forged import AUDIENCE, ISSUER, NOW, PUBLIC, good

from headwater.cli.serve_access import AccessOptions, asking
from headwater.errors import CallerFault
from headwater.ports.http.app import nobody
from headwater.ports.http.bearer import Bearers, hashed
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant


def clock() -> ManualClock:
    return ManualClock(Instant(NOW * 1_000_000))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_loopback_nobody_has_to_say_who_asks(host: str) -> None:
    assert asking(host, AccessOptions(), clock()) is nobody


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org", ""])
def test_elsewhere_a_server_without_tokens_does_not_start(host: str) -> None:
    with pytest.raises(CallerFault, match=r"nobody asks who they are") as refused:
        asking(host, AccessOptions(), clock())
    assert refused.value.code == "HW-K073"


def test_tokens_of_a_file_and_of_a_provider_are_accepted_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# of the board\n\n{hashed('secret')} svc.board\n")
    (tmp_path / "keys").write_text(PUBLIC)
    options = AccessOptions(tmp_path / "tokens", ISSUER, AUDIENCE, str(tmp_path / "keys"))
    bearers = asking("0.0.0.0", options, clock())
    assert isinstance(bearers, Bearers)
    assert [bearers.of("Bearer secret"), bearers.of(f"Bearer {dict(good())['ES256']}")] == ["svc.board"] * 2
    with pytest.raises(CallerFault):
        bearers.of("Bearer Secret")


def test_new_keys_are_read_after_a_while_and_the_old_ones_stay_while_there_are_none(tmp_path: Path) -> None:
    file, time = tmp_path / "keys", clock()
    file.write_text(PUBLIC)
    bearers = asking("::", AccessOptions(None, ISSUER, AUDIENCE, str(file)), time)
    assert isinstance(bearers, Bearers)
    file.write_text("{}")
    time.sleep(301_000_000)
    assert bearers.of(f"Bearer {dict(good())['ES256']}") == "svc.board"


@pytest.mark.parametrize(
    ("tokens", "options"),
    [
        (None, AccessOptions(Path("/nowhere/tokens"))),
        ("", None),
        ("secret svc.board", None),
        (f"{hashed('x')}", None),
        (None, AccessOptions(issuer=ISSUER)),
        (None, AccessOptions(None, ISSUER, AUDIENCE, "/nowhere/keys")),
        (None, AccessOptions(None, ISSUER, AUDIENCE, "http://127.0.0.1:1/keys")),
        (None, AccessOptions(None, ISSUER, AUDIENCE, "file:///etc/passwd")),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, tokens: str | None, options: AccessOptions | None) -> None:
    if tokens is not None:
        (tmp_path / "tokens").write_text(tokens)
    with pytest.raises(CallerFault) as refused:
        asking("127.0.0.1", options or AccessOptions(tmp_path / "tokens"), clock())
    assert refused.value.code == "HW-K074"
