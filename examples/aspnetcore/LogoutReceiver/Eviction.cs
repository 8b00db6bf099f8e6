// A sign-out, and what a cookie and cached tokens say of themselves.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
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

        /// <summary>An order with <c>reauthenticate: false</c>: it ends what apps were given until then, and not what the OP
        /// gives later without asking the user to authenticate.</summary>
        public bool EndsWhatWasGiven { get; set; }

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
                EndsWhatWasGiven = Json.Text(data, "input") == "admin" && Json.IsFalse(data, "reauthenticate"),
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

        /// <summary>The <c>iat</c> of the ID token received at sign-in.</summary>
        public long? GivenAt { get; set; }

        /// <summary>When this app issued the cookie, on the app's clock.</summary>
        public DateTimeOffset? IssuedAt { get; set; }
    }

    /// <summary>What the tokens of one account and one client say of themselves.</summary>
    public sealed class TokenFacts
    {
        public string ClientId { get; set; }

        public string SessionId { get; set; }

        public long? AuthTime { get; set; }

        /// <summary>The ID token's <c>iat</c>; a refresh makes it later.</summary>
        public long? GivenAt { get; set; }

        /// <summary>When the oldest access token was cached, seconds since 1970 on the app's clock.</summary>
        public long? OldestAccessToken { get; set; }
    }
}
