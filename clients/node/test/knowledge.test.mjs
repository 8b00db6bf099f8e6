// What one process knows of sessions, and what it forgets.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Knowledge } from '../src/knowledge.js';
import { toSession } from '../src/marks.js';
import { Table } from '../src/table.js';

/** More than are kept of anything. */
const MANY = 100_000;

const session = (sub, changes) => toSession({ iss: 'https://op.example', aud: 'shop', sub, sid: `s-${sub}`, auth_time: 900, iat: 901, ...changes });
const logout = (sub, changes) => ({
  ...{ iss: 'https://op.example', sub, sid: null, scope: 'user', accounts: [], logoutAt: 1_000, clientId: 'shop', appliesTo: 'tenant' },
  ...{ input: 'oidc', reauthenticate: true, ...changes },
});

function begin() {
  let now = 1;
  const knowledge = new Knowledge(() => now);
  return {
    knowledge,
    live: (asked, isNewer = false) => knowledge.learnLive(asked, { askedAt: now, hasEpoch: true, isNewer }),
    hear: (eviction) => ((now += 1), knowledge.note(eviction)),
    status: (asked) => knowledge.status(asked, true),
  };
}

describe('knowledge', () => {
  it('keeps what is over, and not what is live, over more logouts than it keeps', () => {
    const { live, hear, status } = begin();
    const [alice, bob, carol, dave] = ['alice', 'bob', 'carol', 'dave'].map((sub) => session(sub));
    const erin = session('erin', { aud: ['shop', 'portal'] });
    for (const asked of [alice, bob, carol, erin]) live(asked);
    live(dave, true);
    hear(logout('alice'));
    hear(logout('carol', { appliesTo: 'client', clientId: 'portal' }));
    hear(logout('dave'));
    hear(logout('erin', { appliesTo: 'client', clientId: 'portal' }));
    for (let number = 0; number < MANY; number++) hear(logout(`other-${number}`));
    const found = [alice, bob, carol, dave, erin].map(status);
    assert.deepEqual(found, ['ended', 'live', 'unknown', 'unknown', 'ended'], 'alice, bob, carol, dave, erin');
  });

  it('asks again about those it was told of first, with more sessions than it keeps', () => {
    const { live, status } = begin();
    live(session('first'));
    for (let number = 0; number < MANY; number++) live(session(`other-${number}`));
    assert.deepEqual([session('first'), session('other-0'), session(`other-${MANY - 1}`)].map(status), ['unknown', 'unknown', 'live']);
  });

  it('keeps one that is asked about again and again', () => {
    const { live, status } = begin();
    for (let number = 0; number < 2 * MANY; number++) {
      if (number % 1_000 === 0) live(session('alice'));
      live(session(`other-${number}`));
    }
    assert.equal(status(session('alice')), 'live');
  });

  it('tells sessions of very many clients apart', () => {
    const { live, hear, status } = begin();
    const of = (number) => session(`user-${number}`, { aud: `client-${number}` });
    for (let number = 0; number < 15_000; number++) live(of(number));
    hear(logout('user-14000', { appliesTo: 'client', clientId: 'client-14000' }));
    hear(logout('user-14001', { appliesTo: 'client', clientId: 'client-14000' }));
    for (let number = 0; number < MANY; number++) hear(logout(`other-${number}`));
    assert.deepEqual([0, 14_000, 14_001, 14_002].map((number) => status(of(number))), ['unknown', 'ended', 'unknown', 'live']);
  });

  it('has no more memory for a million of each than it began with', () => {
    const { live, hear } = begin();
    live(session('alice'));
    for (const times of [MANY, 5 * MANY]) {
      for (let number = 0; number < times; number++) {
        live(session(`seen-${times}-${number}`));
        hear(logout(`over-${times}-${number}`));
      }
    }
    const { arrayBuffers, heapUsed } = (globalThis.gc?.(), process.memoryUsage());
    assert.ok(arrayBuffers + heapUsed < 100 * 2 ** 20, `${Math.round((arrayBuffers + heapUsed) / 2 ** 20)} MiB`);
  });
});

describe('table', () => {
  it('has the newest as they were written, and no other', () => {
    const [table, map] = [new Table(64, 2), new Map()];
    // Forty keys that meet in one place; half of them are deleted now and then.
    for (let step = 1; step <= 3_000; step++) {
      const key = ((step * 7919) % 40) * 64 + 1;
      if (step % 3 === 0) {
        table.delete(key);
        map.delete(key);
        assert.equal(table.find(key), -1);
      } else {
        table.rows[table.add(key) + 1] = step;
        map.set(key, step);
        assert.equal(table.rows[table.find(key) + 1], step);
      }
      const rows = [...table.places()].map((row) => [table.rows[row], table.rows[row + 1]]);
      assert.ok(rows.every(([found, value]) => map.get(found) === value));
      assert.equal(new Set(rows.map(([found]) => found)).size, rows.length);
    }
  });

  it('holds what three quarters of a half has room for, and up to twice as much', () => {
    const table = new Table(64, 1);
    for (let key = 1; key <= 96; key++) table.add(key);
    assert.equal([...table.places()].length, 96);
    table.add(97);
    assert.deepEqual([1, 48, 49, 97].map((key) => table.find(key) !== -1), [false, false, true, true]);
  });
});
