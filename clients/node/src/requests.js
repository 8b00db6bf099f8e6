// What all frameworks do with a request.

/** Seconds told to a client that was refused because its session cannot be told. */
const RETRY_AFTER_S = 5;

/** Session member that says how the next sign-in must ask the OP. */
const WAY_BACK = 'logoutListener';

/** @type {Record<string, [(value: any) => boolean, string]>} */
export const RULES = {
  claims: [(value) => typeof value === 'function', 'a function of the request that returns the ID token claims, or undefined'],
  account: [(value) => typeof value === 'function', "a function of the request that returns MSAL's home account id, or undefined"],
  loginUrl: [(value) => typeof value === 'string' && value !== '', 'a text: where a refused browser is sent'],
  exempt: [(value) => Array.isArray(value) && value.every((path) => typeof path === 'string' && path.startsWith('/')), 'an array of paths that begin with /: exact, or with all below where they end in /'],
};

/**
 * Where common libraries keep the claims: MSAL, openid-client and express-openid-connect, Passport, hand-written.
 * @returns {Record<string, any> | undefined}
 */
export function findClaims(/** @type {any} */ session) {
  const user = session?.passport?.user ?? session?.user;
  const places = [session?.account?.idTokenClaims, session?.idTokenClaims, session?.claims, user?.idTokenClaims, user?.claims, user?._json, user];
  return places.find((claims) => typeof claims?.iss === 'string' && typeof claims?.sub === 'string' && claims?.aud !== undefined);
}

/** @returns {string | undefined} */
const findAccount = (/** @type {any} */ session) => session?.account?.homeAccountId;

/**
 * Warns once of requests in which no session can be: all of them are let through.
 * @returns {(session: unknown) => void}
 */
function noticesMissingSession(/** @type {import('./types.js').Logger} */ log) {
  let isSaid = false;
  return (session) => {
    if (session !== undefined || isSaid) return;
    isSaid = true;
    log.warn('a request had no session to check: put this after the session middleware, or give the option claims');
  };
}

/**
 * Finds out what has to be asked about a request.
 * @param {import('./listener.js').LogoutListener} listener
 * @param {{ claims?: Function, account?: Function, exempt?: string[] }} options
 * @param {(request: unknown) => string} pathOf
 * @returns {(request: unknown, session: any) => import('./marks.js').Session | undefined} undefined: it goes on, in the same turn, as
 *   nearly all do. `session`: its members
 */
export function looksAt(listener, { claims, account, exempt = [] }, pathOf) {
  const notice = noticesMissingSession(listener.log);
  return (request, session) => {
    if (exempt.length > 0 && isExempt(pathOf(request), exempt)) return undefined;
    if (!claims) notice(session);
    const found = claims ? claims(request) : findClaims(session);
    if (!found) return undefined;
    const asked = listener.session(found, account ? account(request) : findAccount(session));
    return listener.known(asked) === 'live' ? undefined : asked;
  };
}

/**
 * Asks about a session that is not known to be live, and ends it with `drop` where it is over.
 * @param {import('./listener.js').LogoutListener} listener
 * @param {import('./marks.js').Session} asked
 * @param {{ request: any, path: string, loginUrl?: string, drop: () => unknown }} how
 * @returns {Promise<Refusal | undefined>} undefined: the request goes on
 */
export async function judge(listener, asked, { request, path, loginUrl, drop }) {
  const status = await listener.statusOf(asked);
  if (status === 'live' || (status === 'unknown' && listener.whenUnknown === 'serve')) return undefined;
  if (status === 'ended') await drop();
  const header = (/** @type {string} */ name) => request.headers[name];
  return refusal(status, { method: request.method, path, header, loginUrl });
}

/** Whether requests for this path are not checked. A path that is not in its plain form is checked. */
export function isExempt(/** @type {string} */ path, /** @type {string[]} */ exempt) {
  if (/%|\\|\/\/|\/\.{1,2}(\/|$)/.test(path)) return false;
  return exempt.some((entry) => (entry.endsWith('/') ? path.startsWith(entry) : path === entry));
}

/** Notes in a session that its user was refused. */
export function rememberWayBack(/** @type {any} */ session) {
  if (session) session[WAY_BACK] = { prompt: 'login' };
}

/**
 * What the authentication request has to say after a refusal: spread it into its parameters.
 * @param {any} session of the request
 * @returns {{ prompt?: 'login' }}
 */
export function authorizationParams(session) {
  return session?.[WAY_BACK]?.prompt === 'login' ? { prompt: 'login' } : {};
}

/** @typedef {{ status: number, headers: Record<string, string>, body: string }} Refusal */

/**
 * @param {'ended' | 'unknown'} status
 * @param {{ method: string, path: string, header: (name: string) => string | undefined, loginUrl?: string }} request
 * @returns {Refusal | undefined} undefined: the request goes on, without the session
 */
function refusal(status, { method, path, header, loginUrl }) {
  if (status === 'unknown') return answer(503, 'temporarily_unavailable', header, { 'Retry-After': `${RETRY_AFTER_S}` });
  if (loginUrl !== undefined && path === loginUrl.split('?')[0]) return undefined;
  const mode = header('sec-fetch-mode');
  const navigates = mode ? mode === 'navigate' : (header('accept') ?? '').includes('text/html');
  if (loginUrl !== undefined && navigates && (method === 'GET' || method === 'HEAD')) {
    return { status: 302, headers: { Location: loginUrl, 'Cache-Control': 'no-store' }, body: '' };
  }
  return answer(401, 'signed_out', header, {});
}

/** @returns {Refusal} */
function answer(/** @type {number} */ status, /** @type {string} */ error, /** @type {(name: string) => string | undefined} */ header, /** @type {Record<string, string>} */ headers) {
  const texts = { signed_out: 'You have been signed out. Sign in again.\n', temporarily_unavailable: 'Your session cannot be verified at the moment. Try again in a few seconds.\n' };
  const json = (header('accept') ?? '').includes('json');
  return {
    status,
    headers: { 'Content-Type': json ? 'application/json' : 'text/plain; charset=utf-8', 'Cache-Control': 'no-store', ...headers },
    body: json ? JSON.stringify({ error }) : /** @type {any} */ (texts)[error],
  };
}
