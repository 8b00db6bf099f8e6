// Sessions and marks: rules M1 to M4, E1, R4 and R5 of docs/listener.md. Pure.

import { blake2b } from '@noble/hashes/blake2.js';

import { hashOf } from './hash.js';

const encoder = new TextEncoder();

/** The last second of the year 9999; milliseconds are later. */
const MAX_DATE = 253402300799;

/** @returns {number | undefined} the seconds; undefined for what is no NumericDate */
export function numericDate(/** @type {unknown} */ value) {
  return typeof value === 'number' && value >= 0 && value <= MAX_DATE ? value : undefined;
}

const base64url = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString('base64url');

/** Name of a user (`sub`), session (`sid`) or account (`account`) of one issuer. */
export function digest(/** @type {'sub' | 'sid' | 'account' | 'anew'} */ kind, /** @type {string} */ iss, /** @type {string} */ value) {
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
 * @property {number} identity a hash of all of it
 * @property {boolean} isCached whether this is what an ID token in a token cache says, whose `iat` may be a later one
 */

/**
 * @param {Record<string, unknown>} claims
 * @param {{ account?: string | null, clientId?: string, isCached?: boolean }} [known]
 * @returns {Session}
 * @throws {TypeError} the claims have no `iss`, `sub` or `aud`
 */
export function toSession(claims, { account, clientId, isCached = false } = {}) {
  const { iss, sub, sid, azp, aud } = claims ?? {};
  const clients = clientsOf(azp, aud, clientId);
  if (typeof iss !== 'string' || typeof sub !== 'string' || clients.length === 0) {
    throw new TypeError("claims need iss, sub and aud; pass the ID token's claims");
  }
  const ended = typeof sid === 'string' && sid !== '' ? sid : undefined;
  const [authTime, iat, owner] = [numericDate(claims.auth_time), numericDate(claims.iat), account || sub];
  const identity = hashOf([iss, sub, ended ?? '', `${authTime}`, `${iat}`, owner, isCached ? 'cached' : '', ...clients]);
  return { iss, clients, sub, sid: ended, authTime, iat, account: owner, identity, isCached };
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
 * Names of the marks that may end a session.
 * @param {Session} session
 * @returns {{ ofUser: string[], ofSession: string[] }}
 */
function markNames({ iss, clients, sub, sid, account }) {
  const user = digest('sub', iss, sub);
  const users = account === sub ? [user] : [user, digest('account', iss, account)];
  const ended = sid === undefined ? undefined : digest('sid', iss, sid);
  const sessions = ended === undefined ? [] : [ended, `${ended}+${user}`];
  const suffixes = ['', ...clients.map(clientSuffix)];
  const withSuffixes = (/** @type {string[]} */ names) => names.flatMap((name) => suffixes.map((suffix) => name + suffix));
  return { ofUser: withSuffixes(users), ofSession: withSuffixes(sessions) };
}

/** Under which a sign-in may be noted as newer than its marks; of a cached one, whose `iat` may be later, by the rest. */
function anewNames(/** @type {Session} */ { iss, clients, sub, sid, authTime, iat, isCached }) {
  const dates = [seconds(authTime), isCached ? '' : seconds(iat)];
  return clients.map((client) => `anew:${digest('anew', iss, [client, sub, sid ?? '', ...dates].join('\n'))}`);
}

/** Whole seconds; a half goes to the even side, as in the receiver. */
function seconds(/** @type {number | undefined} */ date) {
  if (date === undefined) return '';
  const floor = Math.floor(date);
  const up = date - floor > 0.5 || (date - floor === 0.5 && floor % 2 === 1);
  return `${up ? floor + 1 : floor}`;
}

/** Seconds the clocks of OP and receiver may differ: the one dates sign-ins, the other orders. */
const CLOCK_SKEW_S = 60;

/** Whose date a mark has: the OP's, that of an order, that of an order on what was given to apps until then. */
const OF_OP = 0;
const OF_ORDER = 1;
const OF_ORDER_ON_SESSIONS = 2;

/** Whose date the `logoutAt` of an event is. */
export function sourceOf(/** @type {import('./types.js').Eviction} */ { input, reauthenticate }) {
  return input !== 'admin' ? OF_OP : reauthenticate ? OF_ORDER : OF_ORDER_ON_SESSIONS;
}

/** @typedef {{ value: number, at: number, source: number }} Mark `value` grows with every logout, `at` is NumericDate seconds */

/** @returns {Mark | undefined} undefined where there is none, or no date in it */
export function readMark(/** @type {string | null | undefined} */ text) {
  const found = /^(\d+)(?:\.(?:\d{3}([012]))?\d*)?$/.exec(text ?? '');
  const at = found === null ? undefined : numericDate(Number(found[1]));
  return at === undefined ? undefined : { value: Number(text), at, source: Number(found?.[2] ?? OF_OP) };
}

/**
 * Whether a logout ends a session; one of unknown age is over.
 * @param {{ at: number, source: number }} mark
 * @param {{ authTime: number | undefined, iat: number | undefined }} session
 * @param {boolean} isOfUser
 */
export function ends({ at, source }, { authTime, iat }, isOfUser) {
  const began = source === OF_ORDER_ON_SESSIONS ? (iat ?? authTime) : (authTime ?? (isOfUser ? iat : undefined));
  return began === undefined || began <= at + (source === OF_OP ? 0 : CLOCK_SKEW_S);
}

/**
 * What Redis says of a session.
 * @typedef {object} Answer
 * @property {boolean} over
 * @property {boolean} isNewer whether it is noted as newer than marks up to some value
 * @property {boolean} hasEpoch
 * @property {number | undefined} userAt latest date of a mark of the user that it is not noted as newer than
 * @property {number | undefined} sessionAt the same, of the session
 */

/** One look at the marks of a session: M3, M4, E1, R4 and R5. */
export class Look {
  #session;
  #marks;

  constructor(/** @type {Session} */ session) {
    this.#session = session;
    this.#marks = markNames(session);
    const { ofUser, ofSession } = this.#marks;
    /** To be read with one MGET. */
    this.names = [...ofUser, ...ofSession, 'epoch', ...anewNames(session)];
  }

  /**
   * @param {(string | null)[]} values of `names`, in their order
   * @returns {Answer}
   */
  answer(values) {
    const { ofUser, ofSession } = this.#marks;
    const epochAt = ofUser.length + ofSession.length;
    const read = values.map(readMark);
    const noted = read.slice(epochAt + 1).filter((mark) => mark !== undefined);
    const newerThan = Math.max(-1, ...noted.map(({ value }) => value));
    const counts = (/** @type {(Mark | undefined)[]} */ marks) => marks.filter((mark) => mark !== undefined && mark.value > newerThan);
    const users = /** @type {Mark[]} */ (counts(read.slice(0, ofUser.length)));
    const sessions = /** @type {Mark[]} */ (counts(read.slice(ofUser.length, epochAt)));
    const [epoch] = /** @type {Mark[]} */ (counts(read.slice(epochAt, epochAt + 1)));
    const givenAt = this.#session.iat ?? this.#session.authTime;
    const isLost = epoch !== undefined && givenAt !== undefined && givenAt < epoch.at;
    const isEnded = users.some((mark) => ends(mark, this.#session, true)) || sessions.some((mark) => ends(mark, this.#session, false));
    return { over: isLost || isEnded, isNewer: noted.length > 0, hasEpoch: values[epochAt] !== null, userAt: latest(users), sessionAt: latest(sessions) };
  }
}

/** @returns {number | undefined} */
const latest = (/** @type {Mark[]} */ marks) => (marks.length > 0 ? Math.max(...marks.map(({ at }) => at)) : undefined);
