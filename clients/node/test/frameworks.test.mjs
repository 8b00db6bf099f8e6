// Requests in Express, with sessions in a store and in a cookie, and in Fastify.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get, ServerResponse } from 'node:http';
import { after, describe, it } from 'node:test';

import fastifyCookie from '@fastify/cookie';
import fastifySession from '@fastify/session';
import cookieSession from 'cookie-session';
import express from 'express';
import session from 'express-session';
import fastify from 'fastify';

import { authorizationParams } from '../src/index.js';
import { isExempt } from '../src/requests.js';
import { claims, listening, LOGOUT_AT, signOut, until } from './stage.mjs';

const SECRET = 'not a secret, and long enough to be one';
const closing = [];
after(() => Promise.all(closing.map((close) => close())));

const users = { alice: claims('alice'), bob: claims('bob'), again: claims('alice', { sid: 'new', auth_time: LOGOUT_AT + 1 }) };

async function expressApp(sessions, logout, options) {
  const app = express();
  app.use(sessions, logout.express(options));
  app.get('/sign-in/:user', (request, response) => {
    const params = authorizationParams(request.session);
    request.session.user = { claims: users[request.params.user] };
    delete request.session.logoutListener;
    response.json(params);
  });
  app.get('/', (request, response) => response.json({ user: request.session.user?.claims.sub ?? null }));
  app.get('/open/x', (request, response) => response.json({ open: true }));
  const server = app.listen(0);
  await once(server, 'listening');
  closing.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
  return `http://127.0.0.1:${server.address().port}`;
}

async function fastifyApp(logout, options) {
  const app = fastify();
  await app.register(fastifyCookie);
  await app.register(fastifySession, { secret: SECRET, cookie: { secure: false } });
  await app.register(logout.fastify, options);
  app.get('/sign-in/:user', async (request) => {
    const params = authorizationParams(request.session);
    request.session.user = { claims: users[request.params.user] };
    delete request.session.logoutListener;
    return params;
  });
  app.get('/', async (request) => ({ user: request.session.user?.claims.sub ?? null }));
  app.get('/open/x', async () => ({ open: true }));
  const address = await app.listen({ port: 0, host: '127.0.0.1' });
  closing.push(() => app.close());
  return address;
}

const apps = {
  'Express, sessions in a store': (logout, options) =>
    expressApp(session({ secret: SECRET, resave: false, saveUninitialized: false }), logout, options),
  'Express, sessions in a cookie': (logout, options) => expressApp(cookieSession({ secret: SECRET }), logout, options),
  Fastify: fastifyApp,
};

/** One browser: keeps its cookies. */
function browser(base) {
  const jar = new Map();
  return async (path, headers = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    // Not with fetch, which says for itself how it asks.
    const [response] = await once(get(base + path, { headers: { cookie, ...headers } }), 'response');
    for (const line of response.headers['set-cookie'] ?? []) {
      const [name, value] = line.split(';')[0].split(/=(.*)/s);
      jar.set(name, value);
    }
    const text = (await response.setEncoding('utf8').toArray()).join('');
    return { status: response.statusCode, location: response.headers.location, body: text.startsWith('{') ? JSON.parse(text) : undefined };
  };
}

