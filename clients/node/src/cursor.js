// Where a reader of the stream is, what comes next, and whether anything was missed: S2, S4 and S5 of docs/listener.md. Pure.

/** The position before every entry. */
export const BEGINNING = '0-0';

/**
 * @typedef {{ id: string, number: number | undefined }} Seen an entry as far as positions are concerned
 * @typedef {object} View what the stream shows around a position
 * @property {Seen[]} before the last entries up to there, newest first
 * @property {Seen[]} first the first ones of the stream; only where there are none before
 * @property {number | undefined} sequence the last number given; undefined where it cannot be seen
 */

export class Cursor {
  /** @param {string} [id] @param {number} [number] @param {number} [unnumbered] entries without a number after that one */
  constructor(id = BEGINNING, number = undefined, unnumbered = 0) {
    this.id = id;
    this.number = number;
    this.unnumbered = unnumbered;
  }

  /** Behind the last entry up to there. */
  static starting(/** @type {View} */ { before, first, sequence }) {
    if (before.length > 0) return before.reduceRight((/** @type {Cursor} */ cursor, seen) => cursor.after(seen), new Cursor());
    if (first.length === 0) return new Cursor(BEGINNING, sequence);
    const number = first.find((seen) => seen.number !== undefined)?.number;
    return new Cursor(BEGINNING, number === undefined ? undefined : number - 1);
  }

  follows(/** @type {number | undefined} */ number) {
    if (number === undefined || this.number === undefined) return true;
    return this.number < number && number <= this.number + 1 + this.unnumbered;
  }

  after(/** @type {Seen} */ { id, number }) {
    return number === undefined ? new Cursor(id, this.number, this.unnumbered + 1) : new Cursor(id, number);
  }

  /** Whether unread entries are gone, or this is another stream. */
  misses(/** @type {View} */ { before, first, sequence }) {
    if (before.length > 0) {
      const [{ id, number }] = /** @type {[Seen]} */ (before);
      return id !== this.id || number !== (this.unnumbered > 0 ? undefined : this.number);
    }
    /** @type {Cursor} */
    let cursor = this;
    for (const seen of first) {
      if (seen.number !== undefined) return !cursor.follows(seen.number);
      cursor = cursor.after(seen);
    }
    if (first.length > 0) return false;
    return sequence === undefined ? this.id !== BEGINNING : !this.follows(sequence + 1);
  }
}
