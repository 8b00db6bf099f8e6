// The app's handlers: beside the reading, side by side, each with a time limit: C1 to C3 and S6 of docs/listener.md.

import { within } from './connection.js';

/** Handlers that run at the same time. */
const AT_ONCE = 16;
/** Milliseconds a handler may take. */
const LIMIT_MS = 30_000;
/** Evictions that may wait; with more the app is told of a reset in their place. */
const MAX_WAITING = 10_000;
/** Milliseconds before a reset whose handler failed is told again: at first, and at most. */
const [AGAIN_MS, MAX_AGAIN_MS] = [1_000, 60_000];

/** @typedef {{ eviction: import('./types.js').Eviction, entryId: string }} Heard */

export class Clearing {
  /** @type {Heard[]} */
  #waiting = [];
  #running = 0;
  #resetting = false;
  #resetAgain = false;
  #stopped = false;
  #options;

  /**
   * @param {object} options
   * @param {(eviction: Heard['eviction']) => unknown} options.clear
   * @param {(why: string) => unknown} options.reset
   * @param {(heard: Heard) => void} options.done
   * @param {(what: string, error: unknown) => void} options.failed
   */
  constructor(options) {
    this.#options = options;
  }

  add(/** @type {Heard[]} */ batch) {
    this.#waiting.push(...batch);
    if (this.#waiting.length > MAX_WAITING) {
      this.#waiting = [];
      this.reset(`more than ${MAX_WAITING} evictions wait for onEviction`);
    }
    while (this.#running < AT_ONCE && this.#waiting.length > 0) this.#work();
  }

  async reset(/** @type {string} */ why) {
    this.#resetAgain = true;
    if (this.#resetting) return;
    this.#resetting = true;
    let pauseMs = AGAIN_MS;
    while (this.#resetAgain && !this.#stopped) {
      this.#resetAgain = false;
      try {
        await within(LIMIT_MS, Promise.resolve(this.#options.reset(why)));
      } catch (error) {
        this.#options.failed('onReset', error);
        this.#resetAgain = true;
        await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
        pauseMs = Math.min(pauseMs * 2, MAX_AGAIN_MS);
      }
    }
    this.#resetting = false;
  }

  stop() {
    this.#stopped = true;
    this.#waiting = [];
  }

  async #work() {
    this.#running++;
    for (let heard = this.#waiting.shift(); heard !== undefined; heard = this.#waiting.shift()) {
      try {
        await within(LIMIT_MS, Promise.resolve(heard.eviction).then(this.#options.clear));
        this.#options.done(heard);
      } catch (error) {
        this.#options.failed('onEviction', error);
      }
    }
    this.#running--;
  }
}
