// Fastify: register it after the session plugin (@fastify/session, @fastify/secure-session, @fastify/cookie with your own).

import { check } from './options.js';
import { RULES, findAccount, findClaims, isExempt, noticesMissingSession, refusal, rememberWayBack } from './requests.js';

/** @param {import('./listener.js').LogoutListener} listener */
export function fastifyPlugin(listener) {
  /** @param {any} fastify @param {any} options */
  async function plugin(fastify, options) {
    if (typeof fastify?.addHook !== 'function') throw new TypeError('fastify is the plugin itself: app.register(logout.fastify, { … })');
    const { prefix: _prefix, ...given } = options;
    check(given, RULES, []);
    const { claims, account, loginUrl, exempt = [] } = given;
    const notice = noticesMissingSession(listener.log);
    fastify.addHook('preHandler', async (/** @type {any} */ request, /** @type {any} */ reply) => {
      const path = request.raw.url.split('?')[0];
      if (isExempt(path, exempt)) return undefined;
      const data = dataOf(request.session);
      if (!claims) notice(request.session);
      const found = claims ? claims(request) : findClaims(data);
      if (!found) return undefined;
      const status = await listener.status(found, { account: account ? account(request) : findAccount(data) });
      if (status === 'live' || (status === 'unknown' && listener.whenUnknown === 'serve')) return undefined;
      if (status === 'ended') await dropSession(request);
      const header = (/** @type {string} */ name) => request.headers[name];
      const refused = refusal(status, { method: request.method, path, header, loginUrl });
      if (refused === undefined) return undefined;
      return reply.code(refused.status).headers(refused.headers).send(refused.body);
    });
  }
  // For the app around it, not for a scope of its own: what fastify-plugin does.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'logout-listener' });
}

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
