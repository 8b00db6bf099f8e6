// What the check costs a request: Express and Fastify with and without it, in one process, without sockets.
//
//     node test/request-cost.mjs [blocks]
//
// Blocks of 200 requests with and without alternate; the median of the differences within pairs, CPU microseconds.

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

const BLOCKS = Number(process.argv[2] ?? 60);
const REQUESTS = 200;
const SECRET = 'not a secret, and long enough to be one';
const CLAIMS = { iss: 'https://op.example', aud: 'shop', sub: 'alice', sid: 's1', auth_time: 900, iat: 900, name: 'Alice Example' };

function expressApp(logout) {
  const app = express();
  app.use(cookieSession({ secret: SECRET }));
  if (logout) app.use(logout.express());
  app.get('/sign-in', (request, response) => {
    request.session.user = { claims: CLAIMS };
    response.send('welcome');
  });
  app.get('/', (request, response) => response.send(request.session.user.claims.sub));
  return (request) => inject(app, request);
}

async function fastifyApp(logout) {
  const app = fastify();
  await app.register(fastifyCookie);
  await app.register(fastifySession, { secret: SECRET, cookie: { secure: false }, saveUninitialized: false });
  if (logout) await app.register(logout.fastify);
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
  const began = process.cpuUsage();
  for (let index = 0; index < REQUESTS; index += 1) {
    await call();
    // These calls never wait, and the listener needs its turn.
    if (index % 20 === 0) await new Promise(setImmediate);
  }
  const { user, system } = process.cpuUsage(began);
  return (user + system) / REQUESTS;
}

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

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
  console.log('| framework | without, CPU us | with | difference |\n|---|---|---|---|');
  for (const [name, make] of [['Express', expressApp], ['Fastify', fastifyApp]]) {
    const [bare, checked] = [await signedIn(await make()), await signedIn(await make(listener))];
    for (let index = 0; index < 10; index += 1) await block(index % 2 ? bare : checked);
    const before = await asked();
    const pairs = [];
    for (let index = 0; index < BLOCKS; index += 1) pairs.push([await block(bare), await block(checked)]);
    assert.equal(await asked(), before, 'Redis was asked while the time was taken');
    const difference = middle(pairs.map(([without, withIt]) => withIt - without));
    console.log(`| ${name} | ${middle(pairs.map(([without]) => without)).toFixed(1)} | ${middle(pairs.map(([, withIt]) => withIt)).toFixed(1)} | ${difference.toFixed(1)} |`);
  }
} finally {
  await listener.stop();
  redis.destroy();
  server.kill();
  await once(server, 'exit');
  await rm(directory, { recursive: true });
}
