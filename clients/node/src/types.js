// Shapes that several modules share; types only.

/**
 * @typedef {object} Eviction a logout, as docs/events.md describes it
 * @property {string} id the same for each repeat
 * @property {string} tenant
 * @property {string} iss
 * @property {string | null} clientId which client the logout was sent to
 * @property {string | null} sub
 * @property {string | null} sid
 * @property {string | null} jti
 * @property {'session' | 'user'} scope
 * @property {'tenant' | 'client'} appliesTo
 * @property {number} logoutAt seconds since 1970 on the OP's clock
 * @property {number} receivedAt seconds since 1970 on the receiver's clock
 * @property {string} input
 * @property {string | null} reason
 * @property {boolean} reauthenticate false, of an operator's order: it ends what was given to apps until then
 * @property {string[]} accounts MSAL home account ids
 * @property {{ clientId: string, keys: string[] }[]} sessions what apps registered
 *
 * @typedef {{ info?: (line: string) => void, warn: (line: string) => void, error: (line: string) => void }} Logger
 * @typedef {'live' | 'ended' | 'unknown'} Status
 */

export {};
