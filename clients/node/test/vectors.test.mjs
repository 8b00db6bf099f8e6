// The decisions of the receiver's own code, from docs/schemas/listener-vectors.json.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { Cursor } from '../src/cursor.js';
import { BadEventError, readEvent, readNumber } from '../src/event.js';
import { HeardMarks, namesOf } from '../src/heard.js';
import { Look, clientSuffix, digest, toSession } from '../src/marks.js';
import { judgeUndated } from '../src/msal.js';

const place = process.env.VECTORS ?? new URL('../../../docs/schemas/listener-vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(place, 'utf8'));
const session = ({ claims, account }) => toSession(claims, { account, clientId: vectors.client_id });

describe('vectors', () => {
  it('digests and suffixes', () => {
    for (const { kind, iss, value, digest: expected, client_id, suffix } of vectors.digests) {
      if (kind) assert.equal(digest(kind, iss, value), expected);
      else assert.equal(clientSuffix(client_id), suffix);
    }
  });

  it('sessions: the keys that are read, and whether it is over', () => {
    for (const vector of vectors.sessions) {
      const look = new Look(session(vector));
      assert.deepEqual(look.names.map((name) => `{logout}:mark:${name}`), [...vector.keys, ...vector.anew], vector.name);
      assert.equal(look.answer(look.names.map((name) => vector.marks[name] ?? null)).over, vector.over, vector.name);
    }
  });

  it('heard: what an event says of a session', () => {
    for (const vector of vectors.heard) {
      const marks = new HeardMarks();
      marks.note(readEvent(JSON.stringify(vector.event)), 1);
      const heard = marks.judge(namesOf(session(vector)));
      assert.equal(heard === undefined ? 'unknown' : heard.isOver ? 'ended' : 'ask', vector.answer, vector.name);
    }
  });

  it('events that are handled, and that are not', () => {
    for (const { name, event, handled } of vectors.events) {
      const read = () => readEvent(Buffer.from(event));
      if (handled) assert.doesNotThrow(read, name);
      else assert.throws(read, BadEventError, name);
    }
  });

  it('numbers: where there is a gap', () => {
    for (const { numbers, gaps } of vectors.numbers) {
      let cursor = new Cursor();
      const found = [];
      numbers.forEach((text, index) => {
        const number = readNumber(text ?? undefined);
        if (!cursor.follows(number)) found.push(index);
        cursor = cursor.after({ id: `${index + 1}-0`, number });
      });
      assert.deepEqual(found, gaps, JSON.stringify(numbers));
    }
  });

  it('values whose tokens have no auth_time', () => {
    const undated = vectors.values.filter(({ name }) => name.startsWith('user, undated'));
    assert.ok(undated.length > 0);
    for (const { name, value, marks, verdicts } of undated) {
      const oldestAt = Number(value.AccessToken.at.cached_at) || undefined;
      assert.equal(judgeUndated({ userAt: marks.user_at, iat: undefined, oldestAt }), verdicts['u c1'], name);
    }
  });
});
