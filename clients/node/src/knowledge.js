// What one process knows of sessions: L1, L2, Q3, E3, M5, R4, K1 and K2 of docs/listener.md. No I/O.

import { HeardMarks, hashesOf, namesOf } from './heard.js';
import { Table } from './table.js';

/** Milliseconds after which a session is asked about again whose account is another name than its `sub`. */
const ASK_AGAIN_MS = 10_000;
/** Slots of one half for sessions known to be live: with more than 98,304 the half asked about longest ago is asked about again. */
const SLOTS = 2 ** 16;
/** Lists of clients that sessions have; an app sees a few. With more, all its sessions are asked about again. */
const MAX_CLIENTS = 10_000;
/** Milliseconds a session that is over is remembered at least. */
const KEEP_OVER_MS = 40 * 86_400_000;

// A session that Redis called live, as a row: a hash of all of it; when Redis was asked; 1 where it is noted there as newer than its
// marks; the version of what was heard by which it went on; and what logouts are held against. A date that is absent is NaN.
const [ASKED_AT, IS_NEWER, JUDGED_AT, SUB, SID, ACCOUNT, SUB_ALONE, CLIENTS, AUTH_TIME, IAT, WIDTH] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/** @typedef {import('./marks.js').Session} Session */

export class Knowledge {
  #marks = new HeardMarks(() => this.#judgeAll());
  #live = new Table(SLOTS, WIDTH);
  /** @type {Map<string, number>} */
  #clients = new Map();
  /** @type {number[][]} hashes of the clients, by the number in `#clients` */
  #hashesOfClients = [];
  // Hashes, as these are kept for long.
  /** @type {[Set<number>, Set<number>]} */
  #over = [new Set(), new Set()];
  #overSince;
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
  }

  /** Some of what was heard is about to be forgotten: whom it names is over for good, or asked about again. */
  #judgeAll() {
    for (const row of this.#live.places()) {
      const heard = this.#marks.judge(this.#namesAt(row));
      if (heard === undefined) continue;
      const key = /** @type {number} */ (this.#live.rows[row]);
      if (this.#isOver(heard, row)) this.#keepOver(key);
      else this.#live.delete(key);
    }
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
    const key = session.identity;
    const row = this.#live.find(key);
    const { rows } = this.#live;
    // As nearly always: nothing was heard since it was looked at last.
    if (row === -1 || rows[row + JUDGED_AT] !== this.#version) {
      const heard = this.#marks.judge(namesOf(session));
      if (this.#over.some((over) => over.has(key)) || (heard !== undefined && this.#isOver(heard, row))) {
        this.#keepOver(key);
        return 'ended';
      }
      if (row === -1 || (heard !== undefined && this.#at(row, ASKED_AT) <= heard.at)) return 'unknown';
      rows[row + JUDGED_AT] = this.#version;
    }
    if (!hears) return 'unknown';
    return session.account !== session.sub && this.#clock() - this.#at(row, ASKED_AT) >= ASK_AGAIN_MS ? 'unknown' : 'live';
  }

  /** Whether what was heard ends it, unless Redis notes it as newer. */
  looksEnded(/** @type {Session} */ session) {
    return this.#marks.judge(namesOf(session))?.isOver === true;
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
    const { sub, sid, account, subAlone, authTime = NaN, iat = NaN } = namesOf(session);
    const clients = this.#numberOf(session.clients);
    const row = this.#live.add(session.identity);
    this.#live.rows.set([askedAt, isNewer ? 1 : 0, -1, sub, sid, account, subAlone, clients, authTime, iat], row + 1);
  }

  /** Ask again about this one, also where it was over. */
  forgetOne(/** @type {Session} */ session) {
    for (const over of this.#over) over.delete(session.identity);
    this.#live.delete(session.identity);
  }

  learnOver(/** @type {Session} */ session) {
    this.#keepOver(session.identity);
  }

  #keepOver(/** @type {number} */ key) {
    this.#live.delete(key);
    if (this.#clock() - this.#overSince > KEEP_OVER_MS) {
      this.#over = [new Set(), this.#over[0]];
      this.#overSince = this.#clock();
    }
    this.#over[0].add(key);
  }

  /** Of one that Redis was never asked about, or calls newer than its marks, only Redis knows. */
  #isOver(/** @type {import('./heard.js').Heard} */ heard, /** @type {number} */ row) {
    return heard.isOver && row !== -1 && this.#at(row, IS_NEWER) === 0 && this.#at(row, ASKED_AT) <= heard.at;
  }

  #numberOf(/** @type {string[]} */ clients) {
    const text = JSON.stringify(clients);
    const known = this.#clients.get(text);
    if (known !== undefined) return known;
    if (this.#clients.size >= MAX_CLIENTS) {
      this.#live.clear();
      this.#clients.clear();
      this.#hashesOfClients = [];
    }
    this.#clients.set(text, this.#hashesOfClients.length);
    return this.#hashesOfClients.push(hashesOf(clients)) - 1;
  }

  /** @returns {import('./heard.js').Named} */
  #namesAt(/** @type {number} */ row) {
    const at = (/** @type {number} */ column) => this.#at(row, column);
    const date = (/** @type {number} */ column) => (Number.isNaN(at(column)) ? undefined : at(column));
    return {
      sub: at(SUB),
      sid: at(SID),
      account: at(ACCOUNT),
      subAlone: at(SUB_ALONE),
      clients: this.#hashesOfClients[at(CLIENTS)] ?? [],
      authTime: date(AUTH_TIME),
      iat: date(IAT),
    };
  }

  #at(/** @type {number} */ row, /** @type {number} */ column) {
    return /** @type {number} */ (this.#live.rows[row + column]);
  }
}
