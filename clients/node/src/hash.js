// Texts as numbers, to keep very many of them.

import { randomInt } from 'node:crypto';

const SEED = randomInt(2 ** 32);
/** After each text; no character. */
const END = 0x10000;

/**
 * Of 53 bits: among a million texts two share one once in 18,000 processes. With a secret of this process, so that which
 * two do is not known outside. It is no cryptographic hash; the names come from the OP.
 * @param {string[]} texts
 * @returns {number} a whole number above 0
 */
export function hashOf(texts) {
  let [high, low] = [0xdeadbeef ^ SEED, 0x41c6ce57 ^ SEED];
  // By index: this is done in each request, and an iterator takes twice as long.
  for (let place = 0; place < texts.length; place++) {
    const text = /** @type {string} */ (texts[place]);
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      high = Math.imul(high ^ code, 2654435761);
      low = Math.imul(low ^ code, 1597334677);
    }
    high = Math.imul(high ^ END, 2654435761);
    low = Math.imul(low ^ END, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0) + 1;
}
