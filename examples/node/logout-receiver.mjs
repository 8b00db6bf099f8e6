// What a Node app adds so that a back-channel logout reaches its own memory, its sessions and its running requests.
// Copy this file and eviction-stream.mjs; README.md says which lines of the app change.

import { EvictionStream } from './eviction-stream.mjs';

/**
 * Seconds after a logout of a user in which tokens whose ID token has no `auth_time` are taken for signed out: longer
 * than a token refresh may be in flight, short enough that a new sign-in of such a user soon counts again.
 */
const FENCE_S = 120;

/** Seconds after a logout when watched clients are looked at again, for a refresh that was in flight. */
const LOOK_AGAIN_S = [2, 10, 60];

/** Marks kept, about 30 MB; then the oldest tenth gives way, and what they ended counts as signed in again. */
const MAX_MARKS = 100_000;

/** The sections of an MSAL cache that hold somebody's entries. */
const SECTIONS = ['AccessToken', 'RefreshToken', 'IdToken', 'Account'];

/**
 * @typedef {import('./eviction-stream.mjs').Eviction} Eviction
 * @typedef {Record<string, any>} Claims of an ID token
 * @typedef {{ get(key: string): Promise<string>, set(key: string, value: string): Promise<string> }} CacheClient
 *
 * @typedef {(claims: Claims | undefined, account: string, clientId: string) => boolean} IsEnded
 *
 * @typedef {object} Options
 * @property {any} client a connected node-redis client (`redis` 5 or later) of the Redis the receiver publishes to
 * @property {string} app the app's name in `receiver trace` and the metrics
 * @property {(eviction: Eviction) => unknown} [onEviction] for what else the app holds; awaited. It must not care about
 *   being told of one user twice.
 * @property {(why: string) => unknown} [onReset] evictions were missed: drop everybody from what else the app holds
 * @property {(session: any) => Claims | undefined} [claimsOf] the ID token's claims in a session
 * @property {string} [prefix] the receiver's `redis.prefix`
 * @property {number} [lookbackS] seconds before the start from which to read evictions
 * @property {boolean} [acknowledge] whether to record what was handled, for `receiver trace` and the metrics
 * @property {Pick<Console, 'warn' | 'error'>} [log]
 */

/**
 * Knows who was signed out, from `lookbackS` before its start on, and keeps them out of this process.
 * Told apart from a later sign-in by `sid`, then by `auth_time`; never by the `iat` of a refreshed ID token.
 */
export class LogoutReceiver {
  #marks = new Marks();
  #watched = new Set();
  #claimsOf;
  #options;
  #stream;

  /** @param {Options} options */
  constructor({ claimsOf = (session) => session.account?.idTokenClaims, ...options }) {
    this.#claimsOf = claimsOf;
    this.#options = options;
    const onEvent = (/** @type {Eviction} */ eviction) => this.#hear(eviction);
    this.#stream = new EvictionStream({ ...options, onEvent, onReset: (why) => this.#reset(why) });
  }

  /** Begin to listen; resolves when the process knows what happened up to now, which waits for Redis. */
  start() {
    return this.#stream.start();
  }

  /** Stop listening. */
  stop() {
    return this.#stream.stop();
  }

  /**
   * Whether the session these ID token claims began was signed out, as far as this process has heard.
   * @param {Claims | undefined} claims as received at the sign-in
   * @param {string} [account] MSAL home account id, where it is not the `sub`
   */
  isSignedOut(claims, account) {
    return claims !== undefined && this.#marks.judge(claims, account, claims.iat);
  }

  /**
   * Wrap the client given to `DistributedCachePlugin`: tokens of signed-out sessions are neither read nor written back.
   * Values that are not plain MSAL JSON (encrypted) pass unseen: wrap the client inside the encryption.
   * @param {CacheClient} cache
   * @returns {CacheClient}
   */
  guarded(cache) {
    return {
      get: async (key) => this.#withoutSignedOut(await cache.get(key)).text,
      set: async (key, value) => {
        const kept = this.#withoutSignedOut(value);
        if (kept.gone.size === 0) return cache.set(key, value);
        // What this write must not bring back stands in the memory of a client that lives on, too.
        this.#dropFromWatched(this.#isEnded, kept.gone);
        // These users may have signed in again while the request was running: what is stored now is theirs.
        const stored = this.#withoutSignedOut(await cache.get(key)).blob;
        for (const section of SECTIONS) {
          const theirs = Object.entries(stored?.[section] ?? {}).filter(([, entry]) =>
            kept.gone.has(entry?.home_account_id),
          );
          Object.assign(kept.blob[section] ?? {}, Object.fromEntries(theirs));
        }
        return cache.set(key, JSON.stringify(kept.blob));
      },
    };
  }

