// Entries of the stream: rules B1, B2 and S4 of docs/listener.md. Pure.

import { numericDate } from './marks.js';

const EVENT_TYPE = 'logout-receiver.eviction.v1';

/** Why an entry is skipped. */
export class BadEventError extends Error {
  name = 'BadEventError';
}

/** @typedef {import('./types.js').Eviction} Eviction */

/**
 * @param {string | Uint8Array | undefined} given the field `event`
 * @returns {Eviction}
 * @throws {BadEventError}
 */
export function readEvent(given) {
  if (given === undefined || given.length === 0) throw new BadEventError('it has no field event');
  const event = parse(given);
  if (text(event.type, 'type') !== EVENT_TYPE) throw new BadEventError(`its type is not ${EVENT_TYPE}`);
  const data = object(event.data, 'data');
  const [sub, sid] = [optional(data.sub, 'sub'), optional(data.sid, 'sid')];
  if (sub === null && sid === null) throw new BadEventError('it names no user and no session');
  const logoutAt = numericDate(data.logout_at);
  if (logoutAt === undefined || !Number.isInteger(logoutAt)) throw new BadEventError('logout_at is no date');
  return {
    id: text(event.id, 'id'),
    tenant: text(data.tenant, 'tenant'),
    iss: text(data.iss, 'iss'),
    clientId: optional(data.client_id, 'client_id'),
    sub,
    sid,
    jti: optional(data.jti, 'jti'),
    scope: text(data.scope, 'scope') === 'user' && sub !== null ? 'user' : sid === null ? 'user' : 'session',
    appliesTo: text(data.applies_to ?? 'tenant', 'applies_to') === 'client' ? 'client' : 'tenant',
    logoutAt,
    receivedAt: moment(event.time),
    input: text(data.input, 'input'),
    reason: optional(data.reason ?? null, 'reason'),
    reauthenticate: data.reauthenticate !== false,
    accounts: texts(data.accounts, 'accounts'),
    sessions: array(data.sessions ?? [], 'sessions').map((session) => ({
      clientId: text(object(session, 'sessions').client_id, 'sessions'),
      keys: texts(session.keys, 'sessions'),
    })),
  };
}

/** @returns {Record<string, any>} */
function parse(/** @type {string | Uint8Array} */ given) {
  try {
    const decoded = typeof given === 'string' ? given : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(given);
    return object(JSON.parse(decoded), 'event');
  } catch (error) {
    if (error instanceof BadEventError) throw error;
    throw new BadEventError('it is no JSON in UTF-8');
  }
}

function object(/** @type {any} */ value, /** @type {string} */ name) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new BadEventError(`${name} is no object`);
  return value;
}

/** @returns {any[]} */
function array(/** @type {unknown} */ value, /** @type {string} */ name) {
  if (!Array.isArray(value)) throw new BadEventError(`${name} is no array`);
  return value;
}

function text(/** @type {unknown} */ value, /** @type {string} */ name) {
  // Half a surrogate pair cannot be sent to Redis or a browser.
  if (typeof value !== 'string' || !value.isWellFormed()) throw new BadEventError(`${name} is no text`);
  return value;
}

const texts = (/** @type {unknown} */ value, /** @type {string} */ name) => array(value, name).map((item) => text(item, name));

const optional = (/** @type {unknown} */ value, /** @type {string} */ name) => (value === null ? null : text(value, name));

/** @returns {number} NumericDate seconds */
function moment(/** @type {unknown} */ value) {
  const seconds = /(?:Z|[+-]\d\d:?\d\d)$/i.test(text(value, 'time')) ? Date.parse(/** @type {string} */ (value)) / 1000 : NaN;
  if (!(seconds >= 0 && Math.round(seconds) <= 253402300799)) throw new BadEventError('time is no date');
  return seconds;
}

/** @returns {number | undefined} the number of an entry; undefined where it is missing or none */
export function readNumber(/** @type {string | Uint8Array | undefined} */ given) {
  const found = given === undefined ? '' : Buffer.from(given).toString('latin1');
  return /^[1-9][0-9]{0,14}$/.test(found) ? Number(found) : undefined;
}
