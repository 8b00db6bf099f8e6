// The rules of the examples' shared files, over values that the real libraries wrote. Prints one line a check.

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Text.RegularExpressions;
using System.Web.Script.Serialization;
using LogoutReceiver;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

public static class Checks
{
    private const string Alice = "a11ce000-0000-0000-0000-00000000000a.11111111-1111-1111-1111-111111111111";
    private const string AppOnly =
        "aaaaaaaa-0000-0000-0000-000000000001_11111111-1111-1111-1111-111111111111_AppTokenCache";

    /// <summary>When alice authenticated in the recordings.</summary>
    private const long AuthTime = 1795226959;

    private static string _recordings;

    public static void Main(string[] arguments)
    {
        _recordings = arguments[0];
        foreach (bool encrypt in new[] { false, true })
        {
            string how = encrypt ? " (encrypted)" : string.Empty;
            Session(new Rig(encrypt), how);
            Doubt(new Rig(encrypt), how);
            Races(encrypt, how);
            Others(encrypt, how);
        }

        Cookies();
    }

    private static void Session(Rig rig, string how)
    {
        byte[] alice = Recorded("entra-two-apps", "webapps:" + Alice);
        rig.Write(Alice, alice);
        Check("nobody signed out: written as given" + how, rig.Shared(Alice) == Convert.ToBase64String(rig.Protect(alice)));

        rig.SignedOut.Note(Event("sid-alice-1", "pairwise-alice-aaaa", false, AuthTime + 10, Alice));
        Check("marked: not read" + how, rig.Read(Alice) == null);
        rig.Cache.ForgetAsync(Alice).Wait();
        Check("forgotten in memory and in the shared cache" + how, rig.IsEmpty);
        rig.Write(Alice, alice);
        Check("a refresh in flight is not written" + how, rig.IsEmpty);

        byte[] later = Changed(alice, claims => claims
            .Replace("sid-alice-1", "sid-alice-2")
            .Replace("\"auth_time\":" + AuthTime, "\"auth_time\":" + (AuthTime + 20)));
        rig.Write(Alice, later);
        Check("a new sign-in is written as given" + how, rig.Shared(Alice) == Convert.ToBase64String(rig.Protect(later)));
        Check("and read" + how, rig.Read(Alice) != null);
        rig.Cache.ForgetAsync(Alice).Wait();
        Check("the event again leaves it" + how, !rig.IsEmpty);

        rig.SignedOut.Note(Event(null, "pairwise-alice-aaaa", true, AuthTime + 30, Alice));
        Check("the whole user: the later one ends, too" + how, rig.Read(Alice) == null);
        rig.Cache.ForgetAsync(Alice).Wait();
        byte[] mixed = Changed(alice, claims => claims.Contains("\"aud\":\"bbbbbbbb")
            ? claims.Replace("\"auth_time\":" + AuthTime, "\"auth_time\":" + (AuthTime + 40))
            : claims);
        rig.Write(Alice, mixed);
        string left = Encoding.UTF8.GetString(rig.Read(Alice) ?? new byte[0]);
        bool kept = left.Contains("-refreshtoken-bbbbbbbb") && left.Contains("\"Account\":{\"a11ce");
        Check("of two clients only the one that signed in again is written" + how, kept && !left.Contains("token-aaaaaaaa"));
    }

    private static void Doubt(Rig rig, string how)
    {
        byte[] undated = Changed(Recorded("entra-two-apps", "webapps:" + Alice), claims => "{\"sub\":\"x\"}");
        undated = Encoding.UTF8.GetBytes(Regex.Replace(
            Encoding.UTF8.GetString(undated), "\"cached_at\":\"\\d+\"", "\"cached_at\":\"" + (AuthTime + 100) + "\""));
        rig.SignedOut.Note(Event(null, "pairwise-alice-aaaa", true, AuthTime + 30, Alice));
        rig.Write(Alice, undated);
        rig.Write(Alice, undated);
        Check("tokens that nothing dates are refused twice" + how, rig.IsEmpty);
        rig.Write(Alice, undated);
        Check("not a third time" + how, !rig.IsEmpty && rig.Read(Alice) != null);

        Rig late = new Rig(false);
        late.SignedOut.Note(Event(null, "pairwise-alice-aaaa", true, AuthTime + 30, Alice));
        late.Now += SignedOut.DoubtForSeconds + 1;
        late.Write(Alice, undated);
        Check("nor after two minutes" + how, !late.IsEmpty);

        Rig restarted = new Rig(false);
        restarted.SignedOut.Note(Event(null, "pairwise-alice-aaaa", true, AuthTime + 30, Alice), isNew: false);
        restarted.Write(Alice, undated);
        Check("nor for a sign-out that is only recalled" + how, !restarted.IsEmpty);
    }