  /**
   * Wrap the store given to express-session: a signed-out session is destroyed instead of read or saved, so the request
   * goes on with a new, empty one, and a request that was running during the logout does not bring it back.
   * @template {{ get: Function, set: Function, destroy: Function }} Store
   * @param {Store} store
   * @returns {Store} the same store
   */
  guardedSessions(store) {
    const { get, set } = store;
    store.get = (/** @type {string} */ id, /** @type {Function} */ done) =>
      get.call(store, id, (/** @type {unknown} */ error, /** @type {any} */ session) => {
        if (!session || !this.#isOver(session)) return done(error, session);
        store.destroy(id, () => done(null, null));
      });
    store.set = (/** @type {string} */ id, /** @type {any} */ session, /** @type {Function} */ done) =>
      this.#isOver(session) ? store.destroy(id, done) : set.call(store, id, session, done);
    return store;
  }

  /**
   * Express middleware for sessions that are not in a store, such as cookie-session's: a signed-out one is emptied
   * before the app sees it. Put it right after the session middleware.
   */
  refuseSignedOut() {
    return (/** @type {any} */ request, /** @type {any} */ _response, /** @type {Function} */ next) => {
      if (!request.session || !this.#isOver(request.session)) return next();
      if (typeof request.session.regenerate === 'function') return request.session.regenerate(next);
      request.session = null;
      next();
    };
  }

  /**
   * Let a client object that outlives a request forget who signs out. Not needed where each request makes its own.
   * @template {{ getTokenCache(): any, clearCache(): void }} Client a ConfidentialClientApplication
   * @param {Client} client
   * @returns {Client} the same client
   */
  watch(client) {
    this.#watched.add(client);
    return client;
  }

  async #hear(/** @type {Eviction} */ eviction) {
    this.#marks.note(eviction);
    const client = eviction.applies_to === 'client' ? eviction.client_id : null;
    const among = eviction.accounts.length > 0 ? new Set(eviction.accounts) : undefined;
    this.#dropFromWatched((claims, account, clientId) => {
      // As in the shared cache, the account goes whichever of its sessions ended; a later sign-in stays.
      const named = among !== undefined && (client === null || client === clientId);
      return named ? !(claims?.auth_time > eviction.logout_at) : this.#isEnded(claims, account, clientId);
    }, among);
    for (const seconds of this.#watched.size > 0 ? LOOK_AGAIN_S : []) {
      setTimeout(() => this.#dropFromWatched(this.#isEnded, among), seconds * 1000).unref();
    }
    await this.#options.onEviction?.(eviction);
  }

  async #reset(/** @type {string} */ why) {
    this.#marks.endEverybody();
    for (const client of this.#watched) client.clearCache();
    await this.#options.onReset?.(why);
  }

  #isOver(/** @type {any} */ session) {
    return this.isSignedOut(this.#claimsOf(session), session.account?.homeAccountId);
  }

  /** @type {IsEnded} */
  #isEnded = (claims, account, clientId) => this.#marks.judge({ aud: clientId, ...claims }, account);

