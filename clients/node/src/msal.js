// MSAL Node's token cache in Redis: tokens of sessions that are over are neither read nor written back. T1 and T2.

/** Seconds after a logout in which a refresh may have been under way. */
const IN_FLIGHT_S = 120;

/** The sections of an MSAL cache that hold entries of users. */
const SECTIONS = ['AccessToken', 'RefreshToken', 'IdToken', 'Account'];

/** @typedef {Record<string, Record<string, any>>} Blob */
/** @typedef {{ claims: Record<string, any> | undefined, account: string, clientId: string, oldestAt: number | undefined }} SignIn */

/**
 * @param {import('./listener.js').LogoutListener} listener
 * @param {{ get(key: string): Promise<any>, set(key: string, value: string): Promise<any> }} client
 */
export function guardedCache(listener, client) {
  if (typeof client?.get !== 'function' || typeof client.set !== 'function') {
    throw new TypeError('msalCache takes the cache client that DistributedCachePlugin is given: an object with get and set');
  }
  return {
    get: async (/** @type {string} */ key) => {
      const text = await client.get(key);
      return (await withoutEnded(listener, text)).text;
    },
    set: async (/** @type {string} */ key, /** @type {string} */ value) => {
      const kept = await withoutEnded(listener, value);
      if (kept.gone.size === 0 || kept.blob === undefined) return client.set(key, value);
      // What this write must not bring back stands in the memory of a client object that lives on, too.
      await listener.forgetInMemory(kept.gone);
      // These users may have signed in again while the request was running: what is stored now is theirs.
      const stored = (await withoutEnded(listener, await client.get(key))).blob;
      for (const section of SECTIONS) {
        const theirs = Object.entries(stored?.[section] ?? {}).filter(([, entry]) => kept.gone.has(entry?.home_account_id));
        if (theirs.length > 0) kept.blob[section] = { ...kept.blob[section], ...Object.fromEntries(theirs) };
      }
      return client.set(key, JSON.stringify(kept.blob));
    },
  };
}

/** @returns {Promise<{ text: any, blob?: Blob, gone: Set<string> }>} */
async function withoutEnded(/** @type {import('./listener.js').LogoutListener} */ listener, /** @type {unknown} */ text) {
  const gone = new Set();
  /** @type {any} */
  let blob;
  try {
    blob = typeof text === 'string' && text !== '' ? JSON.parse(text) : undefined;
  } catch {
    // Encrypted, for instance: wrap the client inside the encryption.
  }
  if (blob === null || typeof blob !== 'object') return { text, gone };
  const places = SECTIONS.map((name) => blob[name]).filter((section) => section && typeof section === 'object');
  for (const account of await removeEnded(listener, places)) gone.add(account);
  return { text: gone.size > 0 ? JSON.stringify(blob) : text, blob, gone };
}

/**
 * Remove the entries of accounts that are over, client by client, in place; an account whose every client is over goes as well.
 * Entries are those of a serialised cache (`home_account_id`) or of MSAL Node's memory (`homeAccountId`).
 * @param {import('./listener.js').LogoutListener} listener
 * @param {Record<string, any>[]} places
 * @param {Set<string>} [among] look at these accounts only
 * @param {(of: SignIn) => Promise<boolean>} [isGone] whether a sign-in goes
 * @returns {Promise<Set<string>>} the accounts of which something was removed
 */
export async function removeEnded(listener, places, among, isGone = (of) => isOver(listener, of)) {
  const accounts = group(places, among);
  const gone = new Set();
  await Promise.all(
    [...accounts].map(async ([account, clients]) => {
      const credentials = [...clients].filter(([client]) => client !== '');
      const over = await Promise.all(
        credentials.map(async ([clientId, { idTokens, dates }]) => {
          const oldestAt = dates.length > 0 ? Math.min(...dates) : undefined;
          const known = idTokens.length > 0 ? idTokens.map(claimsIn) : [undefined];
          const answers = await Promise.all(known.map((claims) => isGone({ claims, account, clientId, oldestAt })));
          return answers.every(Boolean);
        }),
      );
      const ended = credentials.filter((_, index) => over[index]);
      if (ended.length === 0) return;
      const going = ended.length === credentials.length ? [...clients] : ended;
      for (const [, { entries }] of going) for (const [place, key] of entries) delete place[key];
      gone.add(account);
    }),
  );
  return gone;
}

/** @typedef {{ entries: [Record<string, any>, string][], idTokens: string[], dates: number[] }} OfClient */

/** @returns {Map<string, Map<string, OfClient>>} by account and client */
function group(/** @type {Record<string, any>[]} */ places, /** @type {Set<string> | undefined} */ among) {
  const accounts = new Map();
  for (const place of places) {
    for (const [key, entry] of Object.entries(place)) {
      const account = entry?.home_account_id ?? entry?.homeAccountId;
      if (!account || (among && !among.has(account))) continue;
      const clients = accounts.get(account) ?? accounts.set(account, new Map()).get(account);
      const client = entry.client_id ?? entry.clientId ?? '';
      const of = clients.get(client) ?? clients.set(client, { entries: [], idTokens: [], dates: [] }).get(client);
      of.entries.push([place, key]);
      const type = entry.credential_type ?? entry.credentialType;
      if (type === 'IdToken') of.idTokens.push(entry.secret);
      const cachedAt = Number(entry.cached_at ?? entry.cachedAt);
      if (type === 'AccessToken' && cachedAt > 0) of.dates.push(cachedAt);
    }
  }
  return accounts;
}

/** @returns {Promise<boolean>} */
export async function isOver(/** @type {import('./listener.js').LogoutListener} */ listener, /** @type {SignIn} */ { claims, account, clientId, oldestAt }) {
  // Without an ID token nothing says whose issuer's user it is: nothing to ask by.
  if (typeof claims?.iss !== 'string' || typeof claims.sub !== 'string') return false;
  const session = listener.session({ ...claims, aud: claims.aud ?? clientId }, account, true);
  const marks = session.authTime === undefined ? await listener.marks(session) : undefined;
  if (marks === undefined) {
    const status = await listener.statusOf(session);
    return status === 'unknown' ? listener.whenUnknown === 'refuse' : status === 'ended';
  }
  if (marks.over) return true;
  if (marks.sessionAt !== undefined) return true;
  return marks.userAt !== undefined && judgeUndated({ userAt: marks.userAt, iat: session.iat, oldestAt }) !== 'lives';
}

/**
 * Tokens without `auth_time`, of a user who was signed out.
 * @param {{ userAt: number, iat: number | undefined, oldestAt: number | undefined }} dates
 * @returns {'ended' | 'unsure' | 'lives'} unsure: it may be a refresh that was under way
 */
export function judgeUndated({ userAt, iat, oldestAt }) {
  if (oldestAt !== undefined && oldestAt < userAt) return 'ended';
  const newest = iat ?? oldestAt;
  return newest !== undefined && newest > userAt + IN_FLIGHT_S ? 'lives' : 'unsure';
}

/** @returns {Record<string, any> | undefined} the claims of a JWT that MSAL verified when it was cached */
function claimsIn(/** @type {string} */ jwt) {
  try {
    return JSON.parse(Buffer.from(/** @type {string} */ (jwt.split('.')[1]), 'base64url').toString());
  } catch {
    return undefined;
  }
}
