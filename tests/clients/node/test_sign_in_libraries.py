"""What the package's page shows, in a fresh app: openid-client, Passport with it, and a real OP, node-oidc-provider."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.clients.node.oidc_provider.place import Visitor, running_place
from tests.stacks.java.world import World, running_world
from tests.stacks.program import Program
from tests.support import needed
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.node, pytest.mark.timeout(450)]

PAGE = {"Accept": "text/html"}

COMMON = """
import express from 'express';
import session from 'express-session';
import * as client from 'openid-client';
import { createClient } from 'redis';
import { authorizationParams, createListener } from 'logout-listener';

const { ISSUER, REDIS_URL, PORT = '0', API_URL, API_TOKEN } = process.env;
const config = await client.discovery(new URL(ISSUER), 'portal', 'secret');
const api = API_URL ? { api: { url: API_URL, token: API_TOKEN } } : {};
const logout = createListener({ redis: createClient({ url: REDIS_URL }), app: 'fresh', clientId: 'portal', ...api });
await logout.start();
const app = express();
app.use(session({ secret: 'not a secret', resave: false, saveUninitialized: false }));
app.use(logout.express({ loginUrl: '/sign-in' }));
const server = app.listen(Number(PORT), '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const here = `http://127.0.0.1:${server.address().port}`;
"""

OPENID_CLIENT = """
const redirect_uri = `${here}/callback`;
app.get('/sign-in', async (request, response) => {
  const verifier = client.randomPKCECodeVerifier();
  request.session.signIn = { verifier, state: client.randomState() };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri, scope: 'openid', state: request.session.signIn.state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    max_age: '86400',
    ...authorizationParams(request.session),
  });
  response.redirect(url.href);
});
app.get('/callback', async (request, response) => {
  const { verifier, state } = request.session.signIn;
  const currentUrl = new URL(request.originalUrl, here);
  const checks = { pkceCodeVerifier: verifier, expectedState: state };
  const tokens = await client.authorizationCodeGrant(config, currentUrl, checks);
  const status = await logout.signIn(tokens.claims(), { session: request.session });
  if (status === 'ended') return response.status(401).send('You have been signed out.');
  request.session.regenerate(() => {
    request.session.claims = tokens.claims();
    response.redirect('/');
  });
});
app.get('/', (request, response) => response.json({ user: request.session.claims?.sub ?? null }));
console.log(JSON.stringify({ event: 'startup', here }));
"""

PASSPORT = """
import passport from 'passport';
import { Strategy } from 'openid-client/passport';
const verify = async (request, tokens, done) => {
  const status = await logout.signIn(tokens.claims(), { session: request.session });
  done(null, status === 'ended' ? false : { claims: tokens.claims() });
};
const callbackURL = `${here}/callback`;
class Asking extends Strategy {
  authorizationRequestParams(request, options) {
    const params = super.authorizationRequestParams(request, options);
    const more = { max_age: '86400', ...authorizationParams(request.session) };
    for (const [name, value] of Object.entries(more)) params.set(name, value);
    return params;
  }
}
passport.use('oidc', new Asking({ config, scope: 'openid', callbackURL, passReqToCallback: true }, verify));
passport.serializeUser((user, done) => done(null, user));
passport.deserializeUser((user, done) => done(null, user));
app.use(passport.session());
app.get('/sign-in', passport.authenticate('oidc'));
app.get('/callback', passport.authenticate('oidc', { successRedirect: '/', failureRedirect: '/refused' }));
app.get('/', (request, response) => response.json({ user: request.user?.claims.sub ?? null }));
console.log(JSON.stringify({ event: 'startup', here }));
"""

TYPED = """
import { createClient } from 'redis';
import { createListener, type Eviction, type Status } from 'logout-listener';

