import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { LOGOUT_AT, claims, listening, publish, until } from './stage.mjs';

const jwt = (payload) => ['e30', Buffer.from(JSON.stringify(payload)).toString('base64url'), 'c2ln'].join('.');

function blob(...idTokens) {
  const sections = {
    Account: {},
    IdToken: {},
    AccessToken: {},
    RefreshToken: {},
    AppMetadata: { 'appmetadata-op-shop': {} },
  };
  for (const payload of idTokens) {
    const of = { home_account_id: payload.sub, environment: 'op.example', client_id: payload.aud };
    sections.Account[`${payload.sub}-op.example-`] = { home_account_id: payload.sub, environment: 'op.example' };
    for (const [name, secret] of [
      ['IdToken', jwt(payload)],
      ['AccessToken', 'at'],
      ['RefreshToken', 'rt'],
    ]) {
      sections[name][`${payload.sub}-${name}-${payload.aud}`] = { ...of, credential_type: name, secret };
    }
  }
  return sections;
}

function accountsIn(text) {
  const { Account, IdToken, AccessToken, RefreshToken } = JSON.parse(text);
  const found = [Account, IdToken, AccessToken, RefreshToken].flatMap((section) => Object.values(section));
  return found.map((entry) => entry.home_account_id).sort();
}

const four = (...accounts) => accounts.flatMap((account) => Array(4).fill(account)).sort();

describe('who was signed out', () => {
  const cases = [
    ['the session named', { scope: 'session', sid: 'sid-alice', sub: 'alice' }, {}, true],
    ['not another session of the user', { scope: 'session', sid: 'sid-alice', sub: 'alice' }, { sid: 'other' }, false],
    ['a session without sid, by its user', { scope: 'session', sid: 'x', sub: 'alice' }, { sid: undefined }, true],
    ['every session of a user', { sub: 'alice' }, { sid: 'other' }, true],
    ['not one that authenticated later', { sub: 'alice' }, { auth_time: LOGOUT_AT + 1 }, false],
    [
      'not one that began later, where there is no auth_time',
      { sub: 'alice' },
      { auth_time: undefined, iat: LOGOUT_AT + 1 },
      false,
    ],
    [
      'one that began before, where there is no auth_time',
      { sub: 'alice' },
      { auth_time: undefined, iat: LOGOUT_AT },
      true,
    ],
    ['nobody at another issuer', { sub: 'alice', iss: 'https://other.example' }, {}, false],
    ['the client named', { sub: 'alice', applies_to: 'client' }, {}, true],
    ['not another client', { sub: 'alice', applies_to: 'client', client_id: 'portal' }, {}, false],
  ];
  for (const [name, eviction, changes, expected] of cases) {
    it(name, async () => {
      await publish(eviction);
      const receiver = await listening();
      assert.equal(receiver.isSignedOut(claims('alice', changes)), expected);
    });
  }
});

