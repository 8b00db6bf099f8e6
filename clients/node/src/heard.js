// What the logouts heard lately say: L3 to L6 of docs/listener.md. No I/O.

import { hashOf } from './hash.js';
import { ends, sourceOf } from './marks.js';
import { Table } from './table.js';

/** Slots of one half: with more than 98,304 names the older half gives way, and Redis still has them. */
const SLOTS = 2 ** 16;
/** A row: the hash of a name, seconds, whose date it is, which client and which `sub` it is for, and when it was heard. */
const [AT, SOURCE, CLIENT, SUB, HEARD_AT, WIDTH] = [1, 2, 3, 4, 5, 6];
/** In place of the hash of a client or `sub`: it is for all, or two logouts of one name do not agree. */
const [ALL, UNSURE] = [0, -1];

/**
 * @typedef {object} Named what logouts are held against; texts as hashes, 0 for one that is absent
 * @property {number} sub
 * @property {number} sid
 * @property {number} account
 * @property {number} subAlone the `sub`, without its issuer
 * @property {number[]} clients
 * @property {number | undefined} authTime
 * @property {number | undefined} iat
 *
 * @typedef {{ isOver: boolean, at: number }} Heard not over: they name it, and only Redis can tell; `at`: when the last was heard
 */

const name = (/** @type {string} */ kind, /** @type {string} */ iss, /** @type {string | undefined} */ value) =>
  value === undefined ? 0 : hashOf([kind, iss, value]);

/** @returns {number[]} */
export const hashesOf = (/** @type {string[]} */ clients) => clients.map((client) => hashOf([client]));

/** @returns {Named} */
export function namesOf(/** @type {import('./marks.js').Session} */ { iss, clients, sub, sid, account, authTime, iat }) {
  return {
    sub: name('sub', iss, sub),
    sid: name('sid', iss, sid),
    account: name('account', iss, account),
    subAlone: hashOf([sub]),
    clients: hashesOf(clients),
    authTime,
    iat,
  };
}

export class HeardMarks {
  #table;

  /** @param {() => void} [forgetting] told before the oldest are forgotten */
  constructor(forgetting) {
    this.#table = new Table(SLOTS, WIDTH, forgetting);
  }

  /** @param {import('./types.js').Eviction} eviction @param {number} now milliseconds above 0 */
  note(eviction, now) {
    const { iss, sub, sid, scope, accounts, logoutAt: at, appliesTo, clientId } = eviction;
    const mark = { at, source: sourceOf(eviction), client: appliesTo === 'client' && clientId !== null ? hashOf([clientId]) : ALL, sub: ALL, now };
    if (sid !== null) this.#keep(name('sid', iss, sid), { ...mark, sub: sub === null ? ALL : hashOf([sub]) });
    if (scope !== 'user') return;
    if (sub !== null) this.#keep(name('sub', iss, sub), mark);
    for (const account of accounts) this.#keep(name('account', iss, account), mark);
  }

  /** @returns {Heard | undefined} undefined where none names it, or it is later by its dates */
  judge(/** @type {Named} */ named) {
    const { rows } = this.#table;
    /** @type {Heard | undefined} */
    let found;
    for (const key of [named.sid, named.sub, named.account]) {
      const row = key === 0 ? -1 : this.#table.find(key);
      if (row === -1) continue;
      const of = (/** @type {number} */ column) => /** @type {number} */ (rows[row + column]);
      if (!ends({ at: of(AT), source: of(SOURCE) }, named, key !== named.sid)) continue;
      const [client, sub] = [of(CLIENT), of(SUB)];
      const isForeign = (client !== ALL && !named.clients.includes(client)) || (sub !== ALL && sub !== named.subAlone);
      found = { isOver: !isForeign || found?.isOver === true, at: Math.max(of(HEARD_AT), found?.at ?? -Infinity) };
    }
    return found;
  }

  /** @param {number} key @param {{ at: number, source: number, client: number, sub: number, now: number }} mark */
  #keep(key, { at, source, client, sub, now }) {
    const { rows } = this.#table;
    const row = this.#table.add(key);
    const isNew = rows[row + HEARD_AT] === 0;
    // Two logouts of one name: what both may mean is left to Redis unless they agree.
    const agree = isNew || (rows[row + CLIENT] === client && rows[row + SUB] === sub);
    if (isNew || at >= /** @type {number} */ (rows[row + AT])) {
      rows[row + AT] = at;
      rows[row + SOURCE] = source;
    }
    rows[row + CLIENT] = agree ? client : UNSURE;
    rows[row + SUB] = agree ? sub : UNSURE;
    rows[row + HEARD_AT] = now;
  }
}
