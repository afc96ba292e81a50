"""Bearer tokens: the good ones are accepted, and of a corpus of forged ones none; a check that trusts is found out."""

from __future__ import annotations

import hmac
import json

import pytest
from tests.unit.ports.http.forged import AUDIENCE, ISSUER, NOW, PUBLIC, RSA, forged, good
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World

from headwater.errors import CallerFault
from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import WHOLE, View
from headwater.ports.http.bearer import Bearers, Check, HashedTokens, hashed
from headwater.ports.http.limits import Limits
from headwater.ports.http.signed import Expected, SignedTokens, _decoded, read_keys
from headwater.testing.source_products import order_events
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

KNOWN = "known-token"
FORGED = dict(forged())


def bearers() -> Bearers:
    clock = ManualClock(Instant(NOW * 1_000_000))
    signed = SignedTokens(Expected(ISSUER, AUDIENCE), lambda: read_keys(PUBLIC), clock)
    return Bearers([HashedTokens({hashed(KNOWN): "svc.one"}), signed])


def accepted(check: Bearers, token: str) -> bool:
    try:
        return bool(check.of(f"Bearer {token}"))
    except CallerFault as refused:
        assert refused.code == "HW-R042"
        return False


@pytest.mark.parametrize("token", dict(good()).values(), ids=dict(good()).keys())
def test_a_good_token_is_accepted(token: str) -> None:
    assert bearers().of(f"Bearer {token}") == "svc.board"


def test_of_the_forged_tokens_none_is_accepted() -> None:
    check = bearers()
    assert len(FORGED) >= 200
    assert [name for name, token in FORGED.items() if accepted(check, token)] == []


def trusting(token: str) -> str | None:
    """A saboteur: it reads the claims, and looks at no signature."""
    parts = token.split(".")
    claims = json.loads(_decoded(parts[1], 10_000)) if len(parts) == 3 else {}
    return str(claims["sub"]) if isinstance(claims, dict) and "sub" in claims else None


def eager(token: str) -> str | None:
    """A saboteur: it takes the algorithm from the token, and the public key as the secret of an HMAC."""
    head, _, signature = token.rpartition(".")
    secret = RSA.as_pem(private=False)
    claims = json.loads(_decoded(head.partition(".")[2], 10_000))
    matches = hmac.compare_digest(hmac.digest(secret, head.encode(), "sha256"), _decoded(signature, 1_000))
    return str(claims["sub"]) if matches else None


@pytest.mark.parametrize("saboteur", [trusting, eager])
def test_a_check_that_trusts_what_it_reads_is_found_out(saboteur: Check) -> None:
    fallen = 0
    for token in FORGED.values():
        try:
            fallen += accepted(Bearers([saboteur]), token)
        except (ValueError, RecursionError, KeyError):
            continue
    assert fallen > 0


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"keys": []}',
        '{"keys": [1]}',
        json.dumps({"keys": [RSA.as_dict(private=True)]}),
        '{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        '{"keys": [], "keys": []}',
    ],
)
def test_keys_that_are_none_or_secret_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_keys(text)


class Owner:
    """Access of one principal only."""

    def view(self, principal: str, product: ResolvedProduct) -> View | None:
        return WHOLE if principal == "svc.one" else None


def test_the_principal_of_a_request_decides_what_is_seen() -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    world.write(FIRST)
    site = Site(world, access=Owner())
    site.app.principal = bearers()
    asked = f"{site.base}/as-of"
    nobody = site.http.get(asked)
    assert (nobody.status_code, nobody.json()["code"], nobody.headers["www-authenticate"]) == (401, "HW-R042", "Bearer")
    one = site.http.get(asked, headers={"authorization": f"Bearer {KNOWN}"})
    assert [row["event_id"] for row in one.json()["records"]] == ["a"]
    other = site.http.get(asked, headers={"authorization": f"Bearer {dict(good())['RS256']}"})
    assert other.status_code == 404, "forbidden looks like missing"
    assert site.http.get("/healthz").status_code == 200


def test_each_principal_has_a_rate_of_its_own_and_who_tries_tokens_is_held_up() -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    site = Site(world, limits=Limits(rate=1, burst=2))
    site.app.principal = bearers()
    one, other = ({"authorization": f"Bearer {token}"} for token in (KNOWN, dict(good())["RS256"]))
    assert [site.http.get("/v1/products", headers=one).status_code for _ in range(3)] == [200, 200, 429]
    assert site.http.get("/v1/products", headers=other).status_code == 200
    tried = [site.http.get("/v1/products", headers={"authorization": "Bearer x"}).status_code for _ in range(3)]
    assert tried == [401, 401, 429]
