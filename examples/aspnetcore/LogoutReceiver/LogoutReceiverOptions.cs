#if NETCOREAPP
#nullable disable
#endif

using System;

namespace LogoutReceiver
{
    /// <summary>How an app hears of sign-outs. Only <see cref="Redis"/> is required.</summary>
    public sealed class LogoutReceiverOptions
    {
        /// <summary>The Redis the receiver publishes to, as StackExchange.Redis writes it.</summary>
        public string Redis { get; set; }

        /// <summary>The receiver's <c>redis.prefix</c>.</summary>
        public string Prefix { get; set; } = "{logout}";

        /// <summary>The app's name in <c>receiver trace</c> and the metrics.</summary>
        public string App { get; set; } = "aspnet";

        /// <summary>This app's client id at the OP. Null: act also on events that are for one other client only, and
        /// register sign-ins under the ID token's <c>aud</c>.</summary>
        public string ClientId { get; set; }

        /// <summary>Time between two reads of the stream: a sign-out is heard this much later at worst.</summary>
        public TimeSpan PollInterval { get; set; } = TimeSpan.FromMilliseconds(250);

        /// <summary>How far back cookies of signed-out sessions are recognised after a restart: at least the cookie's
        /// lifetime, and no further than the receiver's <c>events.max_age_s</c> keeps events.</summary>
        public TimeSpan RememberFor { get; set; } = TimeSpan.FromDays(14);

        /// <summary>Whether to record what was handled, for <c>receiver trace</c>.</summary>
        public bool Acknowledge { get; set; } = true;

        /// <summary>Whether to refuse a cookie also when the shared cache holds no tokens of its user. One more read of
        /// Redis per request, and nobody stays who was signed out while no process of the app was running.</summary>
        public bool RefuseWithoutTokens { get; set; }

        /// <summary>The receiver's internal address, such as <c>http://receiver:9090</c>, to register sign-ins; null: off.</summary>
        public Uri RegisterAt { get; set; }

        /// <summary>The bearer token for <see cref="RegisterAt"/>.</summary>
        public string RegisterToken { get; set; }

        internal bool Concerns(Eviction eviction)
        {
            return eviction.OnlyClient == null || ClientId == null || eviction.OnlyClient == ClientId;
        }
    }
}
