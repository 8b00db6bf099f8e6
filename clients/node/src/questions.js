// Asks Redis about sessions: Q1 to Q5, W1, W3, A2 and E3 of docs/listener.md.

import { Look } from './marks.js';

/** Milliseconds after a question that was not answered in which Redis is not asked again. */
const PAUSE_MS = 1_000;

export class Questions {
  #connection;
  #prefix;
  #log;
  #awayUntil = -Infinity;
  #toldOfRights = false;

  /** @param {{ connection: import('./connection.js').Connection, prefix: string, log: import('./types.js').Logger }} options */
  constructor({ connection, prefix, log }) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#log = log;
  }

  /**
   * The client library sends what is asked at the same time in one go.
   * @param {import('./marks.js').Session} session
   * @returns {Promise<import('./marks.js').Answer | undefined>} undefined where Redis cannot tell
   */
  async ask(session) {
    if (performance.now() < this.#awayUntil) return undefined;
    const look = new Look(session);
    try {
      return look.answer(await this.#connection.send(['MGET', ...look.names.map((name) => `${this.#prefix}:mark:${name}`)]));
    } catch (error) {
      this.#awayUntil = performance.now() + PAUSE_MS;
      this.#tell(/** @type {Error} */ (error));
      return undefined;
    }
  }

  #tell(/** @type {Error} */ error) {
    if (!error.message.startsWith('NOPERM')) {
      this.#log.warn(`cannot ask Redis about a session: ${error.message}`);
    } else if (!this.#toldOfRights) {
      this.#toldOfRights = true;
      this.#log.warn(
        'the Redis user may not read what ends sessions, so only logouts heard from now on count; grant: ' +
          `ACL SETUSER <user> ~${this.#prefix}:mark:* +mget (${error.message})`,
      );
    }
  }
}