  /**
   * @param {string} text
   * @returns {{ text: string, blob?: any, gone: Set<string> }} without whom, and as it was where nobody had to go
   */
  #withoutSignedOut(text) {
    const gone = new Set();
    if (!text || this.#marks.size === 0) return { text, gone };
    let blob;
    try {
      blob = JSON.parse(text);
    } catch {
      return { text, gone };
    }
    const places = SECTIONS.map((name) => blob?.[name]).filter((section) => section && typeof section === 'object');
    for (const account of removeEnded(places, this.#isEnded)) gone.add(account);
    return { text: gone.size > 0 ? JSON.stringify(blob) : text, blob, gone };
  }

  /** @param {IsEnded} isEnded @param {Set<string>} [among] */
  #dropFromWatched(isEnded, among) {
    // The map the client works on, the one DistributedCachePlugin looks at: only this way the other users' stay.
    for (const client of this.#watched) removeEnded([client.getTokenCache().getKVStore()], isEnded, among);
  }
}

/** Who was signed out, and when: on the OP's clock, and how long ago it was heard. */
class Marks {
  /** @type {Map<string, { logoutAt: number, heardAt: number }>} */
  #marks = new Map();
  #everybody = { logoutAt: -Infinity, heardAt: -Infinity };

  get size() {
    return this.#marks.size + (this.#everybody.heardAt > -Infinity ? 1 : 0);
  }

  note(/** @type {Eviction} */ { iss, client_id, sub, sid, scope, applies_to, logout_at, accounts }) {
    const client = applies_to === 'client' ? client_id : '*';
    const keep = (/** @type {string} */ kind, /** @type {string | null} */ value) => {
      if (value === null) return;
      const name = JSON.stringify([kind, client, iss, value]);
      const logoutAt = Math.max(logout_at, this.#marks.get(name)?.logoutAt ?? -Infinity);
      this.#marks.delete(name);
      this.#marks.set(name, { logoutAt, heardAt: performance.now() });
    };
    keep('sid', sid);
    // The session of an ID token without a `sid` cannot be told from the user's others.
    const [subKind, accountKind] = scope === 'user' ? ['sub', 'account'] : ['sub without sid', 'account without sid'];
    keep(subKind, sub);
    for (const account of accounts) keep(accountKind, account);
    if (this.#marks.size > MAX_MARKS)
      [...this.#marks.keys()].slice(0, MAX_MARKS / 10).forEach((name) => this.#marks.delete(name));
  }

  endEverybody() {
    this.#everybody = { logoutAt: Date.now() / 1000, heardAt: performance.now() };
  }

  /**
   * @param {Claims} claims
   * @param {string} [account]
   * @param {number} [signedInAt] seconds; for claims without `auth_time`
   */
  judge({ iss, aud, sub, sid, auth_time }, account = sub, signedInAt) {
    const find = (/** @type {string} */ kind, /** @type {string} */ value) =>
      ['*', ...[aud].flat()].map((client) => this.#marks.get(JSON.stringify([kind, client, iss, value])));
    const ofUser = [...find('sub', sub), ...find('account', account)];
    if (sid === undefined) ofUser.push(...find('sub without sid', sub), ...find('account without sid', account));
    const began = auth_time ?? signedInAt;
    return (
      find('sid', sid).some((mark) => mark && !(auth_time > mark.logoutAt)) ||
      [...ofUser, this.#everybody].some((mark) => {
        if (!mark) return false;
        return began === undefined ? performance.now() - mark.heardAt < FENCE_S * 1000 : began <= mark.logoutAt;
      })
    );
  }
}

/**
 * Remove the entries of ended accounts, client by client, in place; an account whose every client ended goes as well.
 * Entries are those of a serialised cache (`home_account_id`) or of MSAL Node's memory (`homeAccountId`).
 * @param {Record<string, any>[]} places
 * @param {IsEnded} isEnded
 * @param {Set<string>} [among] look at these accounts only
 * @returns {Set<string>} the accounts of which something was removed
 */
function removeEnded(places, isEnded, among) {
  /** @type {Map<string, Map<string, { entries: [Record<string, any>, string][], idTokens: string[] }>>} */
  const accounts = new Map();
  for (const place of places) {
    for (const [key, entry] of Object.entries(place)) {
      const account = entry?.home_account_id ?? entry?.homeAccountId;
      if (!account || (among && !among.has(account))) continue;
      const client = entry.client_id ?? entry.clientId ?? '';
      const clients = accounts.get(account) ?? new Map();
      const { entries, idTokens } = clients.get(client) ?? { entries: [], idTokens: [] };
      entries.push([place, key]);
      if ((entry.credential_type ?? entry.credentialType) === 'IdToken') idTokens.push(entry.secret);
      accounts.set(account, clients.set(client, { entries, idTokens }));
    }
  }
  const gone = new Set();
  for (const [account, clients] of accounts) {
    const credentials = [...clients].filter(([client]) => client !== '');
    const ended = credentials.filter(([client, { idTokens }]) =>
      (idTokens.length > 0 ? idTokens.map(claimsIn) : [undefined]).every((claims) => isEnded(claims, account, client)),
    );
    if (ended.length === 0) continue;
    const going = ended.length === credentials.length ? [...clients] : ended;
    for (const [, { entries }] of going) for (const [place, key] of entries) delete place[key];
    gone.add(account);
  }
  return gone;
}

/** @returns {Claims | undefined} the claims of a JWT that MSAL verified when it was cached */
function claimsIn(/** @type {string} */ jwt) {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString());
  } catch {
    return undefined;
  }
}
