// Says what was done, and that this process listens: P1 to P4 of docs/listener.md.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** Acknowledgements sent in one round trip. */
const MAX_BATCH = 500;
/** Acknowledgements kept while Redis is away; the oldest give way, and `receiver trace` shows them missing. */
const MAX_WAITING = 10_000;

// The receiver's acknowledge.lua; a test compares the two.
const SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - tonumber(ARGV[4])
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'
redis.call('ZADD', KEYS[2], string.format('%.0f', now), member)
redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', began), member)
local first = {}
for index = 6, #ARGV, 4 do
  local at = now - tonumber(ARGV[index + 1])
  if redis.call('HSETNX', KEYS[1] .. ':' .. ARGV[index], member, string.format('%.0f', at)) == 1 then
    local late = not group and tonumber(ARGV[index + 3]) < began
    local after = string.format('%.0f', math.max(0, at - tonumber(ARGV[index + 2])))
    first[#first + 1] = table.concat({ARGV[index], late and 'late' or after, ARGV[3], ARGV[1]}, ' ')
  end
end
for index = 1, #first, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
end
if #first > 0 then redis.call('LTRIM', KEYS[1], -tonumber(ARGV[5]), -1) end
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
    // What is done in the same turn goes together.
    setImmediate(() => this.send());
  }

  /** One at a time; what could not be sent goes with the next. */
  send() {
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
    return this.#sending;
  }

  async stop() {
    clearInterval(this.#timer);
    await this.#sending;
    await this.#send();
    const { connection, prefix, app } = this.#options;
    const gone = [`${prefix}:instances`, `${prefix}:instances:since`];
    await Promise.allSettled(gone.map((key) => connection.send(['ZREM', key, `${app}/${this.#worker}`])));
  }

  async #send() {
    const { connection, prefix, app, failed } = this.#options;
    try {
      do {
        const batch = this.#waiting.slice(0, MAX_BATCH);
        const now = performance.now();
        await connection.send([
          ...['EVAL', SCRIPT, '3', `${prefix}:acks`, `${prefix}:instances`, `${prefix}:instances:since`],
          ...[app, this.#worker, this.#worker, whole(now - this.#began), `${MAX_WAITING}`],
          ...batch.flatMap((ack) => [ack.id, whole(now - ack.handledAt), whole(ack.receivedMs), whole(ack.publishedMs)]),
        ]);
        const sent = new Set(batch);
        this.#waiting = this.#waiting.filter((ack) => !sent.has(ack));
      } while (this.#waiting.length > 0);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) failed(/** @type {Error} */ (error));
      this.#failing = true;
    }
  }
}
