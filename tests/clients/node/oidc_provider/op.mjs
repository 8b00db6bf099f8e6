// node-oidc-provider with its own pages for signing in: any name and password are good. Its one client is the app.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import Provider from 'oidc-provider';

const { PORT, APP_URL, LOGOUT_URL, CERTIFICATE, KEY } = process.env;
const provider = new Provider(`https://localhost:${PORT}`, {
  clients: [{
    client_id: 'portal', client_secret: 'secret', redirect_uris: [`${APP_URL}/callback`],
    backchannel_logout_uri: LOGOUT_URL, backchannel_logout_session_required: true,
  }],
  cookies: { keys: ['not a secret'] },
  features: { backchannelLogout: { enabled: true } },
  // Its own dispatcher refuses the addresses of this machine.
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
});
for (const event of ['backchannel.success', 'backchannel.error', 'server_error']) {
  provider.on(event, (_ctx, ...said) => console.log(event, ...said.map((one) => (one instanceof Error ? one.message : ''))));
}
createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, provider.callback())
  .listen(Number(PORT), '127.0.0.1', () => console.log(JSON.stringify({ event: 'startup' })));
