// Reads the eviction stream of logout-receiver: every process reads everything, in order, over all outages of Redis.
// What an entry is and what a reader may rely on: docs/events.md. Used by logout-receiver.mjs, next to this file.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** The one kind of event this file understands. Others are skipped with a line in the log. */
const EVENT_TYPE = 'logout-receiver.eviction.v1';

/** Milliseconds one read waits for news. */
const BLOCK_MS = 5_000;

/** Milliseconds after which a silent connection is given up: longer than a read waits. */
const TIMEOUT_MS = 15_000;

/** Milliseconds: the longest pause between two attempts to reach Redis; the first is 100. */
const RECONNECT_MAX_MS = 5_000;

/** Milliseconds between two signs of life; the receiver's alarm for a silent app goes by them. */
const HEARTBEAT_MS = 10_000;

/** Acknowledgements sent in one round trip. */
const MAX_BATCH = 500;

/** Acknowledgements kept while Redis is away; the oldest give way and `receiver trace` shows them missing. */
const MAX_WAITING = 10_000;

// What receiver/bus/lua/acknowledge.lua does, whose arguments are described there; a test compares the two.
const ACKNOWLEDGE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - tonumber(ARGV[4])
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'
redis.call('ZADD', KEYS[2], string.format('%.0f', now), member)
redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', began), member)
local first = 0
for index = 6, #ARGV, 4 do
  local at = now - tonumber(ARGV[index + 1])
  if redis.call('HSETNX', KEYS[1] .. ':' .. ARGV[index], member, string.format('%.0f', at)) == 1 then
    first = first + 1
    local late = not group and tonumber(ARGV[index + 3]) < began
    local after = string.format('%.0f', math.max(0, at - tonumber(ARGV[index + 2])))
    redis.call('RPUSH', KEYS[1], table.concat({ARGV[index], late and 'late' or after, ARGV[3], ARGV[1]}, ' '))
  end
