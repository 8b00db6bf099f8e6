// The one text a session is kept by.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { sessionOf, toSession } from '../src/marks.js';

const claims = { iss: 'https://op.example', aud: 'shop', sub: 'alice', sid: 's1', auth_time: 900.5, iat: 901 };

describe('identity of a session', () => {
  for (const [what, changes, known] of [
    ['one client', {}],
    ['an account of its own, from a cache', {}, { account: 'uid.utid', isCached: true }],
    ['several clients', { aud: ['shop', 'portal'] }],
    ['neither sid nor dates', { sid: undefined, auth_time: undefined, iat: undefined }],
    ['the first second', { auth_time: 0 }],
    ['line breaks in it', { sub: 'ali\nce', aud: ['shop\n', '["portal"]'] }],
    ['JSON in it', { iss: '["https://op.example"]' }],
  ]) {
    it(`says all of it: ${what}`, () => {
      const session = toSession({ ...claims, ...changes }, known);
      assert.deepEqual(sessionOf(session.identity), session);
    });
  }

  it('is not that of another whose parts together are the same lines', () => {
    const [one, other] = [{ sub: 'alice\ns1', sid: 's2' }, { sub: 'alice', sid: 's1\ns2' }];
    assert.notEqual(toSession({ ...claims, ...one }).identity, toSession({ ...claims, ...other }).identity);
  });
});
