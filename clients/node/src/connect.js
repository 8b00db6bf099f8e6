// Express and connect: put it right after the session middleware.

import { check } from './options.js';
import { RULES, findAccount, findClaims, isExempt, noticesMissingSession, refusal, rememberWayBack } from './requests.js';

/**
 * @param {import('./listener.js').LogoutListener} listener
 * @param {any} options
 */
export function connectMiddleware(listener, options) {
  if (typeof options?.originalUrl === 'string' || options?.socket) throw new TypeError('express makes the middleware: app.use(logout.express())');
  check(options, RULES, []);
  const { claims, account, loginUrl, exempt = [] } = options;
  const notice = noticesMissingSession(listener.log);
  return async (/** @type {any} */ request, /** @type {any} */ response, /** @type {(error?: unknown) => void} */ next) => {
    try {
      const path = (request.originalUrl ?? request.url).split('?')[0];
      if (isExempt(path, exempt)) return next();
      if (!claims) notice(request.session);
      const found = claims ? claims(request) : findClaims(request.session);
      if (!found) return next();
      const status = await listener.status(found, { account: account ? account(request) : findAccount(request.session) });
      if (status === 'live' || (status === 'unknown' && listener.whenUnknown === 'serve')) return next();
      if (status === 'ended') await dropSession(request);
      const header = (/** @type {string} */ name) => request.headers[name];
      const refused = refusal(status, { method: request.method, path, header, loginUrl });
      if (refused === undefined) return next();
      response.writeHead(refused.status, refused.headers);
      response.end(refused.body);
    } catch (error) {
      next(error);
    }
  };
}

/** A new, empty session in its place, in express-session, cookie-session and what is like them. */
async function dropSession(/** @type {any} */ request) {
  const { session } = request;
  if (!session) return;
  if (typeof session.regenerate === 'function') {
    await /** @type {Promise<void>} */ (new Promise((resolve, reject) => session.regenerate((/** @type {unknown} */ error) => (error ? reject(error) : resolve()))));
  } else {
    request.session = {};
  }
  rememberWayBack(request.session);
  // The answer may be sent before express-session saves by itself.
  if (typeof request.session?.save === 'function') {
    await new Promise((resolve) => request.session.save(resolve));
  }
}
