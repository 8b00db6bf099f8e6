// Classic ASP.NET with OWIN and MSAL.NET: README.md has the lines that call it. With the nine shared files of
// ../aspnetcore/LogoutReceiver that the project file names.

using System;
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Claims;
using System.Threading;
using System.Threading.Tasks;
using System.Web.Hosting;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web;
using Microsoft.Identity.Web.TokenCacheProviders;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;
using Microsoft.Owin.Security.Cookies;
using StackExchange.Redis;

namespace LogoutReceiver
{
    /// <summary>What one process knows of sign-outs, and the three places where it counts.</summary>
    public static class SignOuts
    {
        private static readonly SignedOut Marks = new SignedOut();
        private static readonly ConcurrentBag<GuardedTokenCache> Caches = new ConcurrentBag<GuardedTokenCache>();
        private static readonly object StartLock = new object();
        private static EvictionListener _listener;
        private static LogoutReceiverOptions _options = new LogoutReceiverOptions();

        /// <summary>Begins to listen, once per process; further calls do nothing. Call it in the OWIN startup class.</summary>
        /// <exception cref="ArgumentException">The Redis configuration cannot be read.</exception>
        public static void Start(LogoutReceiverOptions options, ILogger logger = null)
        {
            lock (StartLock)
            {
                if (_listener != null)
                {
                    return;
                }

                ConfigurationOptions.Parse(options.Redis);
                _options = options;
                _listener = new EvictionListener(options, new EvictionHandler(), logger ?? NullLogger.Instance);
                _listener.Start();
            }
        }

        /// <summary>
        /// Guards the token cache. Call it in the action given to <c>AddDistributedTokenCache</c>, where the Redis cache
        /// is added.
        /// </summary>
        public static IServiceCollection AddLogoutReceiver(this IServiceCollection services)
        {
            // Registered after Microsoft.Identity.Web's own adapter, so that this one is taken.
            return services.AddSingleton<IMsalTokenCacheProvider>(provider =>
            {
                GuardedTokenCache cache = new GuardedTokenCache(
                    provider.GetRequiredService<IDistributedCache>(),
                    provider.GetRequiredService<IOptions<MsalDistributedTokenCacheAdapterOptions>>(),
                    provider.GetRequiredService<ILogger<MsalDistributedTokenCacheAdapter>>(),
                    provider,
                    Marks);
                Caches.Add(cache);
                return cache;
            });
        }

        /// <summary>Refuses the cookies of sessions that are over, after what the provider itself does.</summary>
        public static CookieAuthenticationProvider Refuse(CookieAuthenticationProvider provider)
        {
            Func<CookieValidateIdentityContext, Task> before = provider.OnValidateIdentity;
            provider.OnValidateIdentity = async context =>
            {
                await before(context).ConfigureAwait(false);
                if (context.Identity != null && await IsOverAsync(context).ConfigureAwait(false))
                {
                    context.RejectIdentity();
                    context.OwinContext.Authentication.SignOut(context.Options.AuthenticationType);
                }
            };
            return provider;
        }

        private static async Task<bool> IsOverAsync(CookieValidateIdentityContext context)
        {
            ClaimsIdentity identity = context.Identity;
            DateTimeOffset? issued = context.Properties.IssuedUtc;
            long? authTime = Number(Value(identity, "auth_time"));
            string subject = Value(identity, "sub") ?? Value(identity, ClaimTypes.NameIdentifier);
            string account = new ClaimsPrincipal(identity).GetMsalAccountId() ?? subject;
            SessionFacts session = new SessionFacts
            {
                Issuer = Value(identity, "iss"),
                ClientId = _options.ClientId ?? Value(identity, "aud"),
                Subject = subject,
                SessionId = Value(identity, "sid"),
                Account = account,
                AuthTime = authTime,
                BeganAt = authTime ?? Number(Value(identity, "iat"))
                    ?? (issued == null ? (long?)null : issued.Value.ToUnixTimeSeconds()),
                GivenAt = Number(Value(identity, "iat")),
                IssuedAt = issued,
            };
            if (Marks.Ends(session))
            {
                return true;
            }

            GuardedTokenCache cache;
            bool ask = _options.RefuseWithoutTokens && account != null;
            return ask && Caches.TryPeek(out cache) && !await cache.HoldsAsync(account).ConfigureAwait(false);
        }

        private static string Value(ClaimsIdentity identity, string type)
        {
            Claim claim = identity.FindFirst(type);
            return claim == null ? null : claim.Value;
        }

        private static long? Number(string text)
        {
            long number;
            bool whole = long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number);
            return whole ? number : (long?)null;
        }

        private sealed class EvictionHandler : IEvictionHandler
        {
            public void Recall(Eviction eviction)
            {
                Marks.Note(eviction, isNew: false);
            }

            public async Task ForgetAsync(Eviction eviction)
            {
                // First the mark, then the clearing: a write in between sees the one or is undone by the other.
                Marks.Note(eviction);
                foreach (GuardedTokenCache cache in Caches)
                {
                    foreach (string account in eviction.Accounts)
                    {
                        await cache.ForgetAsync(account).ConfigureAwait(false);
                    }
                }
            }

            public void Reset()
            {
                Marks.Reset(DateTimeOffset.UtcNow);
            }
        }
    }

    /// <summary>Runs as long as the application domain. IIS waits for it when it recycles.</summary>
    internal sealed class EvictionListener : IRegisteredObject
    {
        private readonly CancellationTokenSource _stop = new CancellationTokenSource();
        private readonly EvictionStream _stream;
        private Task _running = Task.CompletedTask;

        public EvictionListener(LogoutReceiverOptions options, IEvictionHandler handler, ILogger logger)
        {
            _stream = new EvictionStream(options, handler, logger);
        }

        public void Start()
        {
            if (HostingEnvironment.IsHosted)
            {
                HostingEnvironment.RegisterObject(this);
            }

            _running = Task.Run(() => _stream.RunAsync(_stop.Token));
        }

        public void Stop(bool immediate)
        {
            _stop.Cancel();
            _running.ContinueWith(ended => HostingEnvironment.UnregisterObject(this), TaskScheduler.Default);
        }
    }
}