    private static void Races(bool encrypt, string how)
    {
        byte[] alice = Recorded("entra-two-apps", "webapps:" + Alice);
        Rig rig = new Rig(encrypt);
        rig.Cache.Meanwhile = () =>
        {
            rig.SignedOut.Note(Event("sid-alice-1", null, false, AuthTime + 10, Alice));
            return rig.Cache.ForgetAsync(Alice);
        };
        rig.Write(Alice, alice);
        Check("a sign-out heard during the write wins" + how, rig.IsEmpty);

        Rig replica = new Rig(encrypt);
        replica.Write(Alice, alice);
        byte[] elsewhere = Changed(alice, claims => claims.Replace(
            "\"auth_time\":" + AuthTime, "\"auth_time\":" + (AuthTime + 20)));
        replica.Put(Alice, elsewhere);
        replica.SignedOut.Note(Event("sid-alice-1", null, false, AuthTime + 10, Alice));
        replica.Cache.ForgetAsync(Alice).Wait();
        string read = Convert.ToBase64String(replica.Read(Alice) ?? new byte[0]);
        Check("a new sign-in of another replica is left, and read in place of memory" + how,
            read == Convert.ToBase64String(elsewhere) && !replica.IsEmpty);
        Check("asked, it holds tokens" + how, replica.Cache.HoldsAsync(Alice).Result);
        replica.IsDown = true;
        Check("asked while the shared cache is down, too" + how, replica.Cache.HoldsAsync(Alice).Result);

        Rig other = new Rig(encrypt);
        other.Write(Alice, alice);
        other.SignedOut.Note(Event("sid-of-another-browser", null, false, AuthTime + 10, Alice));
        other.Cache.ForgetAsync(Alice).Wait();
        Check("the sign-out of one session clears the account" + how, other.IsEmpty);
        other.Write(Alice, alice);
        Check("and another live session may fetch tokens anew" + how, !other.IsEmpty);
    }

    private static void Others(bool encrypt, string how)
    {
        Rig rig = new Rig(encrypt);
        rig.SignedOut.Note(Event("sid-alice-1", "pairwise-alice-aaaa", true, AuthTime + 10, Alice));
        byte[] app = Recorded("entra-two-apps", "webapps:" + AppOnly);
        rig.Write(AppOnly, app);
        Check("app-only tokens are written as given" + how, rig.Shared(AppOnly) == Convert.ToBase64String(rig.Protect(app)));
        rig.Write("long-running-alice-1", Recorded("entra-on-behalf-of", "api:long-running-alice-1"));
        Check("on-behalf-of tokens are told by what is in them" + how, rig.Shared("long-running-alice-1") == null);

        Rig reset = new Rig(encrypt);
        reset.Write(Alice, Recorded("entra-two-apps", "webapps:" + Alice));
        reset.SignedOut.Reset(DateTimeOffset.FromUnixTimeSeconds(AuthTime + 100));
        Check("after missed sign-outs old tokens are not used" + how, reset.Read(Alice) == null);
    }

    private static void Cookies()
    {
        SignedOut signedOut = new SignedOut();
        signedOut.Note(Event("s1", "u1", false, 100, "a1"));
        signedOut.Note(Event(null, "u2", true, 100, "a2"));
        Check("cookie: the session", signedOut.Ends(Cookie("s1", "u1", "a1", 50, 50)));
        Check("cookie: the session, of unknown age", signedOut.Ends(Cookie("s1", "u1", "a1", null, 500)));
        Check("cookie: authenticated later lives", !signedOut.Ends(Cookie("s1", "u1", "a1", 101, 101)));
        Check("cookie: another session lives", !signedOut.Ends(Cookie("s2", "u1", "a1", 50, 50)));
        Check("cookie: another user's equal sid lives", !signedOut.Ends(Cookie("s1", "u9", "a9", 50, 50)));
        Check("cookie: the user", signedOut.Ends(Cookie("s9", "u2", "a2", 50, 50)));
        Check("cookie: the user by account", signedOut.Ends(Cookie("s9", "u9", "a2", null, 99)));
        Check("cookie: the user signed in later lives", !signedOut.Ends(Cookie("s9", "u2", "a2", null, 101)));
        Check("cookie: the user, of unknown age", signedOut.Ends(Cookie(null, "u2", null, null, null)));
        Orders(signedOut);
        signedOut.Reset(DateTimeOffset.UtcNow.AddSeconds(5));
        Check("cookie: issued before sign-outs were missed", signedOut.Ends(Cookie("s7", "u7", "a7", 999, 999)));
    }

    /// <summary>The OP's own session goes on, and gives a new one with the old <c>auth_time</c>.</summary>
    private static void Orders(SignedOut signedOut)
    {
        signedOut.Note(Event(null, "u3", true, 100, "a3", reauthenticate: false));
        SessionFacts session = Cookie("s3", "u3", "a3", 50, 50);
        session.GivenAt = 99;
        Check("cookie: given before an order that does not ask to authenticate", signedOut.Ends(session));
        session.GivenAt = 101;
        Check("cookie: given after it lives", !signedOut.Ends(session));
        Check("tokens: given before it", signedOut.Means("a3", new TokenFacts { AuthTime = 50, GivenAt = 99 }));
        Check("tokens: given after it live", signedOut.Judge("a3", new TokenFacts { AuthTime = 50, GivenAt = 101 }) == Verdict.Lives);
        signedOut.Note(Event(null, "u3", true, 90, "a3"));
        Check("cookie: an order that does ask ends it", signedOut.Ends(session));
    }