end
if first > 0 then redis.call('LTRIM', KEYS[1], -tonumber(ARGV[5]), -1) end
return first
`;

/**
 * @typedef {object} Eviction `data` of an event, see docs/events.md; members it does not name here may be there too
 * @property {string} iss
 * @property {string | null} client_id
 * @property {string | null} sub
 * @property {string | null} sid
 * @property {'session' | 'user'} scope
 * @property {'tenant' | 'client'} [applies_to]
 * @property {number} logout_at seconds since 1970 on the OP's clock
 * @property {string[]} accounts MSAL home account ids known for the user
 *
 * @typedef {object} StreamOptions
 * @property {any} client a connected node-redis client (`redis` 5 or later) of the Redis the receiver publishes to
 * @property {string} app the app's name in `receiver trace` and the metrics
 * @property {(data: Eviction) => unknown} onEvent awaited; may be told of one eviction twice
 * @property {(why: string) => unknown} onReset awaited; evictions were missed: drop everybody
 * @property {string} [prefix] the receiver's `redis.prefix`
 * @property {number} [lookbackS] seconds before the start from which to read
 * @property {boolean} [acknowledge] whether to record what was handled, and that this process listens
 * @property {Pick<Console, 'warn' | 'error'>} [log]
 */

export class EvictionStream {
  #options;
  #reader;
  #position;
  #number;
  #readAny = false;
  #sure = false;
  #heard = false;
  #stopped = false;
  #began = performance.now();
  #worker = `${hostname().replaceAll('/', '-')}-${process.pid}-${randomBytes(3).toString('hex')}`;
  #waiting = [];
  #sending = false;
  #cannotAcknowledge = false;
  #heartbeat;

  /** @param {StreamOptions} options */
  constructor(options) {
    this.#options = { prefix: '{logout}', lookbackS: 60, acknowledge: true, log: console, ...options };
  }

  /**
   * Begin to listen, for ever; outages of Redis are waited out.
   * @returns {Promise<void>} when the first read is done: from then on this process knows what happened before it.
   */
  start() {
    this.#began = performance.now();
    if (this.#options.acknowledge) {
      this.#heartbeat = setInterval(() => this.#sendAcknowledgements(), HEARTBEAT_MS).unref();
    }
    return new Promise((resolve) => this.#readForEver(resolve));
  }

  /** Stop listening and say so; an eviction that is being handled is handled to its end. */
  async stop() {
    this.#stopped = true;
    clearInterval(this.#heartbeat);
    if (this.#reader?.isOpen) this.#reader.destroy();
    const { acknowledge, client, prefix, app } = this.#options;
    if (!acknowledge || !client.isReady) return;
    await this.#sendAcknowledgements();
    const gone = [`${prefix}:instances`, `${prefix}:instances:since`];
    await Promise.allSettled(gone.map((key) => client.sendCommand(['ZREM', key, `${app}/${this.#worker}`])));
  }

  async #readForEver(ready) {
    let pause = 100;
    while (!this.#stopped) {
      try {
        await this.#turn();
        ready();
        pause = 100;
      } catch (error) {
        if (this.#stopped) return;
        this.#options.log.warn(`${this.#options.app}: cannot read evictions, trying again: ${error.message}`);
        // Whoever answers next may be a Redis without our data.
        this.#sure = false;
        await sleep(pause);
        pause = Math.min(pause * 2, RECONNECT_MAX_MS);
      }
    }
  }

  async #turn() {
    await this.#connect();
    if (this.#position === undefined) {
      const [seconds, microseconds] = await this.#send('TIME');
      // Reckoned after the answer: however long that took, nothing may fall out at the far end.
      const backMs = performance.now() - this.#began + this.#options.lookbackS * 1000;
      const position = `${Math.max(0, Math.floor(seconds * 1000 + microseconds / 1000 - backMs))}-0`;
      this.#number = (await this.#newest(position))?.number;
      this.#position = position;
    } else if (!this.#sure) {
      await this.#checkThatNothingWasLost();
    }
    this.#sure = true;
    // The first read does not wait: until it is done nobody can say what this process has heard.
    const block = `${this.#heard ? BLOCK_MS : 1}`;
    const stream = `${this.#options.prefix}:events`;
    const reply = await this.#send('XREAD', 'COUNT', '100', 'BLOCK', block, 'STREAMS', stream, this.#position);
    // An object or an array of pairs, as the client speaks RESP3 or RESP2.
    const entries = Object.values(reply ?? {}).flatMap((found) => (Array.isArray(reply) ? found[1] : found));
    if (entries.length === 0) this.#sure = false;
    for (const raw of entries) {
      if (this.#stopped) return;
      await this.#take(toEntry(raw));
    }
    if (entries.length > 0 || !this.#heard) this.#sendAcknowledgements();
    this.#heard = true;
  }

  async #take(entry) {
    if (this.#number !== undefined && entry.number !== this.#number + 1) {
      await this.#reset(`${entry.id} is number ${entry.number}, the one before was ${this.#number}`);
    }
    this.#number = entry.number;
    await this.#handle(entry);
    this.#position = entry.id;
    this.#readAny = true;
  }

  async #handle(entry) {
    const { app, log, onEvent } = this.#options;
    let event;
    try {
      event = JSON.parse(entry.event);
      if (event.type !== EVENT_TYPE) throw new Error(`this version reads ${EVENT_TYPE} only`);
    } catch (error) {
      log.error(`${app}: skipped stream entry ${entry.id}: ${error.message}`);
      return;
    }
    if (!(await this.#call(onEvent, event.data))) return;
    const [receivedMs, publishedMs] = [Date.parse(event.time), parseInt(entry.id)];
    this.#waiting.push({ id: event.id, handledAt: performance.now(), receivedMs, publishedMs });
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
  }

  /** Redis without its data numbers from 1 again, and its ids may be older than the position. */
  async #checkThatNothingWasLost() {
    if (!this.#readAny) return;
    const newest = await this.#newest('+');
    if (newest && !isBefore(newest.id, this.#position)) return;
    await this.#reset('Redis has lost its data');
    this.#position = '0-0';
    this.#number = undefined;
    this.#readAny = false;
  }

  async #newest(upTo) {
    const found = await this.#send('XREVRANGE', `${this.#options.prefix}:events`, upTo, '-', 'COUNT', '1');
    return found.length > 0 ? toEntry(found[0]) : undefined;
  }

  async #reset(why) {
    this.#options.log.error(`${this.#options.app}: evictions were missed: ${why}`);
    await this.#call(this.#options.onReset, why);
  }

  /** The app's own code: one call that fails must not end the listening. */
  async #call(handler, argument) {
    try {
      await handler(argument);
      return true;
    } catch (error) {
      this.#options.log.error(`${this.#options.app}: handler failed:`, error);
      return false;
    }
  }

  async #connect() {
    if (this.#reader?.isOpen) return;
    // Its own connection: a read that waits would hold up the app's commands.
    this.#reader = this.#options.client.duplicate();
    // An 'error' nobody listens to ends the process; the failing read says it too.
    this.#reader.on('error', () => {});
    await this.#reader.connect();
  }

  async #send(...command) {
    const reader = this.#reader;
    // A peer that vanished without a word would never answer.
    const timer = setTimeout(() => reader.isOpen && reader.destroy(), TIMEOUT_MS).unref();
    try {
      return await reader.sendCommand(command);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Never holds up the reading; what could not be sent goes with the next batch. */
  async #sendAcknowledgements() {
    const { acknowledge, client, prefix, app, log } = this.#options;
    if (!acknowledge || this.#sending || !client.isReady) return;
    this.#sending = true;
    try {
      do {
        const batch = this.#waiting.slice(0, MAX_BATCH);
        const now = performance.now();
        await client.eval(ACKNOWLEDGE, {
          keys: [`${prefix}:acks`, `${prefix}:instances`, `${prefix}:instances:since`],
          arguments: [
            ...[app, this.#worker, this.#worker, whole(now - this.#began), whole(MAX_WAITING)],
            ...batch.flatMap((ack) => [
              ack.id,
              whole(now - ack.handledAt),
              whole(ack.receivedMs),
              whole(ack.publishedMs),
            ]),
          ],
        });
        this.#waiting = this.#waiting.filter((ack) => !batch.includes(ack));
      } while (this.#waiting.length > 0);
      this.#cannotAcknowledge = false;
    } catch (error) {
      if (!this.#cannotAcknowledge) log.warn(`${app}: cannot acknowledge: ${error.message}`);
      this.#cannotAcknowledge = true;
    } finally {
      this.#sending = false;
    }
  }
}

const whole = (milliseconds) => `${Math.floor(milliseconds)}`;

function toEntry([id, fields]) {
  const at = (name) => fields[fields.findIndex((field, index) => index % 2 === 0 && `${field}` === name) + 1];
  return { id: `${id}`, number: Number(at('n')), event: `${at('event')}` };
}

function isBefore(id, other) {
  const [[ms, count], [otherMs, otherCount]] = [id, other].map((text) => text.split('-').map(Number));
  return ms < otherMs || (ms === otherMs && count < otherCount);
}
