// The types, used as an app uses them; compiled, never run.

import { createClient } from 'redis';
import { Redis } from 'ioredis';

import { authorizationParams, createListener, type Eviction, type Health, type Status } from '../index.js';

const listener = createListener({
  redis: createClient(),
  app: 'shop',
  onEviction: async ({ sub, accounts }: Eviction) => void [sub, accounts],
  onMetric: (name, count) => void [name, count],
});
createListener({ redis: new Redis({ lazyConnect: true }), app: 'shop', whenUnknown: 'refuse', api: { url: 'http://receiver', token: 't' } });
// @ts-expect-error it has no such value
createListener({ redis: createClient(), app: 'shop', whenUnknown: 'guess' });
// @ts-expect-error the app's name is missing
createListener({ redis: createClient() });

const middleware: (request: any, response: any, next: () => void) => void = listener.express({ loginUrl: '/sign-in', exempt: ['/static/'] });
const status: Status = await listener.status({ iss: 'https://op', sub: 'u', aud: 'c' }, { account: 'a' });
const begun: Status = await listener.signIn({ iss: 'https://op', sub: 'u', aud: 'c' }, { account: 'a', keys: ['k'], session: {} });
const health: Health = listener.health();
const started: boolean = await listener.start({ signal: AbortSignal.timeout(1000) });
void [status, begun, health, started, middleware, authorizationParams({}).prompt];
