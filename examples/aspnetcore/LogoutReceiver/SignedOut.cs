// What this process has heard of sign-outs, and what that means for a session cookie and for cached tokens.
// No I/O and no packages. C# 7.3, so that .NET 10 and .NET Framework share it.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;

namespace LogoutReceiver
{
    /// <summary>One eviction event. Times are seconds since 1970 on the OP's clock; texts are null where the event has none.</summary>
    public sealed class Eviction
    {
        public string Id { get; set; }

        public string Issuer { get; set; }

        public string Subject { get; set; }

        public string SessionId { get; set; }

        /// <summary>The only client that has to act; null for every client.</summary>
        public string OnlyClient { get; set; }

        /// <summary>Whether every session of the user ends, not only <see cref="SessionId"/>.</summary>
        public bool WholeUser { get; set; }

        public long LogoutAt { get; set; }

        /// <summary>MSAL home account ids of the user; may be empty.</summary>
        public IList<string> Accounts { get; set; }

        /// <summary>When the receiver took it in, milliseconds since 1970.</summary>
        public long ReceivedAtMs { get; set; }

        /// <summary>Reads the event JSON.</summary>
        /// <exception cref="FormatException">Not an event of a version this code knows.</exception>
        public static Eviction Parse(string json)
        {
            IDictionary<string, object> envelope = Json.Parse(json);
            IDictionary<string, object> data = Json.Object(envelope, "data");
            if (Json.Text(envelope, "type") != "logout-receiver.eviction.v1" || data == null)
            {
                throw new FormatException("not an event of type logout-receiver.eviction.v1");
            }

            long? logoutAt = Json.Number(data, "logout_at");
            if (logoutAt == null)
            {
                throw new FormatException("the event has no logout_at");
            }

            DateTimeOffset received;
            DateTimeOffset.TryParse(
                Json.Text(envelope, "time"), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out received);
            return new Eviction
            {
                Id = Json.Text(envelope, "id"),
                Issuer = Json.Text(data, "iss"),
                Subject = Json.Text(data, "sub"),
                SessionId = Json.Text(data, "sid"),
                OnlyClient = Json.Text(data, "applies_to") == "client" ? Json.Text(data, "client_id") : null,
                WholeUser = Json.Text(data, "scope") == "user",
                LogoutAt = logoutAt.Value,
                Accounts = Json.Texts(data, "accounts"),
                ReceivedAtMs = received.ToUnixTimeMilliseconds(),
            };
        }
    }

    /// <summary>What a session cookie says of itself; null where it does not say.</summary>
    public sealed class SessionFacts
    {
        public string Issuer { get; set; }

        public string ClientId { get; set; }

        public string Subject { get; set; }

        public string SessionId { get; set; }

        public string Account { get; set; }

        /// <summary>The ID token's <c>auth_time</c>.</summary>
        public long? AuthTime { get; set; }

        /// <summary>When the session began: <c>auth_time</c>, or the <c>iat</c> of the ID token received at sign-in.</summary>
        public long? BeganAt { get; set; }

        /// <summary>When this app issued the cookie, on the app's clock.</summary>
        public DateTimeOffset? IssuedAt { get; set; }
    }

    /// <summary>What the tokens of one account and one client say of themselves.</summary>
    public sealed class TokenFacts
    {
        public string ClientId { get; set; }

        public string SessionId { get; set; }

        public long? AuthTime { get; set; }

        /// <summary>When the oldest access token was cached, seconds since 1970 on the app's clock.</summary>
        public long? OldestAccessToken { get; set; }
    }

    public enum Verdict
    {
        Lives,
        Doubtful,
        Ended,
    }

    /// <summary>Marks of recent sign-outs. Safe to use from many threads.</summary>
    public sealed class SignedOut
    {
        /// <summary>Subjects, sessions and accounts remembered, about 40 MB at worst; then the oldest are forgotten and
        /// an old cookie of theirs is no longer recognised.</summary>
        public const int MaxNames = 100000;

