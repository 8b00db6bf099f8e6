// What one process knows of sessions: L1 to L7, Q3, E3, M5, R4, K1 and K2 of docs/listener.md. No I/O.

import { randomInt } from 'node:crypto';

import { OF_OP, OF_ORDER, OF_ORDER_ON_SESSIONS, ends, sessionOf } from './marks.js';

/** Milliseconds after which a session is asked about again whose account is another name than its `sub`. */
const ASK_AGAIN_MS = 10_000;
/** Sessions known to be live; with more, the one asked about longest ago is asked about again. */
const MAX_LIVE = 100_000;
/** Logouts kept by name; with more, the oldest tenth gives way, and Redis still has them. */
const MAX_MARKS = 100_000;
/** Milliseconds a session that is over is remembered at least. */
const KEEP_OVER_MS = 40 * 86_400_000;

/** @typedef {import('./marks.js').Session} Session */
/**
 * @typedef {{ askedAt: number, isNewer: boolean, judgedAt: number }} Asked a session Redis called live; `isNewer`: noted there as
 *   newer than its marks; `judgedAt`: the version of what was heard by which it went on
 */
/** @typedef {{ at: number, source: number, client: string | null, sub: string | null, heardAt: number }} Mark */
/** @typedef {{ isOver: boolean, at: number }} Heard not over: they name it, and only Redis can tell; `at`: when the last was heard */

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

  note(/** @type {import('./types.js').Eviction} */ eviction, /** @type {number} */ now) {
    const { iss, sub, sid, scope, accounts, logoutAt, input, reauthenticate } = eviction;
    const source = input !== 'admin' ? OF_OP : reauthenticate ? OF_ORDER : OF_ORDER_ON_SESSIONS;
    const ofUser = { at: logoutAt, source, client: eviction.appliesTo === 'client' ? eviction.clientId : null, sub: null, heardAt: now };
    if (sid !== null) this.#keep(name('sid', iss, sid), { ...ofUser, sub });
    if (scope !== 'user') return;
    if (sub !== null) this.#keep(name('sub', iss, sub), ofUser);
    for (const account of accounts) this.#keep(name('account', iss, account), ofUser);
  }

  /** @returns {Heard | undefined} undefined where none names it, or it is later by its dates */
  judge(/** @type {Session} */ session) {
    /** @type {Heard | undefined} */
    let found;
    for (const [kind, value] of /** @type {const} */ ([['sid', session.sid], ['sub', session.sub], ['account', session.account]])) {
      const mark = value === undefined ? undefined : this.#marks.get(name(kind, session.iss, value));
      if (mark === undefined || !ends(mark, session, kind !== 'sid')) continue;
      const isForeign = (mark.client !== null && !session.clients.includes(mark.client)) || (mark.sub !== null && mark.sub !== session.sub);
      found = { isOver: !isForeign || found?.isOver === true, at: Math.max(mark.heardAt, found?.at ?? -Infinity) };
    }
    return found;
  }

  #keep(/** @type {string} */ key, /** @type {Mark} */ mark) {
    const before = this.#marks.get(key);
    if (before !== undefined) {
      // Two logouts of one name: what both may mean is left to Redis unless they agree.
      const isSame = before.client === mark.client && before.sub === mark.sub;
      const { at, source } = before.at > mark.at ? before : mark;
      mark = { ...mark, at, source, ...(isSame ? {} : { client: '', sub: '' }) };
      this.#marks.delete(key);
    }
    this.#marks.set(key, mark);
  }
}

/** Of one that Redis was never asked about, or calls newer than its marks, only Redis knows. */
const isOver = (/** @type {Heard | undefined} */ heard, /** @type {Asked | undefined} */ asked) =>
  heard !== undefined && heard.isOver && asked !== undefined && !asked.isNewer && asked.askedAt <= heard.at;

export class Knowledge {
  #marks = new HeardMarks();
  /** @type {Map<string, Asked>} */
  #live = new Map();
  // Hashes, as these are kept for long; of 53 bits and with a secret, so that no two sessions can be made to share one.
  /** @type {[Set<number>, Set<number>]} */
  #over = [new Set(), new Set()];
  #overSince;
  #seed = randomInt(2 ** 32);
  // From the start: Redis may just have been emptied.
  #inDoubt = true;
  /** Changes with what was heard, so that nothing is judged twice. */
  #version = 0;
  #clock;

  /** @param {() => number} [clock] milliseconds that never go back */
  constructor(clock = () => performance.now()) {
    this.#clock = clock;
    this.#overSince = clock();
  }

  note(/** @type {import('./types.js').Eviction} */ eviction) {
    this.#version += 1;
    this.#inDoubt = false;
    this.#marks.note(eviction, this.#clock());
    if (!this.#marks.isFull) return;
    for (const [identity, asked] of this.#live) {
      const session = sessionOf(identity);
      if (isOver(this.#marks.judge(session), asked)) this.learnOver(session);
    }
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
    const asked = this.#live.get(session.identity);
    // As nearly always: nothing was heard since it was looked at last.
    if (asked?.judgedAt !== this.#version) {
      const heard = this.#marks.judge(session);
      if (this.#isKnownOver(session) || isOver(heard, asked)) {
        this.learnOver(session);
        return 'ended';
      }
      if (asked === undefined || (heard !== undefined && asked.askedAt <= heard.at)) return 'unknown';
      asked.judgedAt = this.#version;
    }
    if (!hears) return 'unknown';
    return session.account !== session.sub && this.#clock() - asked.askedAt >= ASK_AGAIN_MS ? 'unknown' : 'live';
  }

  /** Whether what was heard ends it, unless Redis notes it as newer. */
  looksEnded(/** @type {Session} */ session) {
    return this.#marks.judge(session)?.isOver === true;
  }

  /**
   * Redis calls it live.
   * @param {Session} session
   * @param {{ askedAt: number, hasEpoch: boolean, isNewer: boolean }} answer `askedAt`: what was marked later it may not have known
   */
  learnLive(session, { askedAt, hasEpoch, isNewer }) {
    // An earlier sign-in of the same second may look the same, and be over.
    if (isNewer) this.forgetOne(session);
    if (this.#inDoubt && !hasEpoch) return;
    this.#inDoubt = false;
    this.#live.delete(session.identity);
    // A text of its own: what the engine makes of parts joined keeps all of them, which takes twice the memory.
    const kept = JSON.parse(JSON.stringify(session.identity));
    this.#live.set(kept, { askedAt, isNewer, judgedAt: -1 });
    if (this.#live.size <= MAX_LIVE) return;
    for (const longest of this.#live.keys()) {
      this.#live.delete(longest);
      break;
    }
  }

  /** Ask again about this one, also where it was over. */
  forgetOne(/** @type {Session} */ session) {
    const hash = this.#hash(session.identity);
    for (const over of this.#over) over.delete(hash);
    this.#live.delete(session.identity);
  }

  #isKnownOver(/** @type {Session} */ session) {
    const [late, early] = this.#over;
    if (late.size + early.size === 0) return false;
    const hash = this.#hash(session.identity);
    return late.has(hash) || early.has(hash);
  }

  learnOver(/** @type {Session} */ session) {
    this.#version += 1;
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
