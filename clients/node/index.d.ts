/** A logout, as the receiver publishes it. */
export interface Eviction {
  /** The same for each repeat; handlers are idempotent by it. */
  id: string;
  tenant: string;
  iss: string;
  /** Which client the logout was sent to. */
  clientId: string | null;
  sub: string | null;
  sid: string | null;
  jti: string | null;
  scope: 'session' | 'user';
  appliesTo: 'tenant' | 'client';
  /** Seconds since 1970 on the OP's clock. */
  logoutAt: number;
  /** Seconds since 1970 on the receiver's clock. */
  receivedAt: number;
  input: string;
  reason: string | null;
  /** False, of an operator's order (`input` is `admin`): it ends what was given to apps until then, and later sign-ins live. */
  reauthenticate: boolean;
  /** MSAL home account ids. */
  accounts: string[];
  sessions: { clientId: string; keys: string[] }[];
}

export interface Logger {
  info?(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

/** `unknown`: neither this process nor Redis can tell. */
export type Status = 'live' | 'ended' | 'unknown';

export type Claims = Record<string, unknown>;

export interface ListenerOptions {
  /** A client of `redis` (4 to 6) or `ioredis` for the Redis the receiver publishes to. It is only copied, never used. */
  redis: { duplicate(...options: any[]): any };
  /** The app's name in traces and metrics; each app its own. */
  app: string;
  /** The app's client id at the OP: which one is meant where an ID token names several. */
  clientId?: string;
  /** The receiver's `redis.prefix`; `{logout}` by default. */
  prefix?: string;
  /** What becomes of requests whose session cannot be told: served (the default) or refused with 503. */
  whenUnknown?: 'serve' | 'refuse';
  /** Milliseconds one read of the stream waits; 5000 by default. The longest silence before it starts over is two of these. */
  waitMs?: number;
  /** The receiver's internal address and a token with the scope `sessions`: `signIn` registers sign-ins there. */
  api?: { url: string; token: string };
  /** Whether to record what was done, for `receiver trace` and the metrics; true by default. */
  acknowledge?: boolean;
  /** Clears what else the app holds of the user: after requests are refused, up to 16 at a time, 30 s each. */
  onEviction?(eviction: Eviction): unknown;
  /** Evictions were missed: drop tokens whose owner cannot be asked about. Sessions are asked about by themselves. */
  onReset?(why: string): unknown;
  /** Counts: `heard`, `resets`, `skipped` and `failures`, and by how much. */
  onMetric?(name: 'heard' | 'resets' | 'skipped' | 'failures', count: number): void;
  /** `console` by default. */
  log?: Logger;
}

export interface RequestOptions<Request = any> {
  /** Where the ID token's claims are, as received at sign-in. By default known places in `request.session` (see README). */
  claims?(request: Request): Claims | null | undefined;
  /** MSAL's home account id, where it is not the `sub`. By default `request.session.account.homeAccountId`. */
  account?(request: Request): string | null | undefined;
  /** Where a browser that was refused is sent; without it the answer is 401. */
  loginUrl?: string;
  /** Paths that are not checked, without the path a router is mounted at: `/healthz` exactly, `/static/` and all below it. */
  exempt?: string[];
}

export interface Health {
  app: string;
  /** Whether Redis was read within two waits. */
  hears: boolean;
  /** Seconds since 1970; null before `start`. */
  listeningSince: number | null;
  lastReadAt: number | null;
  /** Why Redis could not be read; null while it can. */
  lastError: string | null;
  /** Entries of the stream that are no event of this version. */
  skipped: number;
  resets: number;
  heard: number;
}

/** What MSAL Node's `DistributedCachePlugin` takes. */
export interface CacheClient {
  get(key: string): Promise<string>;
  set(key: string, value: string): Promise<string>;
}

export class LogoutListener {
  /** @throws TypeError an option is missing, unknown or wrong */
  constructor(options: ListenerOptions);
  /**
   * Begin to listen, and go on over all outages of Redis.
   * @returns whether it has read within `withinMs` (10 s); where not, that is waited out and requests are `unknown`
   */
  start(how?: { signal?: AbortSignal; withinMs?: number }): Promise<boolean>;
  /** Stop, and say so; a few seconds at most. */
  stop(): Promise<void>;
  /** Whether a session goes on. @throws TypeError the claims have no `iss`, `sub` or `aud` */
  status(claims: Claims, known?: { account?: string | null }): Promise<Status>;
  /** The same with the app's choice for what cannot be told. */
  isSignedOut(claims: Claims, known?: { account?: string | null }): Promise<boolean>;
  /**
   * Before a session begins: registers the sign-in where `api` is there, and asks. `ended`: show a page, and begin no session.
   * @param known `keys`: names of what the app keeps of it; `session`: the request's, before it is made anew, which tells whether the
   *   user was refused before; where this sign-in is refused, that is noted in it, and the next one asks for a login
   */
  signIn(claims: Claims, known?: { account?: string | null; keys?: string[]; session?: unknown }): Promise<Status>;
  /** How it is, without the network: for a probe. */
  health(): Health;
  /** Express and connect middleware: put it right after the session's. */
  express(options?: RequestOptions): (request: any, response: any, next: (error?: unknown) => void) => void;
  /** Fastify plugin: register it after the session's. */
  readonly fastify: (fastify: any, options: RequestOptions) => Promise<void>;
  /** Wraps the cache client given to MSAL Node: tokens of sessions that are over are neither read nor written back. */
  msalCache(client: CacheClient): CacheClient;
  /** Lets an MSAL client object that outlives a request forget who signs out. */
  msalClient<Client extends { getTokenCache(): any }>(client: Client): Client;
}

/** A listener that is not started yet. */
export function createListener(options: ListenerOptions): LogoutListener;

/** What the next authentication request has to say: `prompt: 'login'` after a refusal, else nothing. */
export function authorizationParams(session: unknown): { prompt?: 'login' };

/** The claims in a session, in the places of MSAL, openid-client, express-openid-connect and Passport. */
export function findClaims(session: unknown): Claims | undefined;