        /// <summary>Sign-outs remembered for one name; a user with more sessions ended keeps the latest.</summary>
        public const int MaxMarksPerName = 16;

        /// <summary>Writes of tokens that cannot be dated that one sign-out may refuse. Two covers a refresh in flight and
        /// its repeat; more would keep a user out who has really signed in again.</summary>
        public const int MaxDoubts = 2;

        /// <summary>Seconds in which tokens that cannot be dated are refused. MSAL gives up a refresh after 100 s.</summary>
        public const double DoubtForSeconds = 120;

        private readonly object _lock = new object();
        private readonly Func<double> _clock;
        private readonly Dictionary<string, List<Mark>> _marks = new Dictionary<string, List<Mark>>(StringComparer.Ordinal);
        private readonly Queue<string> _names = new Queue<string>();
        private DateTimeOffset? _reset;

        public SignedOut()
            : this(SecondsSinceStart())
        {
        }

        /// <param name="clock">Seconds that never go back.</param>
        public SignedOut(Func<double> clock)
        {
            _clock = clock;
        }

        /// <summary>Whether nobody is known to have signed out, so that nothing needs a look.</summary>
        public bool IsEmpty
        {
            get
            {
                lock (_lock)
                {
                    return _marks.Count == 0 && _reset == null;
                }
            }
        }

        /// <summary>Whether anything was heard that may concern this account.</summary>
        public bool Knows(string account)
        {
            lock (_lock)
            {
                return _reset != null || _marks.ContainsKey(Name("account", null, account));
            }
        }

        /// <summary>Remembers a sign-out. Hearing it twice changes nothing.</summary>
        public void Note(Eviction eviction)
        {
            lock (_lock)
            {
                if (eviction.SessionId != null)
                {
                    Keep(Name("sid", eviction.Issuer, eviction.SessionId), eviction);
                }

                if (eviction.WholeUser && eviction.Subject != null)
                {
                    Keep(Name("sub", eviction.Issuer, eviction.Subject), eviction);
                }

                foreach (string account in eviction.Accounts)
                {
                    Keep(Name("account", null, account), eviction);
                }

                while (_names.Count > MaxNames)
                {
                    _marks.Remove(_names.Dequeue());
                }
            }
        }

        /// <summary>Sign-outs were missed: whoever signed in before <paramref name="now"/> (the app's clock) is out.</summary>
        public void Reset(DateTimeOffset now)
        {
            lock (_lock)
            {
                _reset = now;
            }
        }

        /// <summary>Whether a session is over.</summary>
        public bool Ends(SessionFacts session)
        {
            lock (_lock)
            {
                if (_reset != null && (session.IssuedAt == null || session.IssuedAt < _reset))
                {
                    return true;
                }

                foreach (Mark mark in Marks("sid", session.Issuer, session.SessionId))
                {
                    bool sameUser = mark.Subject == null || session.Subject == null || mark.Subject == session.Subject;
                    if (sameUser && mark.Concerns(session.ClientId) && !(session.AuthTime > mark.LogoutAt))
                    {
                        return true;
                    }
                }

                foreach (Mark mark in Marks("sub", session.Issuer, session.Subject))
                {
                    if (mark.Concerns(session.ClientId) && !(session.BeganAt > mark.LogoutAt))
                    {
                        return true;
                    }
                }

                foreach (Mark mark in Marks("account", null, session.Account))
                {
                    bool user = mark.WholeUser && mark.Issuer == session.Issuer;
                    if (user && mark.Concerns(session.ClientId) && !(session.BeganAt > mark.LogoutAt))
                    {
                        return true;
                    }
                }

                return false;
            }
        }

