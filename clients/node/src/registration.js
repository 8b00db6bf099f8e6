// Registers sign-ins at the receiver's API, before their sessions begin: Q5 and R3 of docs/listener.md.

/** Milliseconds a sign-in may wait for it. */
const WITHIN_MS = 3_000;

export class Registration {
  #where;
  #token;
  #log;

  /**
   * @param {{ url: string, token: string }} api
   * @param {import('./types.js').Logger} log
   */
  constructor({ url, token }, log) {
    this.#where = `${url.replace(/\/$/, '')}/v1/sessions`;
    this.#token = token;
    this.#log = log;
  }

  /**
   * @param {import('./marks.js').Session} session
   * @param {{ anew: boolean, keys: string[] }} how `anew`: the user has authenticated because the app asked for it
   * @returns {Promise<'live' | 'ended' | undefined>} undefined: it was not registered, and the log says why
   */
  async register({ iss, clients, sub, sid, authTime, iat, account }, { anew, keys }) {
    const named = { iss, client_id: clients[0], sub, sid, auth_time: authTime, iat, anew, keys };
    const body = JSON.stringify(account === sub ? named : { ...named, home_account_id: account });
    const headers = { Authorization: `Bearer ${this.#token}`, 'Content-Type': 'application/json' };
    try {
      const { status } = await fetch(this.#where, { method: 'PUT', headers, body, signal: AbortSignal.timeout(WITHIN_MS) });
      if (status === 200) return 'live';
      if (status === 409) return 'ended';
      this.#log.warn(`a sign-in was not registered: the receiver answered ${status}`);
    } catch (error) {
      this.#log.warn(`a sign-in was not registered: ${error instanceof Error ? error.message : error}`);
    }
    return undefined;
  }
}
