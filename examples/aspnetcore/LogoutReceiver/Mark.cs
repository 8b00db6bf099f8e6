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

        public bool Means(TokenFacts tokens)
        {
            if (tokens.AuthTime == null)
            {
                return Judge(tokens) != Verdict.Lives;
            }

            return Concerns(tokens.ClientId) && tokens.AuthTime <= LogoutAt;
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
