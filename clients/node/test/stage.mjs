// A Redis for one test file, and logouts in it as a receiver publishes them. Needs redis-server in the PATH.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from 'redis';

import { createListener } from '../src/index.js';
import { digest } from '../src/marks.js';

export const ISS = 'https://op.example';
/** Seconds: when all users here are signed out. */
export const LOGOUT_AT = 1_750_000_000;

export let redis;
let directory, server, number;
const listeners = [];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'listener-'));
  const path = join(directory, 'redis.sock');
  server = spawn('redis-server', ['--port', '0', '--unixsocket', path, '--save', '', '--dir', directory], { stdio: 'pipe' });
  for await (const chunk of server.stdout) if (`${chunk}`.includes('ready to accept')) break;
  redis = createClient({ socket: { path } });
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
  await Promise.all(listeners.splice(0).map((listener) => listener.stop()));
  await redis.flushAll();
  number = 0;
});

after(() => Promise.all(listeners.splice(0).map((listener) => listener.stop())));

/** A listener that hears; stopped with the test. */
export async function listening(options = {}) {
  const log = { warn() {}, error() {} };
  const listener = createListener({ redis, app: 'shop', clientId: 'shop', waitMs: 500, log, ...options });
  listeners.push(listener);
  assert.equal(await listener.start(), true);
  return listener;
}

/** Signs a user out: the mark and the event. */
export async function signOut(sub, { sid = null, accounts = [] } = {}) {
  number += 1;
  const scope = sid === null ? 'user' : 'session';
  const data = {
    tenant: 'main', iss: ISS, client_id: 'shop', sub, sid, jti: null, scope, applies_to: 'tenant', logout_at: LOGOUT_AT,
    input: 'backchannel', reason: null, accounts, sessions: [],
  };
  const event = { type: 'logout-receiver.eviction.v1', id: `e${number}`, time: new Date().toISOString(), data };
  await redis.set(`{logout}:mark:${sid === null ? digest('sub', ISS, sub) : digest('sid', ISS, sid)}`, `${LOGOUT_AT}`);
  await redis.set('{logout}:sequence', `${number}`);
  await redis.xAdd('{logout}:events', '*', { event: JSON.stringify(event), n: `${number}` });
}

/** Claims of a sign-in from before the logout. */
export const claims = (sub, changes = {}) => ({
  iss: ISS, aud: 'shop', sub, sid: `sid-${sub}`, auth_time: LOGOUT_AT - 100, iat: LOGOUT_AT - 99, ...changes,
});

/** Polls for 10 seconds. */
export async function until(condition) {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `never came true: ${condition}`);
    await sleep(5);
  }
}