describe('guarded cache client', () => {
  const memory = new Map();
  const plain = { get: async (key) => memory.get(key), set: async (key, value) => memory.set(key, value) && 'OK' };
  const inFlight = JSON.stringify(blob(claims('alice', { iat: LOGOUT_AT + 5 }), claims('bob')));

  beforeEach(() => memory.clear());

  it('neither writes a signed-out account back nor hands it out; others stay', async () => {
    const receiver = await listening();
    const cache = receiver.guarded(plain);
    await cache.set('k', inFlight);
    assert.equal(await cache.get('k'), inFlight);
    await publish({ scope: 'session', sid: 'sid-alice', sub: 'alice', accounts: ['alice'] });
    await until(() => receiver.isSignedOut(claims('alice')));
    assert.deepEqual(accountsIn(await cache.get('k')), four('bob'));
    await cache.set('k', inFlight);
    assert.deepEqual(accountsIn(memory.get('k')), four('bob'));
    assert.deepEqual(JSON.parse(memory.get('k')).AppMetadata, { 'appmetadata-op-shop': {} });
  });

  it('lets a new sign-in through: another sid, or a later auth_time', async () => {
    await publish({ scope: 'session', sid: 'sid-alice', sub: 'alice', accounts: ['alice'] });
    await publish({ sub: 'bob', accounts: ['bob'] });
    const cache = (await listening()).guarded(plain);
    const value = JSON.stringify(blob(claims('alice', { sid: 'new' }), claims('bob', { auth_time: LOGOUT_AT + 1 })));
    await cache.set('k', value);
    assert.equal(memory.get('k'), value);
  });

  it('leaves the new sign-in that was stored while a refresh of the old one was in flight', async () => {
    await publish({ scope: 'session', sid: 'sid-alice', sub: 'alice', accounts: ['alice'] });
    const cache = (await listening()).guarded(plain);
    const now = blob(claims('alice', { sid: 'new' }));
    memory.set('k', JSON.stringify(now));
    await cache.set('k', inFlight);
    assert.deepEqual(accountsIn(memory.get('k')), four('alice', 'bob'));
    assert.deepEqual(JSON.parse(memory.get('k')).IdToken['alice-IdToken-shop'], now.IdToken['alice-IdToken-shop']);
  });

  it('makes a watched client forget what a write must not bring back, and no other user', async () => {
    const receiver = await listening();
    const memory = {};
    const client = receiver.watch({ getTokenCache: () => ({ getKVStore: () => memory }), clearCache() {} });
    await publish({ scope: 'session', sid: 'sid-alice', sub: 'alice', accounts: ['alice'] });
    await until(() => receiver.isSignedOut(claims('alice')));
    for (const sub of ['alice', 'bob']) {
      const of = { homeAccountId: sub, clientId: 'shop' };
      memory[`${sub}-id`] = { ...of, credentialType: 'IdToken', secret: jwt(claims(sub)) };
      memory[`${sub}-rt`] = { ...of, credentialType: 'RefreshToken', secret: 'rt' };
    }
    await receiver.guarded(plain).set('k', inFlight);
    assert.deepEqual(Object.keys(client.getTokenCache().getKVStore()), ['bob-id', 'bob-rt']);
  });

  it('keeps a client of the account that signed in later', async () => {
    await publish({ sub: 'alice', accounts: ['alice'] });
    const cache = (await listening()).guarded(plain);
    await cache.set(
      'k',
      JSON.stringify(blob(claims('alice'), claims('alice', { aud: 'portal', auth_time: LOGOUT_AT + 1 }))),
    );
    assert.deepEqual(accountsIn(memory.get('k')), four('alice'));
  });

  it('takes tokens without sid and auth_time for signed out for two minutes, then for a new sign-in', async (t) => {
    const receiver = await listening();
    await publish({ sub: 'alice', accounts: ['alice'] });
    await until(() => receiver.isSignedOut(claims('alice')));
    const cache = receiver.guarded(plain);
    const value = JSON.stringify(blob(claims('alice', { sid: undefined, auth_time: undefined, iat: LOGOUT_AT + 5 })));
    await cache.set('k', value);
    assert.deepEqual(accountsIn(memory.get('k')), []);
    const now = performance.now();
    t.mock.method(performance, 'now', () => now + 121_000);
    await cache.set('k', value);
    assert.equal(memory.get('k'), value);
  });

  it('passes what it cannot read', async () => {
    await publish({ sub: 'alice' });
    const cache = (await listening()).guarded(plain);
    for (const value of ['encrypted', '[1]', 'null', '{"Account":null}']) {
      await cache.set('k', value);
      assert.equal(await cache.get('k'), value);
    }
    assert.equal(await cache.get('nothing'), undefined);
  });
});

describe('sessions', () => {
  const session = (sub) => ({ account: { homeAccountId: sub, idTokenClaims: claims(sub) } });

  it('are destroyed instead of read or saved, in a store', async () => {
    const kept = new Map([
      ['a', session('alice')],
      ['b', session('bob')],
      ['empty', {}],
    ]);
    const store = (await listening()).guardedSessions({
      get: (id, done) => done(null, kept.get(id)),
      set: (id, value, done) => done(null, kept.set(id, value)),
      destroy: (id, done) => done(null, kept.delete(id)),
    });
    const read = (id) => new Promise((resolve) => store.get(id, (_error, found) => resolve(found ?? null)));
    await publish({ scope: 'session', sid: 'sid-alice' });
    await until(async () => (await read('a')) === null);
    assert.deepEqual([...kept.keys()], ['b', 'empty']);
    await new Promise((resolve) => store.set('a', session('alice'), resolve));
    assert.deepEqual([...kept.keys()], ['b', 'empty']);
    await new Promise((resolve) => store.set('c', session('carol'), resolve));
    assert.deepEqual(await read('c'), session('carol'));
    assert.deepEqual(await read('empty'), {});
  });

  it('are emptied before the app sees them, in a cookie', async () => {
    await publish({ sub: 'alice' });
    const refuse = (await listening()).refuseSignedOut();
    const seen = [];
    for (const request of [{ session: session('alice') }, { session: session('bob') }, {}, { session: null }]) {
      await new Promise((next) => refuse(request, {}, next));
      seen.push(request.session);
    }
    assert.deepEqual(seen, [null, session('bob'), undefined, null]);
  });
});
