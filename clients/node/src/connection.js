// A connection to Redis of our own, made like the app's client, in any of the libraries: W1, W2 and W4 of docs/listener.md.

/** Milliseconds a connection, and one command that does not block, may take. */
export const COMMAND_MS = 2_000;

/** @typedef {string | Uint8Array} Bytes */

/** Redis did not answer in time; the library's own errors are not asked for this. */
export class NoAnswerError extends Error {
  name = 'NoAnswerError';
}

/** What Redis answered is an error: the connection is good. */
export const isReply = (/** @type {any} */ error) =>
  error?.name === 'ReplyError' || /^(NOPERM|NOSCRIPT|WRONGTYPE|ERR|READONLY|LOADING|NOAUTH|MASTERDOWN|OOM|MISCONF|BUSY|UNKILLABLE)\b/.test(`${error?.message}`);

/** Of a server that is not the primary of our keys, or not for now. Before Redis 7 a script's comes inside another error. */
export const isDemotion = (/** @type {any} */ error) => /^(MOVED|CLUSTERDOWN|MASTERDOWN|UNBLOCKED|LOADING)\b|READONLY/.test(`${error?.message}`);

/** How often a server was found not to be the primary; one for all connections of a listener. */
export class Demotions {
  count = 0;
}

/** @param {any} client */
function kindOf(client) {
  if (typeof client?.duplicate !== 'function') return undefined;
  if (typeof client.callBuffer === 'function') return 'ioredis';
  return typeof client.sendCommand === 'function' ? 'node-redis' : undefined;
}

/** Whether this is a client that `Connection` can be made of. */
export const isClient = (/** @type {any} */ client) => kindOf(client) !== undefined;

/** Opens by itself with the next command, and is closed for good by what a command that failed leaves behind. */
export class Connection {
  #template;
  #demotions;
  #openedAt = 0;
  #isEnded = false;
  /** @type {Promise<any> | undefined} */
  #opening;
  /** @type {any} */
  #client;

  /**
   * @param {any} template the app's client; it is never used itself
   * @param {Demotions} demotions
   */
  constructor(template, demotions) {
    this.#template = template;
    this.#demotions = demotions;
  }

  /**
   * @param {string[]} command
   * @param {{ withinMs?: number, bytes?: boolean }} [how] `bytes`: strings as they are, undecoded
   * @returns {Promise<any>}
   */
  async send(command, { withinMs = COMMAND_MS, bytes = false } = {}) {
    if (this.#isEnded) throw new Error('the listener is stopped');
    if (this.#openedAt !== this.#demotions.count) this.close();
    this.#openedAt = this.#demotions.count;
    const opening = (this.#opening ??= this.#open());
    try {
      return await within(withinMs, this.#send(opening, command, bytes));
    } catch (error) {
      // The other connection may be at the same server, where a read does not show it.
      if (isDemotion(error)) this.#demotions.count += 1;
      // Not one that was opened meanwhile, after another command had failed.
      else if (!isReply(error) && this.#opening === opening) this.close();
      throw error;
    }
  }

  close() {
    const client = this.#client;
    this.#client = this.#opening = undefined;
    if (client !== undefined) destroy(client);
  }

  /** For good: nothing would close what was opened later, and the process could not end. */
  end() {
    this.#isEnded = true;
    this.close();
  }

  async #send(/** @type {Promise<any>} */ opening, /** @type {string[]} */ command, /** @type {boolean} */ bytes) {
    const client = await opening;
    const [name, ...rest] = command;
    if (kindOf(client) === 'ioredis') return bytes ? client.callBuffer(name, ...rest) : client.call(name, ...rest);
    // Version 4 knows the first option, later ones the second: 36 is the type of strings in the protocol.
    return client.sendCommand(command, bytes ? { returnBuffers: true, typeMapping: { 36: Buffer } } : undefined);
  }

  async #open() {
    const client = duplicate(this.#template);
    this.#client = client;
    // An 'error' without a listener ends the process; the command that fails says it too.
    client.on('error', () => {});
    await within(COMMAND_MS, client.connect());
    return client;
  }
}

/**
 * With the app's address and credentials. What else it has set is for its own commands: a prefix would be put before the receiver's keys
 * too, and nothing be heard; a time limit would end a blocking read.
 * @param {any} template
 */
function duplicate(template) {
  if (kindOf(template) === 'ioredis') {
    return template.duplicate({
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: COMMAND_MS,
      retryStrategy: null,
      commandTimeout: undefined,
      socketTimeout: undefined,
      blockingTimeout: undefined,
      keyPrefix: '',
      enableAutoPipelining: false,
    });
  }
  const socket = { ...template.options?.socket, connectTimeout: COMMAND_MS, socketTimeout: undefined, reconnectStrategy: false };
  return template.duplicate({ socket, disableOfflineQueue: true, commandOptions: undefined });
}

/** @param {any} client */
function destroy(client) {
  try {
    const ending = typeof client.destroy === 'function' ? client.destroy() : client.disconnect();
    // Version 4 and ioredis answer with a promise or nothing.
    if (typeof ending?.catch === 'function') ending.catch(() => {});
  } catch {
    // It was not open yet, or any more.
  }
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function within(ms, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  promise.catch(() => {});
  try {
    return await Promise.race([
      promise,
      new Promise((_, reject) => {
        timer = setTimeout(() => reject(new NoAnswerError(`no answer within ${ms / 1000} s`)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
