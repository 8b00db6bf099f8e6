// One MSAL Node client object that lives as long as the process, driven by JSON lines: {id, call, ...} in,
// {id, ...answer} out. What a web app does that shares one client between its requests.

import { AsyncLocalStorage } from 'node:async_hooks';
import { createInterface } from 'node:readline';

import { ConfidentialClientApplication, DistributedCachePlugin, ProtocolMode } from '@azure/msal-node';
import { createListener } from 'logout-listener';
import { createClient } from 'redis';


const { REDIS_URL, AUTHORITY, CLIENT_ID, PROTOCOL, TOKEN_PREFIX, PIECE } = process.env;
const protocolMode = ProtocolMode[PROTOCOL];
const SCOPES = ['openid', 'profile', 'offline_access', 'orders.read'];
const redirectUri = 'http://localhost/redirect';

const redis = createClient({ url: REDIS_URL });
redis.on('error', () => {});
await redis.connect();

const logout = PIECE ? createListener({ redis, app: 'driver', clientId: CLIENT_ID }) : undefined;
await logout?.start();

const tokens = {
  get: (key) => redis.get(TOKEN_PREFIX + key),
  set: (key, value) => redis.set(TOKEN_PREFIX + key, value, { EX: 3600 }),
};
const current = new AsyncLocalStorage();
const partition = {
  getKey: async () => current.getStore() ?? '',
  extractKey: async (account) => account.homeAccountId,
};
const client = new ConfidentialClientApplication({
  auth: {
    clientId: CLIENT_ID,
    clientSecret: 'x',
    authority: AUTHORITY,
    knownAuthorities: [new URL(AUTHORITY).host],
    protocolMode,
  },
  system: { protocolMode },
  cache: { cachePlugin: new DistributedCachePlugin(logout?.msalCache(tokens) ?? tokens, partition) },
});
logout?.msalClient(client);

const remembered = new Map();

const calls = {
  async redeem({ code }) {
    const { account } = await client.acquireTokenByCode({ code, scopes: SCOPES, redirectUri });
    remembered.set(account.homeAccountId, account);
    return { account: account.homeAccountId };
  },
  // The account object comes from the app's session, as in most apps.
  silent: ({ account, refresh = false }) =>
    current.run(account, async () => {
      const wanted = { account: remembered.get(account), scopes: SCOPES, forceRefresh: refresh };
      const { fromCache } = await client.acquireTokenSilent(wanted);
      return { fromCache };
    }),
  async inMemory() {
    const entries = Object.values(client.getTokenCache().getKVStore());
    return { accounts: [...new Set(entries.map((entry) => entry.homeAccountId).filter(Boolean))] };
  },
};

process.once('SIGTERM', async () => {
  await logout?.stop();
  process.exit(0);
});

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, ...given } = JSON.parse(line);
  calls[call](given)
    .catch((error) => ({ error: error.errorCode ?? `${error}` }))
    .then((answer) => console.log(JSON.stringify({ id, ...answer })));
}
