// An MSAL client object that outlives a request: it forgets who signs out, and what a refresh under way brings back.

import { removeEnded } from './msal.js';

/** Milliseconds after a logout when its memory is looked at again. */
const LOOK_AGAIN_MS = [2_000, 10_000, 60_000];

/**
 * @param {import('./listener.js').LogoutListener} listener
 * @param {{ getTokenCache(): any }} client a ConfidentialClientApplication
 * @returns {(eviction: import('./types.js').Eviction) => Promise<void>}
 */
export function watchClient(listener, client) {
  if (typeof client?.getTokenCache !== 'function') throw new TypeError('msalClient takes a ConfidentialClientApplication');
  const forget = async (/** @type {Set<string> | undefined} */ among) => {
    // The map the client works on: only this way the other users' tokens stay.
    await removeEnded(listener, [client.getTokenCache().getKVStore()], among);
  };
  return async ({ accounts }) => {
    const among = accounts.length > 0 ? new Set(accounts) : undefined;
    await forget(among);
    for (const ms of LOOK_AGAIN_MS) setTimeout(() => forget(among).catch(() => {}), ms).unref();
  };
}
