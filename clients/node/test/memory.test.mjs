// What an MSAL client object that lives on forgets when it hears of a logout.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { ConfidentialClientApplication } from '@azure/msal-node';

import { WatchedClient } from '../src/msal-memory.js';
import { claims, listening, LOGOUT_AT } from './stage.mjs';

const LOGOUT = { accounts: ['alice'], appliesTo: 'tenant', clientId: null, logoutAt: LOGOUT_AT, input: 'backchannel', reauthenticate: true };
const ORDER = { ...LOGOUT, input: 'admin' };

const CASES = [
  ['an earlier sign-in', LOGOUT, {}, true],
  ['a later sign-in', LOGOUT, { auth_time: LOGOUT_AT + 1 }, false],
  ['a date in milliseconds, which is none', LOGOUT, { auth_time: (LOGOUT_AT - 100) * 1000 }, true],
  ['a date that is a text, which is none', LOGOUT, { auth_time: `${LOGOUT_AT + 1}` }, true],
  ['an order, within the bound of the clocks', ORDER, { auth_time: LOGOUT_AT + 60 }, true],
  ['an order, beyond it', ORDER, { auth_time: LOGOUT_AT + 61 }, false],
  ['an order on sessions, given later', { ...ORDER, reauthenticate: false }, { iat: LOGOUT_AT + 61 }, false],
];

describe('a client object that hears of a logout', () => {
  for (const [name, eviction, changes, goes] of CASES) {
    it(`${goes ? 'forgets' : 'keeps'} tokens: ${name}`, async () => {
      const auth = { clientId: 'shop', clientSecret: 'x', authority: 'https://login.microsoftonline.com/common' };
      const client = new ConfidentialClientApplication({ auth });
      const of = { homeAccountId: 'alice', clientId: 'shop', credentialType: 'IdToken' };
      const secret = ['e30', Buffer.from(JSON.stringify(claims('alice', changes))).toString('base64url'), 'x'].join('.');
      client.getTokenCache().getKVStore().id = { ...of, secret };
      await new WatchedClient(await listening(), client).hear(eviction);
      assert.equal('id' in client.getTokenCache().getKVStore(), !goes);
    });
  }
});
