// The number a session is known by.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { toSession } from '../src/marks.js';

const claims = { iss: 'https://op.example', aud: 'shop', sub: 'alice', sid: 's1', auth_time: 900.5, iat: 901 };

describe('identity of a session', () => {
  const identity = (changes, known) => toSession({ ...claims, ...changes }, known).identity;

  it('is another where any part is', () => {
    const others = [
      [{ iss: 'https://other.example' }],
      [{ sub: 'bob' }],
      [{ sid: 's2' }],
      [{ sid: undefined }],
      [{ auth_time: 900 }],
      [{ auth_time: undefined }],
      [{ auth_time: 0 }],
      [{ iat: 902 }],
      [{ aud: 'portal' }],
      [{ aud: ['shop', 'portal'] }],
      [{}, { account: 'uid.utid' }],
      [{}, { isCached: true }],
    ].map(([changes, known]) => identity(changes, known));
    assert.equal(new Set([identity({}), identity({}), ...others]).size, 1 + others.length);
  });

  it('is not that of another whose parts together are the same text', () => {
    const [one, other] = [{ sub: 'alices', sid: '1' }, { sub: 'alice', sid: 's1' }];
    assert.notEqual(identity(one), identity(other));
  });
});
