// What this process has heard of sign-outs, and what that means for a session cookie and for cached tokens.
// No I/O and no packages. C# 7.3, so that .NET 10 and .NET Framework share it.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Diagnostics;

namespace LogoutReceiver
{
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
        /// <param name="eviction">The sign-out.</param>
        /// <param name="isNew">False for one so old that no refresh of then can still be in flight.</param>
        public void Note(Eviction eviction, bool isNew = true)
        {
            lock (_lock)
            {
                double heardAt = isNew ? _clock() : double.NegativeInfinity;
                if (eviction.SessionId != null)
                {
                    Keep(Name("sid", eviction.Issuer, eviction.SessionId), eviction, heardAt);
                }

                if (eviction.WholeUser && eviction.Subject != null)
                {
                    Keep(Name("sub", eviction.Issuer, eviction.Subject), eviction, heardAt);
                }

                foreach (string account in eviction.Accounts)
                {
                    Keep(Name("account", null, account), eviction, heardAt);
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
                    if (sameUser && mark.Ends(session, ofUser: false))
                    {
                        return true;
                    }
                }

                foreach (Mark mark in Marks("sub", session.Issuer, session.Subject))
                {
                    if (mark.Ends(session, ofUser: true))
                    {
                        return true;
                    }
                }

                foreach (Mark mark in Marks("account", null, session.Account))
                {
                    bool user = mark.WholeUser && mark.Issuer == session.Issuer;
                    if (user && mark.Ends(session, ofUser: true))
                    {
                        return true;
                    }
                }

                return false;
            }
        }

        /// <summary>
        /// Whether the sign-outs of an account, just heard, mean these tokens. An MSAL cache knows accounts, not sessions:
        /// the sign-out of one session means the tokens of all that authenticated before it.
        /// </summary>
        public bool Means(string account, TokenFacts tokens)
        {
            lock (_lock)
            {
                foreach (Mark mark in Marks("account", null, account))
                {
                    if (mark.Means(tokens))
                    {
                        return true;
                    }
                }

                return false;
            }
        }

        /// <summary>What is known of one client's tokens of one account that were read or are to be written later.</summary>
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

        private void Keep(string name, Eviction eviction, double heardAt)
        {
            List<Mark> marks;
            if (!_marks.TryGetValue(name, out marks))
            {
                marks = new List<Mark>();
                _marks.Add(name, marks);
                _names.Enqueue(name);
            }

            Mark mark = new Mark(eviction, heardAt);
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
    }
}
