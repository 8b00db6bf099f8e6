// What the conformance kit drives: `python -m tests.listeners --command 'node clients/node/test/kit-driver.mjs [library]'`.
// The orders are described by the kit's --help.

import { createInterface } from 'node:readline';

import { createListener } from '../src/index.js';

const library = process.argv[2] ?? 'redis';

/** The app's client: never connected where the package makes its own. */
async function clientOf(url) {
  const { createClient, Redis } = await import(library);
  return library.startsWith('ioredis') ? new Redis(url, { lazyConnect: true }) : createClient({ url });
}

const log = Object.fromEntries(['info', 'warn', 'error'].map((level) => [level, (line) => process.stderr.write(`${level} ${line}\n`)]));
const jwt = (claims) => ['e30', Buffer.from(JSON.stringify(claims)).toString('base64url'), 'x'].join('.');

function cacheValue(claims, account) {
  const whose = { home_account_id: account ?? claims.sub, client_id: 'c1' };
  return JSON.stringify({
    IdToken: { id: { ...whose, credential_type: 'IdToken', secret: jwt(claims) } },
    RefreshToken: { rt: { ...whose, credential_type: 'RefreshToken', secret: 'rt' } },
  });
}

const holdsTokens = (text) => Object.keys(JSON.parse(text || '{}').RefreshToken ?? {}).length > 0;

let listener;
let heard = 0;

const orders = {
  async start({ redis, prefix, app, client_id, wait_s, when_unknown, clear }) {
    const clearing = { works() {}, hangs: () => new Promise(() => {}), fails: () => Promise.reject(new Error('the cache is broken')) }[clear];
    const onEviction = () => ((heard += 1), clearing());
    listener = createListener({
      redis: await clientOf(redis), prefix, app, clientId: client_id, waitMs: wait_s * 1000, whenUnknown: when_unknown, onEviction, log,
    });
    listener.start();
    return {};
  },
  sign_in: ({ claims, account }) => listener.status(claims, { account }).then((status) => ({ status })),
  ask: (order) => orders.sign_in(order),
  async refresh({ claims, account }) {
    const cache = listener.msalCache({ get: async () => cacheValue(claims, account), set: async () => '' });
    return { allowed: holdsTokens(await cache.get('key')) };
  },
  async write({ claims, account }) {
    let stored;
    const cache = listener.msalCache({ get: async () => '', set: async (_key, value) => (stored = value) });
    await cache.set('key', cacheValue(claims, account));
    return { allowed: holdsTokens(stored) };
  },
  async loop({ claims, account, times }) {
    const began = performance.now();
    for (let left = times; left > 0; left--) await listener.status(claims, { account });
    return { us: ((performance.now() - began) * 1000) / times };
  },
  health: async () => ({ ...listener.health(), heard }),
  stop: async () => (await listener.stop(), {}),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...order } = JSON.parse(line);
  Promise.resolve()
    .then(() => orders[name](order))
    .catch((error) => ({ error: `${error}` }))
    .then((answer) => process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`));
}
process.exit(0);
