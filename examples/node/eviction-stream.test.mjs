import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from 'redis';

import { LOGOUT_AT, claims, listening, loseRedis, publish, redis, socket, until } from './stage.mjs';

describe('listening', () => {
  it('hears what was published before the start and after it', async () => {
    await publish({ sub: 'alice' });
    const receiver = await listening();
    assert.equal(receiver.isSignedOut(claims('alice')), true);
    assert.equal(receiver.isSignedOut(claims('bob')), false);
    await publish({ sub: 'bob' });
    await until(() => receiver.isSignedOut(claims('bob')));
  });

  it('looks back no further than it is told', async () => {
    await publish({ sub: 'alice' });
    await sleep(5);
    const receiver = await listening({ lookbackS: 0 });
    assert.equal(receiver.isSignedOut(claims('alice')), false);
  });

  it('works with a client that speaks RESP2', async () => {
    const client = createClient({ socket: socket(), RESP: 2 });
    await client.connect();
    await publish({ sub: 'alice' });
    const receiver = await listening({ client });
    assert.equal(receiver.isSignedOut(claims('alice')), true);
    await receiver.stop();
    client.destroy();
  });

  it('ends everybody when entries are missing, and a later sign-in lives', async () => {
    const resets = [];
    const receiver = await listening({ onReset: (why) => resets.push(why) });
    await publish({ sub: 'alice' });
    await until(() => receiver.isSignedOut(claims('alice')));
    await publish({ sub: 'carol' }, { n: 3 });
    await until(() => resets.length === 1);
    assert.equal(receiver.isSignedOut(claims('bob')), true);
    assert.equal(receiver.isSignedOut(claims('bob', { auth_time: Date.now() / 1000 + 1 })), false);
  });

  it('sees the gap right behind its start', async () => {
    await publish({ sub: 'alice' });
    await sleep(5);
    const resets = [];
    await listening({ lookbackS: 0, onReset: (why) => resets.push(why) });
    await publish({ sub: 'bob' }, { n: 3 });
    await until(() => resets.length === 1);
  });

  it('waits out a Redis that dies, and notices that it came back without its data', async () => {
    const resets = [];
    const receiver = await listening({ onReset: (why) => resets.push(why) });
    await publish({ sub: 'alice' });
    await until(() => receiver.isSignedOut(claims('alice')));
    await loseRedis();
    await publish({ sub: 'bob' });
    await until(() => resets.length === 1);
    await until(() => receiver.isSignedOut(claims('bob', { auth_time: LOGOUT_AT })));
  });

  it('goes on after a handler that fails and an entry it cannot read, and acknowledges neither', async () => {
    const seen = [];
    await listening({
      onEviction({ sub }) {
        seen.push(sub);
        if (sub === 'alice') throw new Error('no');
      },
    });
    await publish({ sub: 'alice' });
    await publish({ sub: 'x' }, { type: 'logout-receiver.eviction.v9' });
    await publish({ sub: 'bob' });
    await until(() => redis.exists('{logout}:acks:event-3'));
    assert.deepEqual(seen, ['alice', 'bob']);
    assert.equal(await redis.exists(['{logout}:acks:event-1', '{logout}:acks:event-2']), 0);
    const [member] = await redis.zRange('{logout}:instances', 0, -1);
    assert.match(member, /^shop\//);
  });

  it('says goodbye when it stops', async () => {
    const receiver = await listening();
    await until(() => redis.zCard('{logout}:instances'));
    await receiver.stop();
    assert.equal(await redis.zCard('{logout}:instances'), 0);
  });
});
