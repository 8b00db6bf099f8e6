// What one process knows of sessions: L1 to L7, Q3, E3, M5, K1 and K2 of docs/listener.md. No I/O.

import { randomInt } from 'node:crypto';

import { isOver } from './marks.js';

/** Milliseconds after which a session is asked about again whose account is another name than its `sub`. */
const ASK_AGAIN_MS = 10_000;
/** Sessions known to be live; with more, the one asked about longest ago is asked about again. */
const MAX_LIVE = 100_000;
/** Logouts kept by name; with more, the oldest tenth gives way, and Redis still has them. */
const MAX_MARKS = 100_000;
/** Milliseconds a session that is over is remembered at least. */
const KEEP_OVER_MS = 40 * 86_400_000;

/** @typedef {import('./marks.js').Session} Session */
/** @typedef {{ logoutAt: number, client: string | null, sub: string | null }} Mark */

const name = (/** @type {string} */ kind, /** @type {string} */ iss, /** @type {string} */ value) => `${kind}\n${iss}\n${value}`;

/** What the logouts heard lately say; forgets the oldest. */
export class HeardMarks {
  /** @type {Map<string, Mark>} */
  #marks = new Map();

  get isFull() {
    return this.#marks.size > MAX_MARKS;
  }

  giveWay() {
    let left = MAX_MARKS / 10;
    for (const key of this.#marks.keys()) {
      if (left-- <= 0) return;
      this.#marks.delete(key);
    }
  }

  note(/** @type {import('./types.js').Eviction} */ eviction) {
    const { iss, sub, sid, scope, accounts } = eviction;
    if (sid !== null) this.#keep(name('sid', iss, sid), eviction, sub);
    if (scope !== 'user') return;
    if (sub !== null) this.#keep(name('sub', iss, sub), eviction, null);
    for (const account of accounts) this.#keep(name('account', iss, account), eviction, null);
  }

  /** @returns {'ended' | 'ask' | 'unknown'} */
  judge(/** @type {Session} */ { iss, clients, sub, sid, account, authTime, iat }) {
    /** @type {'ask' | 'unknown'} */
    let answer = 'unknown';
    const began = authTime ?? iat;
    for (const [kind, value, since] of /** @type {const} */ ([['sid', sid, authTime], ['sub', sub, began], ['account', account, began]])) {
      const mark = value === undefined ? undefined : this.#marks.get(name(kind, iss, value));
      if (mark === undefined || !isOver(mark.logoutAt, since)) continue;
      const foreign = (mark.client !== null && !clients.includes(mark.client)) || (mark.sub !== null && mark.sub !== sub);
      if (!foreign) return 'ended';
      answer = 'ask';
    }
    return answer;
  }

  #keep(/** @type {string} */ key, /** @type {import('./types.js').Eviction} */ eviction, /** @type {string | null} */ sub) {
    const client = eviction.appliesTo === 'client' ? eviction.clientId : null;
    const before = this.#marks.get(key);
    let mark = { logoutAt: eviction.logoutAt, client, sub };
    if (before !== undefined) {
      // Two logouts of one name: what both may mean is left to Redis unless they agree.
      const same = before.client === client && before.sub === sub;
      const logoutAt = Math.max(before.logoutAt, mark.logoutAt);
      mark = same ? { ...mark, logoutAt } : { logoutAt, client: '', sub: '' };
      this.#marks.delete(key);
    }
    this.#marks.set(key, mark);
  }
}

export class Knowledge {
  #marks = new HeardMarks();
  /** @type {Map<string, { session: Session, askedAt: number }>} */
  #live = new Map();
  // Hashes, as these are kept for long; of 53 bits and with a secret, so that no two sessions can be made to share one.
  /** @type {[Set<number>, Set<number>]} */
  #over = [new Set(), new Set()];
  #overSince;
  #seed = randomInt(2 ** 32);
  #inDoubt = false;
  #clock;

  /** @param {() => number} [clock] milliseconds that never go back */
  constructor(clock = () => performance.now()) {
    this.#clock = clock;
    this.#overSince = clock();
  }

  note(/** @type {import('./types.js').Eviction} */ eviction) {
    this.#inDoubt = false;
    this.#marks.note(eviction);
    if (!this.#marks.isFull) return;
    for (const { session } of this.#live.values()) if (this.#marks.judge(session) === 'ended') this.learnOver(session);
    this.#live.clear();
    this.#marks.giveWay();
  }

  /** Entries were missed: ask again. Redis may have lost its marks too, and no receiver have seen it yet. */
  forget() {
    this.#live.clear();
    this.#inDoubt = true;
  }

  /**
   * @param {Session} session
   * @param {boolean} hears whether this process is up to date
   * @returns {'live' | 'ended' | 'unknown'} unknown: ask Redis
   */
  status(session, hears) {
    const answer = this.#marks.judge(session);
    if (answer === 'ended') {
      this.learnOver(session);
      return 'ended';
    }
    const [late, early] = this.#over;
    if (late.size + early.size > 0) {
      const hash = this.#hash(session.identity);
      if (late.has(hash) || early.has(hash)) return 'ended';
    }
    if (answer === 'ask' || !hears) return 'unknown';
    const known = this.#live.get(session.identity);
    if (known === undefined) return 'unknown';
    return session.account !== session.sub && this.#clock() - known.askedAt >= ASK_AGAIN_MS ? 'unknown' : 'live';
  }

  learnLive(/** @type {Session} */ session, /** @type {{ askedAt: number, hasEpoch: boolean }} */ { askedAt, hasEpoch }) {
    if (this.#inDoubt && !hasEpoch) return;
    this.#inDoubt = false;
    this.#live.delete(session.identity);
    this.#live.set(session.identity, { session, askedAt });
    if (this.#live.size <= MAX_LIVE) return;
    for (const longest of this.#live.keys()) {
      this.#live.delete(longest);
      break;
    }
  }

  learnOver(/** @type {Session} */ session) {
    if (this.#clock() - this.#overSince > KEEP_OVER_MS) {
      this.#over = [new Set(), this.#over[0]];
      this.#overSince = this.#clock();
    }
    this.#over[0].add(this.#hash(session.identity));
  }

  #hash(/** @type {string} */ text) {
    let [high, low] = [0xdeadbeef ^ this.#seed, 0x41c6ce57 ^ this.#seed];
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      high = Math.imul(high ^ code, 2654435761);
      low = Math.imul(low ^ code, 1597334677);
    }
    high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
    low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
    return 4294967296 * (2097151 & low) + (high >>> 0);
  }
}
