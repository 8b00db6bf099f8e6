// A small web app: MSAL Node signs people in, its tokens and the sessions are in Redis. With LOGOUT_RECEIVER=off it is
// the app as it was before; the lines that say "logout" are all that was added. Any OP will do; Entra by PROTOCOL=AAD.

import { randomUUID } from 'node:crypto';

import { ConfidentialClientApplication, CryptoProvider, DistributedCachePlugin, ProtocolMode } from '@azure/msal-node';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { authorizationParams, createListener } from 'logout-listener';
import { createClient } from 'redis';


const {
  REDIS_URL = 'redis://127.0.0.1:6379',
  AUTHORITY,
  CLIENT_ID = 'shop',
  CLIENT_SECRET,
  SESSION_SECRET,
  PORT = '3000',
  TOKEN_PREFIX = 'shop:msal:',
  SESSION_PREFIX = 'shop:sess:',
  PROTOCOL = 'OIDC',
  API_SCOPES = 'orders.read',
  EXCLUDE_SCOPES = '',
  LOGOUT_RECEIVER,
  RECEIVER_API_URL,
  RECEIVER_API_TOKEN,
} = process.env;
if (!AUTHORITY || !CLIENT_SECRET || !SESSION_SECRET) throw new Error('set AUTHORITY, CLIENT_SECRET and SESSION_SECRET');

if (!URL.canParse(AUTHORITY) || !AUTHORITY.startsWith('https://')) throw new Error(`AUTHORITY is the OP's issuer, with https://, not ${AUTHORITY}`);
const protocolMode = ProtocolMode[PROTOCOL];
if (protocolMode === undefined) throw new Error(`PROTOCOL is one of ${Object.keys(ProtocolMode).join(', ')}, not ${PROTOCOL}`);

/** Scopes asked for at sign-in and again for each token. */
const SCOPES = ['openid', 'profile', 'offline_access', ...API_SCOPES.split(' ').filter(Boolean)];

/** Seconds the tokens of one user stay in Redis after the last write. */
const TOKENS_LIVE_S = 86_400;

const redis = createClient({ url: REDIS_URL });
redis.on('error', (error) => console.error('redis:', error.message));
await redis.connect();

const api = RECEIVER_API_URL === undefined ? undefined : { url: RECEIVER_API_URL, token: RECEIVER_API_TOKEN };
const logout = LOGOUT_RECEIVER === 'off' ? undefined : createListener({ redis, app: 'shop', clientId: CLIENT_ID, api });
await logout?.start();

const tokens = {
  get: (key) => redis.get(TOKEN_PREFIX + key),
  set: (key, value) => redis.set(TOKEN_PREFIX + key, value, { EX: TOKENS_LIVE_S }),
};
const cacheClient = logout?.msalCache(tokens) ?? tokens;

const store = new RedisStore({ client: redis, prefix: SESSION_PREFIX });

/** One client object per request: a shared one would keep everybody's tokens in its memory, see README.md. */
function msal(request) {
  const partition = {
    getKey: async () => request.session.account?.homeAccountId ?? '',
    extractKey: async (account) => account.homeAccountId,
  };
  const known = new URL(AUTHORITY).host;
  return new ConfidentialClientApplication({
    // MSAL Node 2 reads protocolMode under auth, later versions under system.
    auth: {
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      authority: AUTHORITY,
      knownAuthorities: [known],
      protocolMode,
    },
    system: { protocolMode },
    cache: { cachePlugin: new DistributedCachePlugin(cacheClient, partition) },
  });
}

/** MSAL Node always asks for offline_access, and Keycloak sends no logout token to an app that does. */
function withoutScopes(address, excluded) {
  const url = new URL(address);
  const scopes = url.searchParams.get('scope').split(' ').filter((scope) => !excluded.includes(scope));
  url.searchParams.set('scope', scopes.join(' '));
  return url.href;
}

const redirectUri = () => `http://localhost:${server.address().port}/redirect`;

const app = express();
app.use(
  session({ store, secret: SESSION_SECRET, resave: false, saveUninitialized: false, cookie: { sameSite: 'lax' } }),
);
if (logout) app.use(logout.express());

app.get('/', (request, response) => {
  response.json({ user: request.session.account?.username ?? null });
});

app.get('/sign-in', async (request, response) => {
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
  request.session.signIn = { state: randomUUID(), verifier };
  const url = await msal(request).getAuthCodeUrl({
    scopes: SCOPES,
    redirectUri: redirectUri(),
    state: request.session.signIn.state,
    codeChallenge: challenge,
    codeChallengeMethod: 'S256',
    // Makes an OP put `auth_time` into the ID token: it tells a new sign-in from one that was signed out.
    // And after a refusal it asks the user to sign in, else the OP sends them straight back.
    extraQueryParameters: { max_age: '86400', ...authorizationParams(request.session) },
  });
  response.redirect(withoutScopes(url, EXCLUDE_SCOPES.split(' ')));
});

app.get('/redirect', async (request, response) => {
  const { state, verifier } = request.session.signIn ?? {};
  if (!state || request.query.state !== state) return response.status(400).json({ error: 'start at /sign-in' });
  const { code, error, error_description } = request.query;
  if (!code) return response.status(400).json({ error, error_description });
  const client = msal(request);
  const result = await client.acquireTokenByCode({
    code: String(code),
    scopes: SCOPES,
    redirectUri: redirectUri(),
    codeVerifier: verifier,
  });
  const { idTokenClaims, homeAccountId } = result.account;
  const status = await logout?.signIn(idTokenClaims, { account: homeAccountId, session: request.session });
  if (status === 'ended') return response.status(401).json({ error: 'signed out, sign in again in a minute' });
  request.session.regenerate((error) => {
    if (error) throw error;
    request.session.account = result.account;
    response.redirect('/');
  });
});

app.get('/token', async (request, response) => {
  if (!request.session.account) return response.status(401).json({ error: 'not signed in' });
  // Written at the end of the request, as many apps do: what a logout during the request must survive.
  request.session.seenAt = Date.now();
  const client = msal(request);
  try {
    // MSAL Node 2 reads the shared cache here only, not in acquireTokenSilent.
    const account = await client.getTokenCache().getAccountByHomeId(request.session.account.homeAccountId);
    if (!account) return response.status(401).json({ error: 'no account' });
    const { fromCache } = await client.acquireTokenSilent({ account, scopes: SCOPES });
    response.json({ user: account.username, fromCache });
  } catch (error) {
    response.status(401).json({ error: error.errorCode ?? error.message });
  }
});

app.get('/sign-out', (request, response) => {
  request.session.destroy(() => response.redirect('/'));
});

const server = app.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));

process.once('SIGTERM', async () => {
  server.close();
  await logout?.stop();
  process.exit(0);
});
