// Says what was done, and that this process listens: P1 to P4 of docs/listener.md.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** Acknowledgements sent in one round trip: P1. More would hold Redis, and so a logout, for longer. */
const MAX_BATCH = 50;
/** Acknowledgements kept while Redis is away; the oldest give way, and `receiver trace` shows them missing. */
const MAX_WAITING = 10_000;
/** Milliseconds after some were sent in which further ones wait for each other. The first after a pause goes at once. */
const GATHER_MS = 250;

// The receiver's acknowledge.lua; a test compares the two.
const SCRIPT = `
local call, format = redis.call, string.format
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - ARGV[4]
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'
local acks, by = KEYS[1] .. ':', ' ' .. ARGV[3] .. ' ' .. ARGV[1]
call('ZADD', KEYS[2], format('%.0f', now), member)
call('ZADD', KEYS[3], 'NX', format('%.0f', began), member)
local first = {}
for index = 6, #ARGV, 4 do
  local id, at = ARGV[index], now - ARGV[index + 1]
  if call('HSETNX', acks .. id, member, format('%.0f', at)) == 1 then
    local late = not group and ARGV[index + 3] - began < 0
    local after = late and 'late' or format('%.0f', math.max(0, at - ARGV[index + 2]))
    first[#first + 1] = id .. ' ' .. after .. by
  end
end
local length = 0
for index = 1, #first, 1000 do
  length = call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
end
if length > tonumber(ARGV[5]) then call('LTRIM', KEYS[1], -ARGV[5], -1) end
return #first
`;

const whole = (/** @type {number} */ milliseconds) => `${Math.max(0, Math.floor(milliseconds))}`;

export class Acknowledgements {
  #options;
  #worker = `${hostname().replaceAll('/', '-')}-${process.pid}-${randomBytes(3).toString('hex')}`;
  #began = performance.now();
  /** @type {{ id: string, handledAt: number, receivedMs: number, publishedMs: number }[]} */
  #waiting = [];
  /** @type {Promise<void> | undefined} */
  #sending;
  #failing = false;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {NodeJS.Timeout | undefined} */
  #due;
  #sentAt = -GATHER_MS;
  #isStopped = false;

  /**
   * @param {object} options
   * @param {import('./connection.js').Connection} options.connection
   * @param {string} options.prefix
   * @param {string} options.app
   * @param {number} options.everyMs between two signs of life
   * @param {() => boolean} options.reads whether this process still hears
   * @param {(error: Error) => void} options.failed told once, until it works again
   */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.#began = performance.now();
    this.#timer = setInterval(() => this.#beat(), this.#options.everyMs).unref();
  }

  /** The first sign of life does not wait: this process has just read. */
  hello() {
    this.send();
  }

  #beat() {
    if (this.#waiting.length > 0 || this.#options.reads()) this.send();
  }

  add(/** @type {import('./clearing.js').Heard} */ { eviction, entryId }) {
    const [receivedMs, publishedMs] = [eviction.receivedAt * 1000, parseInt(entryId)];
    this.#waiting.push({ id: eviction.id, handledAt: performance.now(), receivedMs, publishedMs });
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
    this.#due ??= setTimeout(() => {
      this.#due = undefined;
      this.send();
    }, Math.max(0, this.#sentAt + GATHER_MS - performance.now()));
  }

  /** One at a time; what could not be sent goes with the next. */
  send() {
    // After the goodbye it would be a sign of life.
    if (this.#isStopped) return undefined;
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
    return this.#sending;
  }

  async stop() {
    this.#isStopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#due);
    await this.#sending;
    await this.#send();
    const { connection, prefix, app } = this.#options;
    const gone = [`${prefix}:instances`, `${prefix}:instances:since`];
    await Promise.allSettled(gone.map((key) => connection.send(['ZREM', key, `${app}/${this.#worker}`])));
  }

  async #send() {
    const { connection, prefix, app, failed } = this.#options;
    /** @type {{ id: string, handledAt: number, receivedMs: number, publishedMs: number }[]} */
    let batch;
    try {
      do {
        batch = this.#waiting.slice(0, MAX_BATCH);
        const now = performance.now();
        if (batch.length > 0) this.#sentAt = now;
        await connection.send([
          ...['EVAL', SCRIPT, '3', `${prefix}:acks`, `${prefix}:instances`, `${prefix}:instances:since`],
          ...[app, this.#worker, this.#worker, whole(now - this.#began), `${MAX_WAITING}`],
          ...batch.flatMap((ack) => [ack.id, whole(now - ack.handledAt), whole(ack.receivedMs), whole(ack.publishedMs)]),
        ]);
        const sent = new Set(batch);
        this.#waiting = this.#waiting.filter((ack) => !sent.has(ack));
        // What waits without a timer became due while the batch was on its way.
      } while (batch.length === MAX_BATCH || (this.#waiting.length > 0 && this.#due === undefined));
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) failed(/** @type {Error} */ (error));
      this.#failing = true;
    }
  }
}
