// Rows of numbers, found by a number, outside the engine's heap: what is kept there by the hundred thousand it collects late, and
// takes four times as much meanwhile.

/** Most of its slots that are in use, of one half: more make looking slow. */
const LOAD = 0.75;
/** Keys that are none. */
const [EMPTY, GONE] = [0, -1];

/** Two halves: where the later one is full, the earlier one is forgotten and takes its place. So the oldest give way. */
export class Table {
  /** The rows one after another; a row begins with its key. */
  rows;
  #slots;
  #width;
  #forgetting;
  #later = 0;
  /** Slots in use in the later half. */
  #used = 0;

  /**
   * @param {number} slots of one half, a power of two; it holds three quarters of them
   * @param {number} width numbers of a row, the key is the first
   * @param {() => void} [forgetting] told before the older half is forgotten
   */
  constructor(slots, width, forgetting = () => {}) {
    this.rows = new Float64Array(2 * slots * width);
    this.#slots = slots;
    this.#width = width;
    this.#forgetting = forgetting;
  }

  /**
   * @param {number} key a whole number above 0
   * @returns {number} where its row is in `rows`; -1 where there is none
   */
  find(key) {
    const at = this.#slot(key, this.#later);
    if (this.rows[at] === key) return at;
    const earlier = this.#slot(key, 1 - this.#later);
    return this.rows[earlier] === key ? earlier : -1;
  }

  /**
   * Its row as it was, or a new one of zeros; now among the latest.
   * @param {number} key
   * @returns {number} where it is in `rows`
   */
  add(key) {
    if (this.#used >= LOAD * this.#slots) this.#turn();
    const [at, earlier] = [this.#slot(key, this.#later), this.#slot(key, 1 - this.#later)];
    if (this.rows[at] === key) return at;
    this.#used += 1;
    this.rows[at] = key;
    if (this.rows[earlier] !== key) return at;
    this.rows.copyWithin(at, earlier, earlier + this.#width);
    this.rows[earlier] = GONE;
    return at;
  }

  delete(/** @type {number} */ key) {
    const at = this.find(key);
    if (at === -1) return;
    this.rows.fill(0, at, at + this.#width);
    this.rows[at] = GONE;
  }

  clear() {
    this.rows.fill(0);
    this.#used = 0;
  }

  /** @returns {Iterable<number>} where the rows are in `rows`; the one just given may be deleted */
  *places() {
    for (let at = 0; at < this.rows.length; at += this.#width) {
      const key = this.rows[at];
      if (key !== EMPTY && key !== GONE) yield at;
    }
  }

  /** Where a key is in one half, or the first empty place for it. */
  #slot(/** @type {number} */ key, /** @type {number} */ half) {
    const [mask, first] = [this.#slots - 1, half * this.#slots];
    for (let slot = key & mask; ; slot = (slot + 1) & mask) {
      const at = (first + slot) * this.#width;
      if (this.rows[at] === key || this.rows[at] === EMPTY) return at;
    }
  }

  #turn() {
    this.#forgetting();
    this.#later = 1 - this.#later;
    this.#used = 0;
    const size = this.#slots * this.#width;
    this.rows.fill(0, this.#later * size, (this.#later + 1) * size);
  }
}
