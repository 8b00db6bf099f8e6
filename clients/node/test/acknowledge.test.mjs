// When acknowledgements are sent, and that none is after the goodbye: P1 and P4 of docs/listener.md.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it, mock } from 'node:test';

import { listening, redis, signOut, until } from './stage.mjs';

/** Milliseconds in which Redis answers nothing: more than acknowledgements wait for each other. */
const SLOW_MS = 600;

const STOPS_TOO_EARLY = `
  import { createClient } from 'redis';
  import { createListener } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
  const redis = createClient({ socket: { path: process.argv[1] } });
  let clears, goesOn;
  const isClearing = new Promise((resolve) => (clears = resolve));
  const onEviction = () => (clears(), new Promise((resolve) => (goesOn = resolve)));
  const log = { warn() {}, error() {} };
  const logout = createListener({ redis, app: 'early', waitMs: 500, log, onEviction });
  await logout.start();
  process.stdout.write('hears');
  await isClearing;
  await logout.stop();
  goesOn();
  const other = { iss: 'https://op.example', aud: 'shop', sub: 'bob', auth_time: 1, iat: 1 };
  process.stdout.write(await logout.status(other));
`;

/** A listener whose handlers return when they are told to, by user. */
async function cleared(...users) {
  const returns = new Map();
  // Signs of life, with which everything goes that waits, are too rare to matter.
  await listening({ waitMs: 30_000, onEviction: ({ sub }) => new Promise((resolve) => returns.set(sub, resolve)) });
  for (const user of users) await signOut(user);
  await until(() => returns.size === users.length);
  return returns;
}

const isAcknowledged = (id) => async () => (await redis.exists(`{logout}:acks:${id}`)) === 1;

describe('acknowledgements', () => {
  it('that are due while others are on their way to a slow Redis go right after them', async () => {
    const returns = await cleared('alice', 'bob');
    await redis.sendCommand(['CLIENT', 'PAUSE', `${SLOW_MS}`, 'ALL']);
    returns.get('alice')();
    setTimeout(returns.get('bob'), 50);
    await until(isAcknowledged('e1'));
    await until(isAcknowledged('e2'));
  });

  it('wait for no negative time after a pause: Node 24 warns of it', async (context) => {
    const timers = mock.method(globalThis, 'setTimeout');
    context.after(() => timers.mock.restore());
    const returns = await cleared('alice');
    returns.get('alice')();
    await until(isAcknowledged('e1'));
    assert.deepEqual(timers.mock.calls.map(({ arguments: [, ms] }) => ms).filter((ms) => ms < 0), []);
  });

  it('of a handler that returns after the goodbye are not sent, nor is Redis asked, and the process can end', async () => {
    const app = spawn(process.execPath, ['--input-type=module', '-e', STOPS_TOO_EARLY, redis.options.socket.path], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(app.stdout, 'data');
    await signOut('alice');
    const ended = once(app, 'exit');
    const says = once(app.stdout, 'data');
    try {
      await until(() => app.exitCode !== null);
    } finally {
      app.kill();
    }
    assert.deepEqual(await ended, [0, null]);
    assert.equal(`${(await says)[0]}`, 'unknown');
    assert.equal(await redis.zCard('{logout}:instances'), 0);
  });
});
