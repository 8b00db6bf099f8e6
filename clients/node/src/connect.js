// Express and connect: put it right after the session middleware.

import { check } from './options.js';
import { RULES, judge, looksAt, rememberWayBack } from './requests.js';

/**
 * @param {import('./listener.js').LogoutListener} listener
 * @param {any} options
 */
export function connectMiddleware(listener, options) {
  if (typeof options?.originalUrl === 'string' || options?.socket) throw new TypeError('express makes the middleware: app.use(logout.express())');
  check(options, RULES, []);
  const look = looksAt(listener, options, routedPathOf);
  return (/** @type {any} */ request, /** @type {any} */ response, /** @type {(error?: unknown) => void} */ next) => {
    let asked;
    try {
      asked = look(request, request.session);
    } catch (error) {
      return next(error);
    }
    if (asked === undefined) return next();
    const drop = () => dropSession(request);
    judge(listener, asked, { request, path: pathOf(request), loginUrl: options.loginUrl, drop })
      .then((refused) => {
        if (refused === undefined) return next();
        response.writeHead(refused.status, refused.headers);
        response.end(refused.body);
      })
      .catch(next);
  };
}

const pathOf = (/** @type {any} */ request) => (request.originalUrl ?? request.url).split('?')[0];

// Without the path that a router is mounted at: below a parameter the client chooses that.
const routedPathOf = (/** @type {any} */ request) => request.url.split('?')[0];

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
