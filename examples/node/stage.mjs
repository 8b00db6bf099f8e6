// For the tests: a Redis, receivers that listen to it, events as the receiver publishes them.
// Needs a `redis-server` in the PATH; each test file starts one of its own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from 'redis';

import { LogoutReceiver } from './logout-receiver.mjs';

/** Issuer of all tokens here. */
export const ISS = 'https://op.example';
/** Seconds: when everybody here is signed out. */
export const LOGOUT_AT = 1_750_000_000;
const quiet = { warn() {}, error() {} };

/** A client of the Redis of this file's tests. */
export let redis;

let directory, server, receivers, number;

async function startRedis() {
  const path = join(directory, 'redis.sock');
  server = spawn('redis-server', ['--port', '0', '--unixsocket', path, '--save', '', '--dir', directory], {
    stdio: 'pipe',
  });
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

/** A receiver that has read what there is; stopped after the test. */
export async function listening(options = {}) {
  const receiver = new LogoutReceiver({ client: redis, app: 'shop', log: quiet, ...options });
  receivers.push(receiver);
  await receiver.start();
  return receiver;
}

/** One event as the receiver publishes it, with these members of `data`. */
export async function publish(data, { n = (number += 1), type = 'logout-receiver.eviction.v1' } = {}) {
  const event = {
    specversion: '1.0',
    type,
    id: `event-${n}`,
    source: ISS,
    time: new Date().toISOString(),
    data: {
      tenant: 'main',
      iss: ISS,
      client_id: 'shop',
      sub: null,
      sid: null,
      jti: null,
      scope: 'user',
      applies_to: 'tenant',
      logout_at: LOGOUT_AT,
      input: 'backchannel',
      reason: null,
      accounts: [],
      sessions: [],
      ...data,
    },
  };
  await redis.xAdd('{logout}:events', '*', { event: JSON.stringify(event), n: `${n}` });
}

/** Polls for 10 seconds: nothing here takes longer than a read of the stream waits. */
export async function until(condition) {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `never came true: ${condition}`);
    await sleep(10);
  }
}

/** Claims of an ID token from before the logout. */
export const claims = (sub, changes = {}) => ({
  iss: ISS,
  aud: 'shop',
  sub,
  sid: `sid-${sub}`,
  auth_time: LOGOUT_AT - 100,
  ...changes,
});

/** Where the Redis listens. */
export const socket = () => ({ path: join(directory, 'redis.sock') });

/** Redis dies and comes back without its data. */
export async function loseRedis() {
  server.kill('SIGKILL');
  await once(server, 'exit');
  await startRedis();
  number = 0;
}
