// Sessions and marks: rules M1 to M4 and E1 of docs/listener.md. Pure.

import { blake2b } from '@noble/hashes/blake2.js';

const encoder = new TextEncoder();

/** The last second of the year 9999; milliseconds are later. */
const MAX_DATE = 253402300799;

/** @returns {number | undefined} the seconds; undefined for what is no NumericDate */
export function numericDate(/** @type {unknown} */ value) {
  return typeof value === 'number' && value >= 0 && value <= MAX_DATE ? value : undefined;
}

const base64url = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString('base64url');

/** Name of a user (`sub`), session (`sid`) or account (`account`) of one issuer. */
export function digest(/** @type {'sub' | 'sid' | 'account'} */ kind, /** @type {string} */ iss, /** @type {string} */ value) {
  return base64url(blake2b(encoder.encode(`${kind}\n${iss}\n${value}`), { dkLen: 12 }));
}

/** What tells one client's mark from the mark of all clients, which has none. */
export function clientSuffix(/** @type {string} */ clientId) {
  return `.${base64url(blake2b(encoder.encode(clientId), { dkLen: 6 }))}`;
}

/**
 * @typedef {object} Session as the ID token received at sign-in describes it
 * @property {string} iss
 * @property {string[]} clients
 * @property {string} sub
 * @property {string | undefined} sid
 * @property {number | undefined} authTime
 * @property {number | undefined} iat
 * @property {string} account
 * @property {string} identity the same for the same session
 */

/**
 * @param {Record<string, unknown>} claims
 * @param {{ account?: string | null, clientId?: string }} [known]
 * @returns {Session}
 * @throws {TypeError} the claims have no `iss`, `sub` or `aud`
 */
export function toSession(claims, { account, clientId } = {}) {
  const { iss, sub, sid, azp } = claims;
  const clients = clientsOf(azp, claims.aud, clientId);
  if (typeof iss !== 'string' || typeof sub !== 'string' || clients.length === 0) {
    throw new TypeError("claims need iss, sub and aud; pass the ID token's claims");
  }
  const session = {
    iss,
    clients,
    sub,
    sid: typeof sid === 'string' && sid !== '' ? sid : undefined,
    authTime: numericDate(claims.auth_time),
    iat: numericDate(claims.iat),
    account: account || sub,
  };
  const { sid: ended, authTime, iat } = session;
  return { ...session, identity: [iss, clients, sub, ended, authTime, iat, session.account].join('\n') };
}

/** @returns {string[]} */
function clientsOf(/** @type {unknown} */ azp, /** @type {unknown} */ aud, /** @type {string | undefined} */ own) {
  if (typeof azp === 'string' && azp !== '') return [azp];
  if (typeof aud === 'string') return aud === '' ? [] : [aud];
  if (!Array.isArray(aud)) return [];
  const named = [...new Set(aud.filter((client) => typeof client === 'string' && client !== ''))];
  return own !== undefined && named.includes(own) ? [own] : named;
}

/**
 * Names of the marks that may end a session, and the epoch, which is last.
 * @param {Session} session
 * @returns {{ names: string[], ofUser: number }} `ofUser`: how many of them, the first ones, are the user's
 */
export function markNames({ iss, clients, sub, sid, account }) {
  const user = digest('sub', iss, sub);
  const users = account === sub ? [user] : [user, digest('account', iss, account)];
  const ended = sid === undefined ? undefined : digest('sid', iss, sid);
  const sessions = ended === undefined ? [] : [ended, `${ended}+${user}`];
  const suffixes = ['', ...clients.map(clientSuffix)];
  const withSuffixes = (/** @type {string[]} */ names) => names.flatMap((name) => suffixes.map((suffix) => name + suffix));
  const ofUser = withSuffixes(users);
  return { names: [...ofUser, ...withSuffixes(sessions), 'epoch'], ofUser: ofUser.length };
}

/** A mark's date; undefined where there is none, or no number. */
export function markDate(/** @type {string | null | undefined} */ text) {
  return typeof text === 'string' && /^\s*\d/.test(text) ? numericDate(Number(text)) : undefined;
}

/** Whether a logout dated `at` ends what began then; what began at an unknown time is over. */
export const isOver = (/** @type {number} */ at, /** @type {number | undefined} */ began) => began === undefined || began <= at;

/**
 * @param {Session} session
 * @param {(string | null)[]} values of `markNames`, in their order
 * @param {number} ofUser
 */
export function isEndedBy(session, values, ofUser) {
  const epoch = markDate(values.at(-1));
  const givenAt = session.iat ?? session.authTime;
  if (epoch !== undefined && givenAt !== undefined && givenAt < epoch) return true;
  return values.slice(0, -1).some((text, index) => {
    const at = markDate(text);
    return at !== undefined && isOver(at, index < ofUser ? (session.authTime ?? session.iat) : session.authTime);
  });
}
