// Reads the stream for ever: S1 to S6, B3 and W2 of docs/listener.md.

import { setTimeout as sleep } from 'node:timers/promises';

import { isDemotion, isReply } from './connection.js';
import { BEGINNING, Cursor } from './cursor.js';
import { BadEventError, readEvent, readNumber } from './event.js';

/** Milliseconds before its start from which a listener reads: what was published while it started must not be missed. */
const LOOK_BACK_MS = 60_000;
/** Milliseconds between two attempts to reach Redis: the first pause, doubled up to the longest, each spread by half. */
const [PAUSE_MS, MAX_PAUSE_MS] = [100, 5_000];
/** Entries read in one round trip. */
const COUNT = 100;
/** Entries looked at for the last one with a number. */
const LOOK_AT = 100;

/** No instance's name, which has a slash. */
const NO_INSTANCE = '-';

/** @typedef {{ id: string, number: number | undefined, event: Uint8Array | string | undefined }} Entry */

/**
 * @typedef {object} Events
 * @property {(batch: { eviction: import('./types.js').Eviction, entryId: string }[]) => void} onBatch
 * @property {(why: string) => void} onReset
 * @property {() => void} onRead after each read, news or not
 * @property {(entryId: string, why: string) => void} onSkip
 * @property {(error: Error) => void} onFailure
 */

export class Stream {
  #connection;
  #key;
  #sequence;
  #instances;
  #waitMs;
  #events;
  #stopping = new AbortController();
  /** @type {Cursor | undefined} */
  #cursor;
  #checked = false;
  #hasRead = false;
  #beganAt = performance.now();

  /** @param {{ connection: import('./connection.js').Connection, prefix: string, waitMs: number, events: Events }} options */
  constructor({ connection, prefix, waitMs, events }) {
    this.#connection = connection;
    this.#key = `${prefix}:events`;
    this.#sequence = `${prefix}:sequence`;
    this.#instances = `${prefix}:instances`;
    this.#waitMs = waitMs;
    this.#events = events;
  }

  async run() {
    let pauseMs = PAUSE_MS;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#read();
        pauseMs = PAUSE_MS;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        this.#connection.close();
        // Who answers next may be a Redis without our data.
        this.#checked = false;
        this.#events.onFailure(/** @type {Error} */ (error));
        await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: this.#stopping.signal }).catch(() => {});
        pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
      }
    }
  }

  stop() {
    this.#stopping.abort();
    this.#connection.end();
  }

  async #read() {
    if (this.#cursor === undefined) {
      this.#cursor = Cursor.starting(await this.#view(await this.#startingAt()));
      this.#checked = true;
    } else if (!this.#checked) {
      await this.#beAtPrimary();
      const view = await this.#view(this.#cursor.id);
      this.#checked = true;
      if (this.#cursor.misses(view)) {
        this.#cursor = view.before.length > 0 ? new Cursor() : Cursor.starting(view);
        this.#events.onReset('Redis has lost its data, or entries were trimmed before they were read');
      }
    }
    // The first read does not wait: until it is done it cannot be said what this process has heard.
    const block = this.#hasRead ? this.#waitMs : 1;
    for (;;) {
      const command = ['XREAD', 'COUNT', `${COUNT}`, 'BLOCK', `${block}`, 'STREAMS', this.#key, this.#cursor.id];
      const entries = await this.#entries(command, block + this.#waitMs);
      this.#checked = entries.length > 0;
      this.#take(entries);
      if (entries.length < COUNT) break;
    }
    this.#hasRead = true;
    this.#events.onRead();
  }

  #take(/** @type {Entry[]} */ entries) {
    const batch = [];
    for (const entry of entries) {
      const cursor = /** @type {Cursor} */ (this.#cursor);
      if (!cursor.follows(entry.number)) {
        this.#events.onReset(`${entry.id} is number ${entry.number}, the one before was ${cursor.number}`);
      }
      this.#cursor = cursor.after(entry);
      try {
        batch.push({ eviction: readEvent(entry.event), entryId: entry.id });
        if (entry.number === undefined) this.#events.onSkip(entry.id, 'its field n is missing or no number; its event is used all the same');
      } catch (error) {
        if (!(error instanceof BadEventError)) throw error;
        this.#events.onSkip(entry.id, error.message);
      }
    }
    if (batch.length > 0) this.#events.onBatch(batch);
  }

  async #startingAt() {
    const [seconds, microseconds] = (await this.#connection.send(['TIME'])).map(Number);
    // Reckoned after the answer: however long that took, nothing may fall out at the far end.
    const backMs = performance.now() - this.#beganAt + LOOK_BACK_MS;
    return `(${Math.max(1, Math.floor(seconds * 1000 + microseconds / 1000 - backMs))}-0`;
  }

  /** @returns {Promise<import('./cursor.js').View>} */
  async #view(/** @type {string} */ position) {
    // The sequence first: what is published meanwhile then shows as an entry, and never as a gap.
    const sequence = await this.#lastNumber();
    const before = await this.#some((count) => ['XREVRANGE', this.#key, position, '-', 'COUNT', `${count}`]);
    if (before.length > 0) return { before, first: [], sequence };
    return { before, first: await this.#some((count) => ['XREAD', 'COUNT', `${count}`, 'STREAMS', this.#key, BEGINNING]), sequence };
  }

  /** Fails at a server that is not the primary any more, which reads do not show: only a primary takes a write, be it of nothing. */
  async #beAtPrimary() {
    try {
      await this.#connection.send(['ZREM', this.#instances, NO_INSTANCE]);
    } catch (error) {
      if (isDemotion(error) || !isReply(error)) throw error;
    }
  }

  async #lastNumber() {
    try {
      const text = await this.#connection.send(['GET', this.#sequence]);
      return text === null ? 0 : readNumber(text);
    } catch (error) {
      if (/^(NOPERM|WRONGTYPE)/.test(/** @type {Error} */ (error).message)) return undefined;
      throw error;
    }
  }

  /** The entry next to a position; more where its number cannot be read. */
  async #some(/** @type {(count: number) => string[]} */ command) {
    const found = await this.#entries(command(1));
    return found.length === 0 || found[0]?.number !== undefined ? found : this.#entries(command(LOOK_AT));
  }

  /** @param {string[]} command XREAD or XREVRANGE @param {number} [withinMs] @returns {Promise<Entry[]>} */
  async #entries(command, withinMs) {
    const reply = await this.#connection.send(command, { withinMs, bytes: true });
    return (command[0] === 'XREAD' ? newsOf(reply) : reply).map(toEntry);
  }
}

/**
 * The entries in what XREAD answers, which names the one stream: by a map or an object, in a pair, or before its entries, as the library and
 * the protocol have it.
 * @returns {any[]}
 */
function newsOf(/** @type {any} */ reply) {
  if (reply === null || reply === undefined) return [];
  if (reply instanceof Map) return reply.values().next().value ?? [];
  if (!Array.isArray(reply)) return Object.values(reply)[0] ?? [];
  return (Array.isArray(reply[0]) ? reply[0][1] : reply[1]) ?? [];
}

/** @returns {Entry} */
function toEntry(/** @type {any} */ [id, fields]) {
  const at = (/** @type {string} */ name) => {
    for (let index = 0; index < fields.length; index += 2) if (`${fields[index]}` === name) return fields[index + 1];
    return undefined;
  };
  return { id: `${id}`, number: readNumber(at('n')), event: at('event') };
}
