// The listener: reads, refuses, has the app clear, and says so. docs/listener.md is its contract.

import { Acknowledgements } from './acknowledge.js';
import { Clearing } from './clearing.js';
import { Connection, Demotions, within } from './connection.js';
import { connectMiddleware } from './connect.js';
import { fastifyPlugin } from './fastify.js';
import { Knowledge } from './knowledge.js';
import { toSession } from './marks.js';
import { guardedCache } from './msal.js';
import { WatchedClient } from './msal-memory.js';
import { START_RULES, check, withDefaults } from './options.js';
import { Questions } from './questions.js';
import { Registration } from './registration.js';
import { authorizationParams, rememberWayBack } from './requests.js';
import { Stream } from './stream.js';

/** Milliseconds `stop` may take. */
const STOP_MS = 3_000;

export class LogoutListener {
  #options;
  #knowledge = new Knowledge();
  #demotions = new Demotions();
  #asking;
  #registration;
  #questions;
  #acknowledgements;
  #clearing;
  #stream;
  /** @type {Promise<void> | undefined} */
  #running;
  #readAt = -Infinity;
  /** @type {string | null} */
  #problem = null;
  #toldOfNoStart = false;
  #listeningSince = 0;
  #skipped = 0;
  #resets = 0;
  #heard = 0;
  /** @type {Set<WatchedClient>} */
  #watched = new Set();
  /** @type {Set<() => unknown>} */
  #firstRead = new Set();

