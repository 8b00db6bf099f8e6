// Fastify: register it after the session plugin (@fastify/session, @fastify/secure-session, @fastify/cookie with your own).

import { check } from './options.js';
import { RULES, judge, looksAt, rememberWayBack } from './requests.js';

/** @param {import('./listener.js').LogoutListener} listener */
export function fastifyPlugin(listener) {
  /** @param {any} fastify @param {any} options */
  async function plugin(fastify, options) {
    if (typeof fastify?.addHook !== 'function') throw new TypeError('fastify is the plugin itself: app.register(logout.fastify, { … })');
    const { prefix: _prefix, ...given } = options;
    check(given, RULES, []);
    const look = looksAt(listener, given, pathOf);
    fastify.addHook('preHandler', (/** @type {any} */ request, /** @type {any} */ reply, /** @type {(error?: unknown) => void} */ done) => {
      const asked = look(request, dataOf(request.session));
      if (asked === undefined) return done();
      const drop = () => dropSession(request);
      judge(listener, asked, { request, path: pathOf(request), loginUrl: given.loginUrl, drop })
        .then((refused) => {
          if (refused === undefined) return done();
          reply.code(refused.status).headers(refused.headers).send(refused.body);
        })
        .catch(done);
    });
  }
  // For the app around it, not for a scope of its own: what fastify-plugin does.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'logout-listener' });
}

const pathOf = (/** @type {any} */ request) => request.raw.url.split('?')[0];

/** @fastify/secure-session keeps its members behind get and set. */
const dataOf = (/** @type {any} */ session) => (typeof session?.data === 'function' ? session.data() : session);

async function dropSession(/** @type {any} */ request) {
  const { session } = request;
  if (!session) return;
  if (typeof session.data === 'function') {
    session.regenerate();
    session.set('logoutListener', { prompt: 'login' });
  } else if (typeof session.regenerate === 'function') {
    await session.regenerate();
    rememberWayBack(request.session);
  }
}