for (const [name, start] of Object.entries(apps)) {
  describe(name, () => {
    it('refuses a session that is over, once, and asks the OP for a login after that', async () => {
      const base = await start(await listening(), { exempt: ['/open/'] });
      const [alice, bob] = [browser(base), browser(base)];
      for (const [browse, user] of [[alice, 'alice'], [bob, 'bob']]) {
        assert.deepEqual((await browse(`/sign-in/${user}`)).body, {});
        assert.deepEqual((await browse('/')).body, { user });
      }
      await signOut('alice', { sid: 'sid-alice' });
      await until(async () => (await alice('/')).status === 401);
      assert.deepEqual((await bob('/')).body, { user: 'bob' });
      assert.deepEqual((await alice('/')).body, { user: null });
      assert.deepEqual((await alice('/sign-in/again')).body, { prompt: 'login' });
      assert.deepEqual((await alice('/')).body, { user: 'alice' });
      assert.deepEqual((await alice('/sign-in/again')).body, {});
    });

    it('sends a browser to sign in, and others away', async () => {
      const base = await start(await listening(), { loginUrl: '/sign-in/again', exempt: ['/open/'] });
      const alice = browser(base);
      await alice('/sign-in/alice');
      await signOut('alice');
      await until(async () => (await alice('/', { 'sec-fetch-mode': 'navigate' })).status === 302);
      assert.equal((await alice('/open/x')).status, 200);
      await alice('/sign-in/alice');
      const refused = await alice('/', { accept: 'application/json' });
      assert.deepEqual([refused.status, refused.body], [401, { error: 'signed_out' }]);
    });

    it("hands the framework what the app's own function throws", async () => {
      const claims = () => assert.fail('no claims today');
      const base = await start(await listening(), { claims, exempt: ['/open/'] });
      assert.deepEqual([(await browser(base)('/')).status, (await browser(base)('/open/x')).status], [500, 200]);
    });
  });
}