  /** @param {any} given see the types */
  constructor(given) {
    this.#options = withDefaults(given);
    const { redis, app, prefix, waitMs, log, acknowledge, api } = this.#options;
    this.#registration = api === undefined ? undefined : new Registration(api, log);
    this.#asking = new Connection(redis, this.#demotions);
    this.#questions = new Questions({ connection: this.#asking, prefix, log });
    this.#acknowledgements = acknowledge
      ? new Acknowledgements({
          connection: this.#asking,
          prefix,
          app,
          everyMs: 2 * waitMs,
          reads: () => this.#hears(),
          failed: (error) => log.warn(`${app}: cannot acknowledge: ${error.message}`),
        })
      : undefined;
    this.#clearing = new Clearing({
      clear: (eviction) => this.#clear(eviction),
      reset: (why) => this.#options.onReset?.(why),
      done: (heard) => this.#acknowledgements?.add(heard),
      failed: (what, error) => log.error(`${app}: ${what} failed: ${error instanceof Error ? error.message : error}`),
    });
    this.#stream = this.#newStream();
  }

  /**
   * Begin to listen, and go on over all outages of Redis.
   * @param {{ signal?: AbortSignal, withinMs?: number }} [how] `signal` stops it; `withinMs`: longest wait for the first read
   * @returns {Promise<boolean>} whether it has read: false when the time is over and Redis is still away, which is waited out
   */
  async start(how = {}) {
    check(how, START_RULES, []);
    const { signal, withinMs = 10_000 } = how;
    signal?.throwIfAborted();
    if (this.#running !== undefined) throw new Error('this listener was started already');
    const { app, whenUnknown, log } = this.#options;
    log.info?.(`${app}: listening for logouts; unknown sessions are ${whenUnknown === 'serve' ? 'served' : 'refused'}`);
    this.#listeningSince = Date.now() / 1000;
    this.#acknowledgements?.start();
    this.#running = this.#stream.run();
    signal?.addEventListener('abort', () => this.stop(), { once: true });
    const read = new Promise((resolve) => this.#firstRead.add(() => resolve(true)));
    return within(withinMs, read).catch(() => false);
  }

  /** Stop listening, and say so; never longer than a few seconds. */
  async stop() {
    this.#stream.stop();
    this.#clearing.stop();
    await within(STOP_MS, Promise.all([this.#running, this.#acknowledgements?.stop()])).catch(() => {});
    this.#asking.end();
  }

  /**
   * Whether a session goes on. Costs no network once it was asked about and this process hears.
   * @param {Record<string, unknown>} claims of the ID token received at sign-in
   * @param {{ account?: string | null }} [known] `account`: MSAL's home account id, where it is not the `sub`
   * @returns {Promise<import('./types.js').Status>}
   * @throws {TypeError} the claims have no `iss`, `sub` or `aud`
   */
  async status(claims, { account } = {}) {
    return this.statusOf(this.session(claims, account));
  }

  /** As `status`, at once: `unknown` where Redis has to be asked. */
  known(/** @type {import('./marks.js').Session} */ session) {
    return this.#knowledge.status(session, this.#hears());
  }

  /** As `status`. */
  async statusOf(/** @type {import('./marks.js').Session} */ session) {
    const known = this.known(session);
    if (known !== 'unknown') return known;
    if (this.#running === undefined) this.#warnOfNoStart();
    // Taken before Redis is asked: of what is heard later it may not know whether the session is newer.
    const looksEnded = this.#knowledge.looksEnded(session);
    const askedAt = performance.now();
    const answer = await this.#questions.ask(session);
    if (answer === undefined) return looksEnded || this.#knowledge.looksEnded(session) ? 'ended' : 'unknown';
    if (answer.over || (looksEnded && !answer.isNewer)) {
      this.#knowledge.learnOver(session);
      return 'ended';
    }
    this.#knowledge.learnLive(session, { askedAt, hasEpoch: answer.hasEpoch, isNewer: answer.isNewer });
    // It may have been heard of while Redis was asked.
    return this.#knowledge.status(session, false) === 'ended' ? 'ended' : 'live';
  }

  /**
   * Before a session begins: registers the sign-in at the receiver's API, where the option `api` is there, and asks.
   * @param {Record<string, unknown>} claims of the ID token
   * @param {{ account?: string | null, keys?: string[], session?: any }} [known] `session`: the request's, before it is made anew; it
   *   tells whether the user was refused before, so that this sign-in answers `prompt=login`, and notes it where this one is refused
   * @returns {Promise<import('./types.js').Status>}
   * @throws {TypeError} the claims have no `iss`, `sub` or `aud`
   */
  async signIn(claims, { account, keys = [], session: ofRequest } = {}) {
    const session = this.session(claims, account);
    const anew = authorizationParams(ofRequest).prompt === 'login';
    const registered = await this.#registration?.register(session, { anew, keys });
    // An earlier sign-in of the same second may look the same, and be over.
    if (registered === 'live' && anew) this.#knowledge.forgetOne(session);
    const status = registered === 'ended' ? 'ended' : await this.statusOf(session);
    if (status === 'ended') rememberWayBack(ofRequest);
    return status;
  }

  /** As `status`, with the app's choice for what cannot be told. */
  async isSignedOut(/** @type {Record<string, unknown>} */ claims, /** @type {{ account?: string | null }} */ known = {}) {
    const status = await this.status(claims, known);
    return status === 'unknown' ? this.#options.whenUnknown === 'refuse' : status === 'ended';
  }

  /** What the claims say of the session. */
  session(/** @type {Record<string, unknown>} */ claims, /** @type {string | null | undefined} */ account, isCached = false) {
    return toSession(claims, { account, clientId: this.#options.clientId, isCached });
  }

  /** The dates of a session's marks, always asked; undefined where Redis cannot tell. */
  marks(/** @type {import('./marks.js').Session} */ session) {
    return this.#questions.ask(session);
  }

  get whenUnknown() {
    return this.#options.whenUnknown;
  }

  get log() {
    return this.#options.log;
  }

  /** How it is, without the network. */
  health() {
    return {
      app: this.#options.app,
      hears: this.#hears(),
      listeningSince: this.#listeningSince || null,
      lastReadAt: this.#readAt === -Infinity ? null : (Date.now() - (performance.now() - this.#readAt)) / 1000,
      lastError: this.#problem,
      skipped: this.#skipped,
      resets: this.#resets,
      heard: this.#heard,
    };
  }

  /** Express and connect middleware; see the types. */
  express(/** @type {any} */ options = {}) {
    return connectMiddleware(this, options);
  }

  /** Fastify plugin; see the types. */
  get fastify() {
    return fastifyPlugin(this);
  }

  /** Wraps the cache client given to MSAL Node's DistributedCachePlugin. */
  msalCache(/** @type {any} */ client) {
    return guardedCache(this, client);
  }

  /** Lets an MSAL client object that outlives a request forget who signs out. Returns it. */
  msalClient(/** @type {any} */ client) {
    this.#watched.add(new WatchedClient(this, client));
    return client;
  }

  /** What a write must not bring back leaves the memory of watched clients, too. */
  async forgetInMemory(/** @type {Set<string>} */ accounts) {
    await Promise.all([...this.#watched].map((client) => client.forget(accounts)));
  }

  #warnOfNoStart() {
    if (!this.#toldOfNoStart) this.#options.log.warn(`${this.#options.app}: start() was not called: no logout is heard, and each request waits for Redis`);
    this.#toldOfNoStart = true;
  }

  #hears() {
    return performance.now() - this.#readAt < 2 * this.#options.waitMs;
  }

  #newStream() {
    const { redis, app, prefix, waitMs, log } = this.#options;
    return new Stream({
      connection: new Connection(redis, this.#demotions),
      prefix,
      waitMs,
      events: {
        onBatch: (batch) => {
          for (const { eviction } of batch) this.#knowledge.note(eviction);
          this.#heard += batch.length;
          this.#metric('heard', batch.length);
          this.#clearing.add(batch);
        },
        onReset: (why) => {
          log.error(`${app}: evictions were missed: ${why}`);
          this.#knowledge.forget();
          this.#resets++;
          this.#metric('resets', 1);
          this.#clearing.reset(why);
        },
        onRead: () => this.#read(),
        onSkip: (entryId, why) => {
          log.error(`${app}: stream entry ${entryId}: ${why}`);
          this.#skipped++;
          this.#metric('skipped', 1);
        },
        onFailure: (error) => {
          if (this.#problem !== error.message) log.warn(`${app}: cannot read evictions, trying again: ${error.message}`);
          this.#problem = error.message;
          this.#metric('failures', 1);
        },
      },
    });
  }

  #read() {
    const isFirst = this.#readAt === -Infinity;
    this.#readAt = performance.now();
    if (this.#problem !== null || isFirst) this.#options.log.info?.(`${this.#options.app}: hears of logouts`);
    this.#problem = null;
    if (!isFirst) return;
    this.#acknowledgements?.hello();
    for (const tell of this.#firstRead) tell();
    this.#firstRead.clear();
  }

  async #clear(/** @type {import('./types.js').Eviction} */ eviction) {
    await Promise.all([...this.#watched].map((client) => client.hear(eviction)));
    await this.#options.onEviction?.(eviction);
  }

  #metric(/** @type {string} */ name, /** @type {number} */ count) {
    try {
      this.#options.onMetric?.(name, count);
    } catch (error) {
      this.#options.log.error(`${this.#options.app}: onMetric failed: ${error}`);
    }
  }
}