const onEviction = (eviction: Eviction): void => console.log(eviction.id);
const logout = createListener({ redis: createClient(), app: 'fresh', onEviction });
export const status: Promise<Status> = logout.status({ iss: 'https://op', sub: 'u', aud: 'c' });
// @ts-expect-error the app's name is a text
createListener({ redis: createClient(), app: 1 });
"""


@pytest.fixture(scope="module")
def fresh(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with the packed file and what it signs in with."""
    npm, place = needed.program("npm"), tmp_path_factory.mktemp("fresh")
    pack = [npm, "pack", "--silent", "--pack-destination", str(place)]
    packed = subprocess.run(pack, cwd=package, check=True, capture_output=True, text=True).stdout.strip()
    (place / "package.json").write_text('{"name": "fresh", "private": true, "type": "module"}')
    libraries = ["redis@6.3.1", "express@5.3.0", "express-session@1.19.0", "openid-client@6", "passport@0.7"]
    install = [npm, "install", "--no-audit", "--no-fund", str(place / packed), *libraries, "@types/node@20"]
    subprocess.run(install, cwd=place, check=True, capture_output=True)
    for name, app in (("openid-client", OPENID_CLIENT), ("passport", PASSPORT)):
        (place / f"{name}.mjs").write_text(COMMON + app)
    return place


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An OP and a receiver."""
    yield from running_world(tmp_path_factory.mktemp("world"), evictor=False)


def test_types_in_a_fresh_app(package: Path, fresh: Path) -> None:
    """TypeScript compiles an app against the packed file, strictly."""
    (fresh / "app.ts").write_text(TYPED)
    compiler = str(package / "node_modules" / "typescript" / "bin" / "tsc")
    options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck"]
    done = subprocess.run(
        ["node", compiler, *options, "app.ts"], cwd=fresh, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("library", ["openid-client", "passport"])
def test_signed_out_and_in_again(library: str, fresh: Path, world: World, tmp_path: Path) -> None:
    """Signed in, signed out at the OP, refused at the next request and sent back with `prompt=login`, and in again."""
    op = world.ops["oidc"]
    environment = {"ISSUER": op.issuer, "REDIS_URL": world.redis_url, "NODE_EXTRA_CA_CERTS": str(op.ca_file)}
    program = Program(["node", f"{library}.mjs"], tmp_path / "log", environment=environment, directory=fresh)
    with program, requests.Session() as browser:
        browser.trust_env = False
        here = program.wait_for_line("startup")["here"]

        def get(path: str) -> requests.Response:
            return browser.get(here + path, headers=PAGE, timeout=30, allow_redirects=False)

        def sign_in() -> dict[str, list[str]]:
            to_op = get("/sign-in").headers["Location"]
            back = urlsplit(op.answer(to_op, library))
            assert get(f"{back.path}?{back.query}").headers["Location"] == "/", program.output
            return parse_qs(urlsplit(to_op).query)

        first = sign_in()
        assert ["86400"] == first["max_age"]
        assert "prompt" not in first
        assert {"user": op.sub(library, "portal")} == get("/").json()
        world.logout(op, library)
        eventually(lambda: get("/").status_code == 302)

        assert ["login"] == sign_in()["prompt"]
        assert {"user": op.sub(library, "portal")} == get("/").json()


def test_at_node_oidc_provider(fresh: Path, node_oidc_provider: Path, tmp_path: Path) -> None:
    """Refused at the next request after its own logout and after an order, and in again after a password both times."""
    with running_place(node_oidc_provider, fresh, tmp_path) as place, Visitor(place, "alice") as alice:
        assert [None] == alice.sign_in()
        with Visitor(place, "bob") as bob:
            bob.sign_in()

            alice.sign_out_at_the_op()
            eventually(lambda: not alice.is_in())
            # A sign-in in the second of the logout is refused as well.
            eventually(lambda: ["login"] == alice.sign_in() and alice.is_in())

            place.order("alice")
            eventually(lambda: not alice.is_in())
            assert ["login"] == alice.sign_in()
            assert alice.is_in()
            assert bob.is_in()
