// What the check costs a request: Express and Fastify with and without it, in one process, without sockets.
//
//     node test/request-cost.mjs [blocks]
//
// CPU microseconds of the process for one request: without the check, with a middleware (or hook) that does nothing in its place, and
// with the check. Blocks of 10 requests take turns. The lower quartile of each is shown, as other programs on the machine only ever
// make a block dearer; and the difference of the means, in which the garbage collector is counted.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fastifyCookie from '@fastify/cookie';
import fastifySession from '@fastify/session';
import cookieSession from 'cookie-session';
import express from 'express';
import fastify from 'fastify';
import inject from 'light-my-request';
import { createClient } from 'redis';

import { createListener } from '../src/index.js';

const BLOCKS = Number(process.argv[2] ?? 2000);
const REQUESTS = 10;
const SECRET = 'not a secret, and long enough to be one';
const CLAIMS = { iss: 'https://op.example', aud: 'shop', sub: 'alice', sid: 's1', auth_time: 900, iat: 900, name: 'Alice Example' };

function expressApp(middleware) {
  const app = express();
  app.use(cookieSession({ secret: SECRET }));
  if (middleware) app.use(middleware);
  app.get('/sign-in', (request, response) => {
    request.session.user = { claims: CLAIMS };
    response.send('welcome');
  });
  app.get('/', (request, response) => response.send(request.session.user.claims.sub));
  return (request) => inject(app, request);
}

async function fastifyApp(plugin) {
  const app = fastify();
  await app.register(fastifyCookie);
  await app.register(fastifySession, { secret: SECRET, cookie: { secure: false }, saveUninitialized: false });
  if (plugin) await app.register(plugin);
  app.get('/sign-in', async (request) => {
    request.session.user = { claims: CLAIMS };
    return 'welcome';
  });
  app.get('/', async (request) => request.session.user.claims.sub);
  await app.ready();
  return (request) => app.inject(request);
}

/** Answers `GET /` of a signed-in user. */
async function signedIn(send) {
  const first = await send({ method: 'GET', url: '/sign-in' });
  const cookie = [first.headers['set-cookie']].flat().map((line) => line.split(';')[0]).join('; ');
  const request = { method: 'GET', url: '/', headers: { cookie } };
  assert.equal((await send(request)).payload, 'alice');
  return () => send(request);
}

async function block(call) {
  // These calls never wait, and the listener needs its turn.
  await new Promise(setImmediate);
  const began = process.cpuUsage();
  for (let index = 0; index < REQUESTS; index += 1) await call();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / REQUESTS;
}

const quartile = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 4)];
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const nothing = async (app) => app.addHook('preHandler', (_request, _reply, done) => done());
nothing[Symbol.for('skip-override')] = true;

const directory = await mkdtemp(join(tmpdir(), 'listener-cost-'));
const path = join(directory, 'redis.sock');
const server = spawn('redis-server', ['--port', '0', '--unixsocket', path, '--save', '', '--dir', directory], { stdio: 'pipe' });
for await (const chunk of server.stdout) if (`${chunk}`.includes('ready to accept')) break;
const redis = createClient({ socket: { path } });
await redis.connect();
// As a receiver leaves it: without an epoch a listener may be too early for an answer that lasts.
await redis.set('{logout}:mark:epoch', '0');
const asked = async () => /cmdstat_mget:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1];
const listener = createListener({ redis, app: 'shop', clientId: 'shop', log: { info() {}, warn() {}, error() {} } });
await listener.start();
try {
  console.log('| framework | without | nothing in its place | with | difference | ratio | of the means |\n|---|---|---|---|---|---|---|');
  for (const [name, make, sides] of [
    ['Express', expressApp, [undefined, (_request, _response, next) => next(), listener.express()]],
    ['Fastify', fastifyApp, [undefined, nothing, listener.fastify]],
  ]) {
    const calls = [];
    for (const side of sides) calls.push(await signedIn(await make(side)));
    for (let index = 0; index < 300; index += 1) await block(calls[index % 3]);
    const before = await asked();
    const taken = calls.map(() => []);
    for (let index = 0; index < 3 * BLOCKS; index += 1) {
      // Each comes after each other one as often: A B C, C B A.
      const side = index % 6 < 3 ? index % 3 : 2 - (index % 3);
      taken[side].push(await block(calls[side]));
    }
    assert.equal(await asked(), before, 'Redis was asked while the time was taken');
    const [bare, empty, checked] = taken.map(quartile);
    const shown = [bare, empty, checked, checked - bare].map((value) => value.toFixed(1));
    console.log(`| ${[name, ...shown, (checked / bare).toFixed(2), (mean(taken[2]) - mean(taken[0])).toFixed(1)].join(' | ')} |`);
  }
} finally {
  await listener.stop();
  redis.destroy();
  server.kill();
  await once(server, 'exit');
  await rm(directory, { recursive: true });
}