        /// <summary>What is known of one client's tokens of one account.</summary>
        public Verdict Judge(string account, TokenFacts tokens)
        {
            lock (_lock)
            {
                Verdict verdict = Verdict.Lives;
                if (_reset != null && tokens.OldestAccessToken < _reset.Value.ToUnixTimeSeconds())
                {
                    return Verdict.Ended;
                }

                foreach (Mark mark in Marks("account", null, account))
                {
                    Verdict one = mark.Judge(tokens);
                    verdict = one > verdict ? one : verdict;
                }

                return verdict;
            }
        }

        /// <summary>Whether tokens that cannot be dated are still refused; counts what it refuses.</summary>
        public bool SpendDoubt(string account)
        {
            lock (_lock)
            {
                bool refused = false;
                foreach (Mark mark in Marks("account", null, account))
                {
                    if (mark.Doubts < MaxDoubts && _clock() - mark.HeardAt < DoubtForSeconds)
                    {
                        mark.Doubts++;
                        refused = true;
                    }
                }

                return refused;
            }
        }

        private static Func<double> SecondsSinceStart()
        {
            Stopwatch watch = Stopwatch.StartNew();
            return () => watch.Elapsed.TotalSeconds;
        }

        private static string Name(string kind, string issuer, string value)
        {
            return kind + "\n" + issuer + "\n" + value;
        }

        private IEnumerable<Mark> Marks(string kind, string issuer, string value)
        {
            List<Mark> marks;
            if (string.IsNullOrEmpty(value) || !_marks.TryGetValue(Name(kind, issuer, value), out marks))
            {
                return new Mark[0];
            }

            return marks;
        }

        private void Keep(string name, Eviction eviction)
        {
            List<Mark> marks;
            if (!_marks.TryGetValue(name, out marks))
            {
                marks = new List<Mark>();
                _marks.Add(name, marks);
                _names.Enqueue(name);
            }

            Mark mark = new Mark(eviction, _clock());
            int index = marks.FindIndex(mark.IsOfTheSame);
            if (index < 0)
            {
                marks.Add(mark);
            }
            else if (marks[index].LogoutAt < mark.LogoutAt)
            {
                marks[index] = mark;
            }

            if (marks.Count > MaxMarksPerName)
            {
                marks.RemoveAt(0);
            }
        }

        private sealed class Mark
        {
            public Mark(Eviction eviction, double heardAt)
            {
                Issuer = eviction.Issuer;
                Subject = eviction.Subject;
                SessionId = eviction.SessionId;
                OnlyClient = eviction.OnlyClient;
                WholeUser = eviction.WholeUser;
                LogoutAt = eviction.LogoutAt;
                HeardAt = heardAt;
            }

            public string Issuer { get; }

            public string Subject { get; }

            public string SessionId { get; }

            public string OnlyClient { get; }

            public bool WholeUser { get; }

            public long LogoutAt { get; }

            public double HeardAt { get; }

            public int Doubts { get; set; }

            public bool IsOfTheSame(Mark other)
            {
                return other.WholeUser == WholeUser && other.SessionId == SessionId && other.OnlyClient == OnlyClient
                    && other.Subject == Subject && other.Issuer == Issuer;
            }

            public bool Concerns(string clientId)
            {
                return OnlyClient == null || clientId == null || OnlyClient == clientId;
            }

            // Never by iat: a refreshed ID token has a new one.
            public Verdict Judge(TokenFacts tokens)
            {
                if (!Concerns(tokens.ClientId))
                {
                    return Verdict.Lives;
                }

                bool bothNameSessions = SessionId != null && tokens.SessionId != null;
                if (bothNameSessions && !WholeUser && SessionId != tokens.SessionId)
                {
                    return Verdict.Lives;
                }

                if (tokens.AuthTime != null)
                {
                    return tokens.AuthTime > LogoutAt ? Verdict.Lives : Verdict.Ended;
                }

                if ((bothNameSessions && SessionId == tokens.SessionId) || tokens.OldestAccessToken < LogoutAt)
                {
                    return Verdict.Ended;
                }

                return Verdict.Doubtful;
            }
        }
    }
}
