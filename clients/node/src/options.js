// The options of a listener: checked once, with a sentence that says what is wrong.

import { isClient } from './connection.js';

/** A token read from a file may end in a line break, and could not be sent. */
function isApi(/** @type {any} */ value) {
  const { url, token, ...others } = value ?? {};
  if (typeof token !== 'string' || !/^[!-~]+$/.test(token) || Object.keys(others).length > 0) return false;
  return URL.canParse(url) && /^https?:/.test(url);
}

/** @type {Record<string, [(value: any) => boolean, string]>} */
const RULES = {
  redis: [isClient, 'a client of the package redis (4 to 6) or ioredis, for the Redis the receiver publishes to'],
  app: [(value) => typeof value === 'string' && value.trim() !== '' && value.length <= 200, "a text: the app's name in traces and metrics"],
  clientId: [(value) => typeof value === 'string' && value !== '', "a text: the app's own client id at the OP"],
  prefix: [(value) => typeof value === 'string' && value !== '', "a text: the receiver's redis.prefix"],
  whenUnknown: [(value) => value === 'serve' || value === 'refuse', "'serve' or 'refuse'"],
  waitMs: [(value) => Number.isInteger(value) && value >= 100 && value <= 60_000, 'a whole number of milliseconds from 100 to 60000'],
  acknowledge: [(value) => typeof value === 'boolean', 'true or false'],
  api: [isApi, "{ url, token }: the receiver's internal address, http or https, and a token with the scope sessions, without spaces or line breaks"],
  onEviction: [(value) => typeof value === 'function', 'a function'],
  onReset: [(value) => typeof value === 'function', 'a function'],
  onMetric: [(value) => typeof value === 'function', 'a function'],
  log: [(value) => ['warn', 'error'].every((name) => typeof value?.[name] === 'function'), 'an object with warn and error'],
};

/** @type {Record<string, [(value: any) => boolean, string]>} */
export const START_RULES = {
  signal: [(value) => value instanceof AbortSignal, 'an AbortSignal'],
  withinMs: [(value) => Number.isFinite(value) && value >= 0, 'a number of milliseconds'],
};

const REQUIRED = ['redis', 'app'];

const DEFAULTS = { prefix: '{logout}', whenUnknown: 'serve', waitMs: 5_000, acknowledge: true, log: console };

/**
 * @template {object} Given
 * @param {Given} given
 * @param {Record<string, [(value: any) => boolean, string]>} [rules]
 * @param {string[]} [required]
 * @throws {TypeError}
 */
export function check(given, rules = RULES, required = REQUIRED) {
  if (given === null || typeof given !== 'object') throw new TypeError(`options are an object with ${required.join(' and ') || 'known members'}`);
  for (const name of required) if (/** @type {any} */ (given)[name] === undefined) throw new TypeError(`the option ${name} is missing: ${rules[name]?.[1]}`);
  for (const [name, value] of Object.entries(given)) {
    const rule = rules[name];
    if (rule === undefined) throw new TypeError(`there is no option ${name}; there are ${Object.keys(rules).join(', ')}`);
    if (value !== undefined && !rule[0](value)) throw new TypeError(`the option ${name} must be ${rule[1]}`);
  }
}

/**
 * @param {Record<string, any>} given
 * @returns {any}
 */
export function withDefaults(given) {
  check(given);
  return { ...DEFAULTS, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}