    private static SessionFacts Cookie(string sid, string subject, string account, long? authTime, long? beganAt)
    {
        return new SessionFacts
        {
            Issuer = "https://op.example",
            ClientId = "c",
            Subject = subject,
            SessionId = sid,
            Account = account,
            AuthTime = authTime,
            BeganAt = beganAt,
            IssuedAt = DateTimeOffset.UtcNow,
        };
    }

    private static Eviction Event(
        string sid, string subject, bool wholeUser, long logoutAt, string account, bool reauthenticate = true)
    {
        Dictionary<string, object> data = new Dictionary<string, object>
        {
            { "iss", "https://op.example" },
            { "sid", sid },
            { "sub", subject },
            { "scope", wholeUser ? "user" : "session" },
            { "logout_at", logoutAt },
            { "accounts", new[] { account } },
            { "input", "admin" },
            { "reauthenticate", reauthenticate },
        };
        Dictionary<string, object> envelope = new Dictionary<string, object>
        {
            { "type", "logout-receiver.eviction.v1" },
            { "id", "42339e6dc4059f38b026cf9062317139" },
            { "time", "2026-11-20T12:00:00.250Z" },
            { "data", data },
        };
        return Eviction.Parse(new JavaScriptSerializer().Serialize(envelope));
    }

    private static byte[] Recorded(string file, string key)
    {
        string json = File.ReadAllText(Path.Combine(_recordings, file + ".json"));
        Dictionary<string, object> recording = (Dictionary<string, object>)new JavaScriptSerializer().DeserializeObject(json);
        foreach (Dictionary<string, object> entry in (object[])recording["keys"])
        {
            if ((string)entry["key"] == key)
            {
                return Convert.FromBase64String((string)((Dictionary<string, object>)entry["fields"])["data_base64"]);
            }
        }

        throw new KeyNotFoundException(key);
    }

    /// <summary>The value with other claims in its ID tokens.</summary>
    private static byte[] Changed(byte[] value, Func<string, string> change)
    {
        string json = Encoding.UTF8.GetString(value);
        return Encoding.UTF8.GetBytes(Regex.Replace(json, "\"secret\":\"(eyJ[^\".]*)\\.([^\".]*)\\.", match =>
        {
            string payload = match.Groups[2].Value.Replace('-', '+').Replace('_', '/');
            payload = payload.PadRight(payload.Length + ((4 - (payload.Length % 4)) % 4), '=');
            string claims = change(Encoding.UTF8.GetString(Convert.FromBase64String(payload)));
            payload = Convert.ToBase64String(Encoding.UTF8.GetBytes(claims)).TrimEnd('=').Replace('+', '-').Replace('/', '_');
            return "\"secret\":\"" + match.Groups[1].Value + "." + payload + ".";
        }));
    }

    private static void Check(string what, bool holds)
    {
        Console.WriteLine((holds ? "ok " : "FAILED ") + what);
    }

    private sealed class Rig
    {
        private readonly SharedCache _shared = new SharedCache();
        private readonly Protector _protector = new Protector();
        private readonly bool _encrypt;

        public Rig(bool encrypt)
        {
            _encrypt = encrypt;
            SignedOut = new SignedOut(() => Now);
            Cache = new GuardedTokenCache(
                _shared,
                new Fixed<MsalDistributedTokenCacheAdapterOptions>(
                    new MsalDistributedTokenCacheAdapterOptions { Encrypt = encrypt }),
                new ConsoleLogger<MsalDistributedTokenCacheAdapter>(),
                _protector,
                SignedOut);
        }

        public double Now { get; set; }

        public SignedOut SignedOut { get; }

        public GuardedTokenCache Cache { get; }

        public bool IsEmpty
        {
            get { return _shared.Values.Count == 0 && Cache.Memory.Count == 0; }
        }

        public bool IsDown
        {
            set { _shared.IsDown = value; }
        }

        public byte[] Protect(byte[] plain)
        {
            return _encrypt ? _protector.Protect(plain) : plain;
        }

        public string Shared(string key)
        {
            byte[] value;
            return _shared.Values.TryGetValue(key, out value) ? Convert.ToBase64String(value) : null;
        }

        public void Put(string key, byte[] plain)
        {
            _shared.Values[key] = Protect(plain);
        }

        public void Write(string key, byte[] plain)
        {
            Cache.WriteAsync(key, Protect(plain)).Wait();
        }

        public byte[] Read(string key)
        {
            byte[] value = Cache.ReadAsync(key).Result;
            return value == null || !_encrypt ? value : _protector.Unprotect(value);
        }
    }
}
