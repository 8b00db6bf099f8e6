// npm test. Needs a `redis-server` in the PATH; it starts one of its own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from 'redis';

import { LogoutReceiver } from './logout-receiver.mjs';

const ISS = 'https://op.example';
const LOGOUT_AT = 1_750_000_000;
const quiet = { warn() {}, error() {} };

let directory, server, redis, receivers, number;

async function startRedis() {
  const path = join(directory, 'redis.sock');
  server = spawn('redis-server', ['--port', '0', '--unixsocket', path, '--save', '', '--dir', directory], { stdio: 'pipe' });
  for await (const chunk of server.stdout) if (`${chunk}`.includes('ready to accept')) break;
  return path;
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'logout-'));
  redis = createClient({ socket: { path: await startRedis() } });
  redis.on('error', () => {});
  await redis.connect();
});

after(async () => {
  redis.destroy();
  server.kill();
  await once(server, 'exit');
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  await redis.flushAll();
  receivers = [];
  number = 0;
});

afterEach(() => Promise.all(receivers.map((receiver) => receiver.stop())));

async function listening(options = {}) {
  const receiver = new LogoutReceiver({ client: redis, app: 'shop', log: quiet, ...options });
  receivers.push(receiver);
  await receiver.start();
  return receiver;
}

async function publish(data, { n = (number += 1), type = 'logout-receiver.eviction.v1' } = {}) {
  const event = {
    specversion: '1.0', type, id: `event-${n}`, source: ISS, time: new Date().toISOString(),
    data: {
      tenant: 'main', iss: ISS, client_id: 'shop', sub: null, sid: null, jti: null, scope: 'user', applies_to: 'tenant',
      logout_at: LOGOUT_AT, input: 'backchannel', reason: null, accounts: [], sessions: [], ...data,
    },
  };
  await redis.xAdd('{logout}:events', '*', { event: JSON.stringify(event), n: `${n}` });
}

/** Polls for 10 seconds: nothing here takes longer than a read of the stream waits. */
async function until(condition) {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `never came true: ${condition}`);
    await sleep(10);
  }
}

const claims = (sub, changes = {}) => ({ iss: ISS, aud: 'shop', sub, sid: `sid-${sub}`, auth_time: LOGOUT_AT - 100, ...changes });
const jwt = (payload) => ['e30', Buffer.from(JSON.stringify(payload)).toString('base64url'), 'c2ln'].join('.');

