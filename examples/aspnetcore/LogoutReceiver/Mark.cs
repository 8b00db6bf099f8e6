// What one sign-out means for cached tokens.

#if NETCOREAPP
#nullable disable
#endif

namespace LogoutReceiver
{
    public enum Verdict
    {
        Lives,
        Doubtful,
        Ended,
    }

    /// <summary>A sign-out as it is remembered.</summary>
    internal sealed class Mark
    {
        public Mark(Eviction eviction, double heardAt)
        {
            Issuer = eviction.Issuer;
            Subject = eviction.Subject;
            SessionId = eviction.SessionId;
            OnlyClient = eviction.OnlyClient;
            WholeUser = eviction.WholeUser;
            LogoutAt = eviction.LogoutAt;
            EndsWhatWasGiven = eviction.EndsWhatWasGiven;
            HeardAt = heardAt;
        }

        public string Issuer { get; }

        public string Subject { get; }

        public string SessionId { get; }

        public string OnlyClient { get; }

        public bool WholeUser { get; }

        public long LogoutAt { get; }

        public bool EndsWhatWasGiven { get; }

        public double HeardAt { get; }

        public int Doubts { get; set; }

        public bool IsOfTheSame(Mark other)
        {
            return other.WholeUser == WholeUser && other.EndsWhatWasGiven == EndsWhatWasGiven && other.SessionId == SessionId && other.OnlyClient == OnlyClient
                && other.Subject == Subject && other.Issuer == Issuer;
        }

        public bool Concerns(string clientId)
        {
            return OnlyClient == null || clientId == null || OnlyClient == clientId;
        }

        /// <summary>Whether it ends a session that it names; one of unknown age, too.</summary>
        public bool Ends(SessionFacts session, bool ofUser)
        {
            long? began = EndsWhatWasGiven ? session.GivenAt ?? session.AuthTime : ofUser ? session.BeganAt : session.AuthTime;
            return Concerns(session.ClientId) && !(began > LogoutAt);
        }

        public bool Means(TokenFacts tokens)
        {
            if (Began(tokens) == null)
            {
                return Judge(tokens) != Verdict.Lives;
            }

            return Concerns(tokens.ClientId) && Began(tokens) <= LogoutAt;
        }

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

            if (Began(tokens) != null)
            {
                return Began(tokens) > LogoutAt ? Verdict.Lives : Verdict.Ended;
            }

            if ((bothNameSessions && SessionId == tokens.SessionId) || tokens.OldestAccessToken < LogoutAt)
            {
                return Verdict.Ended;
            }

            return Verdict.Doubtful;
        }

        // By iat only where the order says so: a refreshed ID token has a new one.
        private long? Began(TokenFacts tokens)
        {
            return EndsWhatWasGiven ? tokens.GivenAt ?? tokens.AuthTime : tokens.AuthTime;
        }
    }
}
