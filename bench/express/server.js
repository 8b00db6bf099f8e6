// express-openid-connect as its manual sets it up: sessions and logouts in one Redis. Says its URL on stdout.
import { RedisStore } from "connect-redis";
import express from "express";
import openid from "express-openid-connect";
import { createClient } from "redis";

const { REDIS_URL, ISSUER } = process.env;
const client = createClient({ url: REDIS_URL });
await client.connect();
const store = new RedisStore({ client });

const app = express();
app.use(
  openid.auth({
    issuerBaseURL: ISSUER,
    baseURL: "http://127.0.0.1",
    clientID: "c1",
    secret: "a secret of at least thirty-two characters",
    idpLogout: true,
    authRequired: false,
    session: { store },
    backchannelLogout: true,
  }),
);
const listening = app.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "startup", url: `http://127.0.0.1:${listening.address().port}` }));
});
