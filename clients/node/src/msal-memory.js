// An MSAL client object that outlives a request: it forgets who signs out, and what a refresh under way brings back.

import { ends, numericDate, sourceOf } from './marks.js';
import { isOver, removeEnded } from './msal.js';

/** Milliseconds after a logout when its memory is looked at again. */
const LOOK_AGAIN_MS = [2_000, 10_000, 60_000];

export class WatchedClient {
  #listener;
  #client;

  /**
   * @param {import('./listener.js').LogoutListener} listener
   * @param {{ getTokenCache(): any }} client a ConfidentialClientApplication
   */
  constructor(listener, client) {
    if (typeof client?.getTokenCache !== 'function') throw new TypeError('msalClient takes a ConfidentialClientApplication');
    this.#listener = listener;
    this.#client = client;
  }

  /**
   * @param {Set<string>} [among] look at these accounts only
   * @param {(of: import('./msal.js').SignIn) => Promise<boolean>} [isGone]
   */
  forget(among, isGone) {
    // The map the client works on: only this way the other users' tokens stay.
    return removeEnded(this.#listener, [this.#client.getTokenCache().getKVStore()], among, isGone);
  }

  /** Drop who was signed out: an account that is named goes, no matter which of its sessions ended, but for a later sign-in. */
  async hear(/** @type {import('./types.js').Eviction} */ eviction) {
    const { accounts, appliesTo, clientId, logoutAt } = eviction;
    const mark = { at: logoutAt, source: sourceOf(eviction) };
    const among = accounts.length > 0 ? new Set(accounts) : undefined;
    await this.forget(among, async (of) => {
      const named = among !== undefined && (appliesTo === 'tenant' || clientId === null || clientId === of.clientId);
      return named ? ends(mark, datesOf(of.claims), false) : isOver(this.#listener, of);
    });
    for (const ms of LOOK_AGAIN_MS) setTimeout(() => this.forget(among).catch(() => {}), ms).unref();
  }
}

const datesOf = (/** @type {Record<string, unknown> | undefined} */ claims) => ({ authTime: numericDate(claims?.auth_time), iat: numericDate(claims?.iat) });
