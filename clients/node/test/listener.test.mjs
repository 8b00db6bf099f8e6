// Options, health, metrics, stopping by a signal, MSAL's caches.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';

import { ConfidentialClientApplication } from '@azure/msal-node';
import { Redis } from 'ioredis';

import { authorizationParams, createListener } from '../src/index.js';
import { digest } from '../src/marks.js';
import { claims, ISS, listening, LOGOUT_AT, redis, signOut, until } from './stage.mjs';

describe('options', () => {
  const wrong = [
    [undefined, /options are an object/],
    [{}, /redis is missing: a client of the package/],
    [{ redis: {} , app: 'a' }, /redis must be a client/],
    [{ redis: 'redis://localhost', app: 'a' }, /redis must be a client/],
    [{ app: 'a' }, /redis is missing/],
    ['no app', /app is missing/],
    [{ appp: 'a' }, /no option appp; there are/],
    [{ waitMs: '5' }, /waitMs must be a whole number/],
    [{ whenUnknown: 'guess' }, /'serve' or 'refuse'/],
    [{ onEviction: true }, /onEviction must be a function/],
    [{ api: { url: 'receiver', token: 't' } }, /api must be { url, token }/],
    [{ api: { url: 'http://receiver' } }, /api must be { url, token }/],
    [{ app: ' ' }, /app must be a text/],
    [{ api: { url: 'http://receiver', token: 'read from a file\n' } }, /without spaces or line breaks/],
    [{ api: { url: 'http://receiver', token: 't', scope: 'sessions' } }, /api must be { url, token }/],
    [{ log: {} }, /log must be an object with warn and error/],
  ];
  for (const [options, message] of wrong) {
    it(`${JSON.stringify(options)} is refused with a sentence`, () => {
      const own = options === 'no app' ? { redis } : options && !('redis' in options) && Object.keys(options).length > 0 && (!('app' in options) || options.app === ' ') ? { redis, app: 'a', ...options } : options;
      assert.throws(() => createListener(own), { name: 'TypeError', message });
    });
  }

  it('of start are checked too, and claims', async () => {
    const logout = createListener({ redis, app: 'a' });
    await assert.rejects(logout.start({ within: 5 }), /no option within; there are signal, withinMs/);
    await assert.rejects(logout.start({ signal: new AbortController() }), /signal must be an AbortSignal/);
    await assert.rejects(logout.status(undefined), /pass the ID token's claims/);
    await assert.rejects(logout.signIn(null), /pass the ID token's claims/);
  });

  it('of a middleware are checked too', async () => {
    const logout = await listening();
    assert.throws(() => logout.express({ login: '/x' }), /no option login/);
    assert.throws(() => logout.express({ exempt: ['healthz'] }), /exempt must be an array of paths that begin with/);
    assert.throws(() => logout.msalClient({}), /ConfidentialClientApplication/);
    assert.throws(() => logout.msalCache(redis.get), /an object with get and set/);
  });
});

describe('a listener', () => {
  it('says how it is, and counts', async () => {
    const metrics = [];
    const logout = await listening({ onMetric: (name, count) => metrics.push([name, count]) });
    assert.equal(logout.health().hears, true);
    await signOut('alice');
    await until(async () => (await logout.status(claims('alice'))) === 'ended');
    // Redis may have said so before the event was read.
    await until(() => metrics.length > 0);
    assert.deepEqual(metrics, [['heard', 1]]);
    assert.equal(logout.health().lastError, null);
  });

  it('is stopped by a signal, and cannot be started twice', async () => {
    const stopping = new AbortController();
    const logout = createListener({ redis, app: 'signalled', waitMs: 500, log: { warn() {}, error() {} } });
    assert.equal(await logout.start({ signal: stopping.signal }), true);
    await assert.rejects(logout.start(), /started already/);
    await until(async () => (await redis.zCard('{logout}:instances')) === 1);
    stopping.abort();
    await until(async () => (await redis.zCard('{logout}:instances')) === 0);
    await assert.rejects(createListener({ redis, app: 'a' }).start({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  it('asks the OP for a login after a sign-in that it refused: the session there goes on, and would be the answer again', async () => {
    const logout = await listening();
    await signOut('alice');
    const session = {};
    assert.equal(await logout.signIn(claims('alice'), { session }), 'ended');
    assert.deepEqual(authorizationParams(session), { prompt: 'login' });
    assert.equal(await logout.signIn(claims('alice')), 'ended');
    const others = {};
    assert.equal(await logout.signIn(claims('bob'), { session: others }), 'live');
    assert.deepEqual(authorizationParams(others), {});
  });

  it('that was not started says so, once', async () => {
    const said = [];
    const logout = createListener({ redis, app: 'shop', log: { warn: (line) => said.push(line), error() {} } });
    for (let times = 0; times < 2; times++) assert.equal(await logout.status(claims('alice')), 'live');
    assert.deepEqual(said, ['shop: start() was not called: no logout is heard, and each request waits for Redis']);
    await logout.stop();
  });

  it('takes ioredis as well, connected or not', async () => {
    const client = new Redis(redis.options.socket.path, { lazyConnect: true });
    const logout = await listening({ redis: client });
    await signOut('alice');
    await until(async () => (await logout.status(claims('alice'))) === 'ended');
    client.disconnect();
  });

  it('refuses claims that name no user', async () => {
    const logout = await listening();
    await assert.rejects(logout.status({ sub: 'alice' }), /iss, sub and aud/);
  });
});

const jwt = (payload) => ['e30', Buffer.from(JSON.stringify(payload)).toString('base64url'), 'x'].join('.');

function entries(sub, payload, { cachedAt = LOGOUT_AT - 50 } = {}) {
  const whose = { home_account_id: sub, client_id: 'shop', environment: 'op.example' };
  return {
    Account: { [`a-${sub}`]: { home_account_id: sub, environment: 'op.example' } },
    IdToken: { [`i-${sub}`]: { ...whose, credential_type: 'IdToken', secret: jwt(payload) } },
    AccessToken: { [`t-${sub}`]: { ...whose, credential_type: 'AccessToken', secret: 'at', cached_at: `${cachedAt}` } },
    RefreshToken: { [`r-${sub}`]: { ...whose, credential_type: 'RefreshToken', secret: 'rt' } },
  };
}

const merged = (...caches) => Object.fromEntries(['Account', 'IdToken', 'AccessToken', 'RefreshToken'].map((name) => [name, Object.assign({}, ...caches.map((cache) => cache[name]))]));
const accounts = (text) => Object.values(JSON.parse(text).RefreshToken).map((entry) => entry.home_account_id);

describe("MSAL's cache", () => {
  const memory = new Map();
  const plain = { get: async (key) => memory.get(key), set: async (key, value) => (memory.set(key, value), value) };

  it('hands out and stores no tokens of a session that is over, and those of others unchanged', async () => {
    const cache = (await listening()).msalCache(plain);
    const value = JSON.stringify(merged(entries('alice', claims('alice')), entries('bob', claims('bob'))));
    await cache.set('k', value);
    assert.equal(await cache.get('k'), value);
    await signOut('alice', { accounts: ['alice'] });
    await until(async () => !accounts(await cache.get('k')).includes('alice'));
    assert.deepEqual(accounts(await cache.get('k')), ['bob']);
    // A refresh that was under way brings it back, with a new `iat`.
    await cache.set('k', JSON.stringify(entries('alice', claims('alice', { iat: LOGOUT_AT + 5 }), { cachedAt: LOGOUT_AT + 5 })));
    assert.deepEqual(accounts(memory.get('k')), []);
    await cache.set('k', JSON.stringify(entries('alice', claims('alice', { sid: 'new', auth_time: LOGOUT_AT + 9 }))));
    assert.deepEqual(accounts(memory.get('k')), ['alice']);
  });

  it('does not give undated tokens back after a while', async () => {
    memory.clear();
    const cache = (await listening()).msalCache(plain);
    await signOut('alice', { accounts: ['alice'] });
    const undated = (iat, cachedAt) => JSON.stringify(entries('alice', claims('alice', { sid: undefined, auth_time: undefined, iat }), { cachedAt }));
    for (const [iat, cachedAt, kept] of [[LOGOUT_AT + 5, LOGOUT_AT - 5, []], [LOGOUT_AT + 119, LOGOUT_AT + 119, []], [LOGOUT_AT + 121, LOGOUT_AT + 121, ['alice']]]) {
      await cache.set('k', undated(iat, cachedAt));
      assert.deepEqual(accounts(memory.get('k')), kept, `${iat - LOGOUT_AT}`);
    }
  });

  it('passes what it cannot read', async () => {
    const cache = (await listening()).msalCache(plain);
    for (const value of ['encrypted', '[1]', 'null', '{"Account":null}', '']) {
      await cache.set('k', value);
      assert.equal(await cache.get('k'), value);
    }
  });

  it('in the memory of a client object that lives on', async () => {
    const logout = await listening();
    const client = new ConfidentialClientApplication({ auth: { clientId: 'shop', clientSecret: 'x', authority: 'https://login.microsoftonline.com/common' } });
    logout.msalClient(client);
    const kept = client.getTokenCache().getKVStore();
    for (const sub of ['alice', 'bob']) {
      const of = { homeAccountId: sub, clientId: 'shop' };
      kept[`${sub}-id`] = { ...of, credentialType: 'IdToken', secret: jwt(claims(sub)) };
      kept[`${sub}-rt`] = { ...of, credentialType: 'RefreshToken', secret: 'rt' };
    }
    await signOut('alice', { accounts: ['alice'] });
    await until(() => !('alice-rt' in client.getTokenCache().getKVStore()));
    assert.deepEqual(Object.keys(client.getTokenCache().getKVStore()), ['bob-id', 'bob-rt']);
  });
});

describe('a sign-in', () => {
  /** @returns what was sent to it, and how it answers from now on */
  async function receiver(t) {
    const sent = [];
    const state = { status: 200, sent };
    const server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      sent.push({ path: request.url, token: request.headers.authorization, ...JSON.parse(body) });
      response.writeHead(state.status).end('{}');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => (server.closeAllConnections(), server.close()));
    return { ...state, url: `http://127.0.0.1:${server.address().port}`, answer: (status) => (state.status = status) };
  }

  it('is registered, as anew where the user was refused before', async (t) => {
    const api = await receiver(t);
    const logout = await listening({ api: { url: `${api.url}/`, token: 'secret' } });
    assert.equal(await logout.signIn(claims('fred'), { keys: ['sess:1'] }), 'live');
    assert.equal(await logout.signIn(claims('fred'), { account: 'f.t', session: { logoutListener: { prompt: 'login' } } }), 'live');
    const [first, second] = api.sent;
    const said = { path: '/v1/sessions', token: 'Bearer secret', iss: ISS, client_id: 'shop', sub: 'fred', sid: 'sid-fred' };
    const dates = { auth_time: LOGOUT_AT - 100, iat: LOGOUT_AT - 99 };
    assert.deepEqual(first, { ...said, ...dates, anew: false, keys: ['sess:1'] });
    assert.deepEqual(second, { ...said, ...dates, anew: true, keys: [], home_account_id: 'f.t' });
  });

  it('begins no session that is over, and one that cannot be registered is asked about', async (t) => {
    const api = await receiver(t);
    const warned = [];
    const log = { warn: (line) => warned.push(line), error() {} };
    const logout = await listening({ api: { url: api.url, token: 'secret' }, log });
    api.answer(409);
    assert.equal(await logout.signIn(claims('gina')), 'ended');
    api.answer(500);
    assert.equal(await logout.signIn(claims('gina')), 'live');
    await signOut('gina');
    await until(async () => (await logout.signIn(claims('gina'))) === 'ended');
    assert.match(warned[0], /not registered: the receiver answered 500/);
  });

  it('that was noted as newer than the logout lives, and the session before it does not', async () => {
    const logout = await listening();
    await signOut('hugo');
    await until(async () => (await logout.status(claims('hugo'))) === 'ended');
    const again = claims('hugo', { iat: LOGOUT_AT + 5 });
    const text = ['shop', 'hugo', 'sid-hugo', LOGOUT_AT - 100, LOGOUT_AT + 5].join('\n');
    await redis.set(`{logout}:mark:anew:${digest('anew', ISS, text)}`, `${LOGOUT_AT}`);
    assert.equal(await logout.status(again), 'live');
    assert.equal(await logout.status(claims('hugo')), 'ended');
  });
});
