// Asks Redis about sessions: Q1 to Q5, W1, W3, A2 and E3 of docs/listener.md.

import { isEndedBy, markDate, markNames } from './marks.js';

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
   * @returns {Promise<{ over: boolean, hasEpoch: boolean, userAt: number | undefined, sessionAt: number | undefined } | undefined>}
   *   the latest dates of the user's and the session's marks; undefined where Redis cannot tell
   */
  async ask(session) {
    if (performance.now() < this.#awayUntil) return undefined;
    const { names, ofUser } = markNames(session);
    try {
      const values = await this.#connection.send(['MGET', ...names.map((name) => `${this.#prefix}:mark:${name}`)]);
      return {
        over: isEndedBy(session, values, ofUser),
        hasEpoch: values.at(-1) !== null,
        userAt: latest(values.slice(0, ofUser)),
        sessionAt: latest(values.slice(ofUser, -1)),
      };
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

/** @returns {number | undefined} */
function latest(/** @type {(string | null)[]} */ values) {
  const dates = values.map(markDate).filter((date) => date !== undefined);
  return dates.length > 0 ? Math.max(...dates) : undefined;
}