function blob(...idTokens) {
  const sections = { Account: {}, IdToken: {}, AccessToken: {}, RefreshToken: {}, AppMetadata: { 'appmetadata-op-shop': {} } };
  for (const payload of idTokens) {
    const of = { home_account_id: payload.sub, environment: 'op.example', client_id: payload.aud };
    sections.Account[`${payload.sub}-op.example-`] = { home_account_id: payload.sub, environment: 'op.example' };
    for (const [name, secret] of [['IdToken', jwt(payload)], ['AccessToken', 'at'], ['RefreshToken', 'rt']]) {
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

describe('listening', () => {
  it('hears what was published before the start and after it', async () => {
    await publish({ sub: 'alice' });
    const receiver = await listening();
    assert.equal(receiver.isSignedOut(claims('alice')), true);
    assert.equal(receiver.isSignedOut(claims('bob')), false);
    await publish({ sub: 'bob' });
    await until(() => receiver.isSignedOut(claims('bob')));
  });

  it('looks back no further than it is told', async () => {
    await publish({ sub: 'alice' });
    await sleep(5);
    const receiver = await listening({ lookbackS: 0 });
    assert.equal(receiver.isSignedOut(claims('alice')), false);
  });

  it('works with a client that speaks RESP2', async () => {
    const client = createClient({ socket: { path: join(directory, 'redis.sock') }, RESP: 2 });
    await client.connect();
    await publish({ sub: 'alice' });
    const receiver = await listening({ client });
    assert.equal(receiver.isSignedOut(claims('alice')), true);
    await receiver.stop();
    client.destroy();
  });

  it('ends everybody when entries are missing, and a later sign-in lives', async () => {
    const resets = [];
    const receiver = await listening({ onReset: (why) => resets.push(why) });
    await publish({ sub: 'alice' });
    await until(() => receiver.isSignedOut(claims('alice')));
    await publish({ sub: 'carol' }, { n: 3 });
    await until(() => resets.length === 1);
    assert.equal(receiver.isSignedOut(claims('bob')), true);
    assert.equal(receiver.isSignedOut(claims('bob', { auth_time: Date.now() / 1000 + 1 })), false);
  });

  it('sees the gap right behind its start', async () => {
    await publish({ sub: 'alice' });
    await sleep(5);
    const resets = [];
    await listening({ lookbackS: 0, onReset: (why) => resets.push(why) });
    await publish({ sub: 'bob' }, { n: 3 });
    await until(() => resets.length === 1);
  });

  it('waits out a Redis that dies, and notices that it came back without its data', async () => {
    const resets = [];
    const receiver = await listening({ onReset: (why) => resets.push(why) });
    await publish({ sub: 'alice' });
    await until(() => receiver.isSignedOut(claims('alice')));
    server.kill('SIGKILL');
    await once(server, 'exit');
    await startRedis();
    number = 0;
    await publish({ sub: 'bob' });
    await until(() => resets.length === 1);
    await until(() => receiver.isSignedOut(claims('bob', { auth_time: LOGOUT_AT })));
  });

  it('goes on after a handler that fails and an entry it cannot read, and acknowledges neither', async () => {
    const seen = [];
    await listening({
      onEviction({ sub }) {
        seen.push(sub);
        if (sub === 'alice') throw new Error('no');
      },
    });
    await publish({ sub: 'alice' });
    await publish({ sub: 'x' }, { type: 'logout-receiver.eviction.v9' });
    await publish({ sub: 'bob' });
    await until(() => redis.exists('{logout}:acks:event-3'));
    assert.deepEqual(seen, ['alice', 'bob']);
    assert.equal(await redis.exists(['{logout}:acks:event-1', '{logout}:acks:event-2']), 0);
    const [member] = await redis.zRange('{logout}:instances', 0, -1);
    assert.match(member, /^shop\//);
  });

  it('says goodbye when it stops', async () => {
    const receiver = await listening();
    await until(() => redis.zCard('{logout}:instances'));
    await receiver.stop();
    assert.equal(await redis.zCard('{logout}:instances'), 0);
  });
});

describe('who was signed out', () => {
  const cases = [
    ['the session named', { scope: 'session', sid: 'sid-alice', sub: 'alice' }, {}, true],
    ['not another session of the user', { scope: 'session', sid: 'sid-alice', sub: 'alice' }, { sid: 'other' }, false],
    ['a session without sid, by its user', { scope: 'session', sid: 'x', sub: 'alice' }, { sid: undefined }, true],
    ['every session of a user', { sub: 'alice' }, { sid: 'other' }, true],
    ['not one that authenticated later', { sub: 'alice' }, { auth_time: LOGOUT_AT + 1 }, false],
    ['not one that began later, where there is no auth_time', { sub: 'alice' }, { auth_time: undefined, iat: LOGOUT_AT + 1 }, false],
    ['one that began before, where there is no auth_time', { sub: 'alice' }, { auth_time: undefined, iat: LOGOUT_AT }, true],
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

  it('keeps a client of the account that signed in later', async () => {
    await publish({ sub: 'alice', accounts: ['alice'] });
    const cache = (await listening()).guarded(plain);
    await cache.set('k', JSON.stringify(blob(claims('alice'), claims('alice', { aud: 'portal', auth_time: LOGOUT_AT + 1 }))));
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
    const kept = new Map([['a', session('alice')], ['b', session('bob')], ['empty', {}]]);
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
