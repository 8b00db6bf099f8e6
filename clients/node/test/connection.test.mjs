// What an app has set at its client for commands of its own.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { claims, listening, redis, signOut, until } from './stage.mjs';

const OF_IOREDIS = [{ keyPrefix: 'shop:' }, { socketTimeout: 100 }, { enableAutoPipelining: true }];
const CASES = [
  ...['ioredis', 'ioredis-5'].flatMap((library) => OF_IOREDIS.map((set) => [library, set])),
  ...['redis', 'redis-5'].map((library) => [library, { socket: { socketTimeout: 100 } }]),
];

async function clientOf(library, set) {
  const { createClient, Redis } = await import(library);
  const { path } = redis.options.socket;
  if (library.startsWith('ioredis')) return new Redis({ path, lazyConnect: true, ...set });
  return createClient({ ...set, socket: { path, ...set.socket } });
}

describe("the app's client", () => {
  for (const [library, set] of CASES) {
    it(`of ${library} with ${JSON.stringify(set)} says where Redis is, and no more`, async () => {
      const logout = await listening({ redis: await clientOf(library, set) });
      assert.equal(await logout.status(claims('alice')), 'live');
      const { lastReadAt } = logout.health();
      // It reads on over a wait without news, in seconds.
      await until(() => logout.health().lastReadAt > lastReadAt + 0.25);
      await signOut('alice');
      await until(async () => (await logout.status(claims('alice'))) === 'ended');
      await until(() => logout.health().heard === 1);
      assert.equal(logout.health().lastError, null);
    });
  }
});