describe('put in the wrong way', () => {
  it('the middleware uncalled, the plugin called: a sentence', async () => {
    const logout = await listening();
    const app = express();
    app.use(logout.express.bind(logout), (error, _request, response, _next) => response.json({ error: error.message }));
    const server = app.listen(0);
    await once(server, 'listening');
    closing.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
    const { body } = await browser(`http://127.0.0.1:${server.address().port}`)('/');
    assert.match(body.error, /app\.use\(logout\.express\(\)\)/);
    await assert.rejects(logout.fastify(), /app\.register\(logout\.fastify/);
  });

  it('before the sessions: said once', async () => {
    const said = [];
    const logout = await listening({ log: { warn: (line) => said.push(line), error() {} } });
    const base = await expressApp((_request, _response, next) => next(), logout, {});
    for (let times = 0; times < 2; times++) await browser(base)('/open/x');
    assert.deepEqual(said.filter((line) => line.includes('after the session middleware')).length, 1);
  });
});

/** An app with the lines of the page for WebSockets, and a browser that is signed in. `store`: where its sessions are. */
async function withWebSockets(logout, store) {
  const page = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const [, lines] = page.match(/```js\n(const sessions = [^`]+)```/);
  const sessions = session({ secret: SECRET, resave: false, saveUninitialized: false, store });
  const app = express().use(sessions, logout.express());
  app.get('/sign-in', (request, response) => ((request.session.claims = users.alice), response.end()));
  const server = app.listen(0);
  await once(server, 'listening');
  closing.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
  const websockets = new EventEmitter();
  const closed = [];
  websockets.handleUpgrade = (request, socket, head, then) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    const opened = new EventEmitter();
    opened.close = (code) => (closed.push(code), socket.destroy());
    socket.on('end', () => socket.destroy()).on('close', () => opened.emit('close')).resume();
    closing.push(() => socket.destroy());
    then(opened);
  };
  const found = {};
  const createListener = (handlers) => Object.assign(found, handlers);
  const given = { server, websockets, logout, ServerResponse, createListener, session: () => sessions };
  const sockets = new Function(...Object.keys(given), `${lines.replace(/…,?/g, '')}; return sockets;`)(...Object.values(given));
  const { port } = server.address();
  const [signedIn] = await once(get({ port, path: '/sign-in' }), 'response');
  signedIn.resume();
  const cookie = signedIn.headers['set-cookie'][0].split(';')[0];
  const ask = () => get({ port, path: '/chat', headers: { cookie, connection: 'upgrade', upgrade: 'websocket' } });
  /** @returns its status, and what closes it */
  const handshake = async () => {
    const request = ask();
    const [answer, socket] = await Promise.race([once(request, 'upgrade'), once(request, 'response')]);
    answer.resume();
    return { status: answer.statusCode, leave: () => socket?.destroy() };
  };
  return { ...found, sockets, server, websockets, closed, ask, handshake };
}

describe("a WebSocket's handshake, which passes no middleware of Express, with the lines of the page", () => {
  it('is refused after a logout, and what is open is closed; what was closed before is forgotten', async () => {
    let evicted;
    const logout = await listening({ onEviction: () => evicted() });
    const { sockets, onEviction, websockets, closed, handshake } = await withWebSockets(logout);
    evicted = onEviction;
    let connections = 0;
    websockets.on('connection', () => (connections += 1));
    const first = await handshake();
    first.leave();
    await until(() => sockets.size === 0);
    assert.deepEqual([first.status, (await handshake()).status, connections], [101, 101, 2]);
    await signOut('alice');
    await until(() => closed.length > 0 && sockets.size === 0);
    assert.deepEqual(closed, [1008]);
    assert.equal((await handshake()).status, 401);
  });

  it('closes nothing of a live user while Redis is away, where requests are refused meanwhile', async () => {
    const logout = await listening({ whenUnknown: 'refuse' });
    const { onEviction, onReset, closed, handshake } = await withWebSockets(logout);
    assert.equal((await handshake()).status, 101);
    await logout.stop();
    await until(() => logout.isSignedOut(users.alice));
    await onEviction();
    await onReset();
    assert.deepEqual(closed, []);
  });

  it('is refused where the store of sessions is away', async () => {
    const store = new session.MemoryStore();
    const { handshake } = await withWebSockets(await listening(), store);
    store.get = (id, then) => then(new Error('the store is away'));
    assert.equal((await handshake()).status, 401);
  });

  it('is no error where the client leaves before it is answered', async () => {
    const store = new session.MemoryStore();
    const { server, ask } = await withWebSockets(await listening(), store);
    const looked = new Promise((resolve) => (store.get = resolve));
    const request = ask().on('error', () => {});
    const [, socket] = await once(server, 'upgrade');
    await looked;
    const gone = new Promise((resolve) => socket.on('close', resolve));
    request.socket.resetAndDestroy();
    await gone;
  });
});

describe('exempt paths', () => {
  it('are exact, or all below, and never in a disguise', () => {
    const exempt = ['/healthz', '/static/'];
    for (const path of ['/healthz', '/static/', '/static/a/b.css']) assert.equal(isExempt(path, exempt), true, path);
    for (const path of ['/healthz/', '/static', '/static/../x', '/static/%2e%2e/x', '/static//x', '/static/..', '/']) {
      assert.equal(isExempt(path, exempt), false, path);
    }
  });
});

describe('a router mounted below a parameter', () => {
  it('has exempt paths of its own: the client cannot choose one by the parameter', async () => {
    const logout = await listening();
    const router = express.Router({ mergeParams: true });
    router.use(logout.express({ claims: () => assert.fail('asked'), exempt: ['/static/'] }));
    router.get(['/account', '/static/style'], (request, response) => response.json({ tenant: request.params.tenant }));
    const app = express().use(session({ secret: SECRET, resave: false, saveUninitialized: false }), express.Router().use('/:tenant', router));
    const server = app.listen(0);
    await once(server, 'listening');
    closing.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
    const browse = browser(`http://127.0.0.1:${server.address().port}`);
    assert.deepEqual([(await browse('/static/account')).status, (await browse('/shop/static/style')).status], [500, 200]);
  });
});

describe('what cannot be told', () => {
  for (const whenUnknown of ['serve', 'refuse']) {
    it(`is ${whenUnknown === 'serve' ? 'served' : 'refused'}, as the app chose`, async () => {
      const { createClient } = await import('redis');
      const { createListener } = await import('../src/index.js');
      const away = createListener({ redis: createClient({ url: 'redis://127.0.0.1:1' }), app: 'shop', waitMs: 500, whenUnknown, log: { warn() {}, error() {} } });
      assert.equal(await away.start({ withinMs: 200 }), false);
      const browse = browser(await apps['Express, sessions in a cookie'](away));
      await browse('/sign-in/alice');
      assert.equal((await browse('/')).status, whenUnknown === 'serve' ? 200 : 503);
      await away.stop();
    });
  }
});
