// ASP.NET Core: one line, builder.Services.AddLogoutReceiver(redis), after the token caches are added.

#nullable enable

using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web.TokenCacheProviders;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

namespace LogoutReceiver
{
    public static class LogoutReceiverExtensions
    {
        /// <summary>
        /// Drops signed-out users from this process's MSAL token cache, keeps refreshes in flight from bringing them back,
        /// and refuses their session cookies. Call it after the token caches are added.
        /// </summary>
        /// <param name="services">The app's services.</param>
        /// <param name="redis">The Redis the receiver publishes to, as StackExchange.Redis writes it.</param>
        /// <param name="configure">Further options.</param>
        public static IServiceCollection AddLogoutReceiver(
            this IServiceCollection services, string redis, Action<LogoutReceiverOptions>? configure = null)
        {
            LogoutReceiverOptions options = new LogoutReceiverOptions { Redis = redis };
            configure?.Invoke(options);
            services.AddSingleton(options);
            services.AddSingleton<SignedOut>();
            services.AddHttpClient(nameof(SignIns));
            services.AddSingleton<SignIns>();
            services.AddSingleton<IPostConfigureOptions<OpenIdConnectOptions>, RememberSignIns>();
            services.AddSingleton<RefuseSignedOutCookies>();
            services.AddSingleton<IPostConfigureOptions<CookieAuthenticationOptions>>(
                provider => provider.GetRequiredService<RefuseSignedOutCookies>());
            services.AddSingleton<EvictionHandler>();
            services.AddHostedService<EvictionListener>();

            // Only in place of the distributed adapter: an app that keeps its tokens in memory has nothing to write back to.
            ServiceDescriptor? cache = services.LastOrDefault(one => one.ServiceType == typeof(IMsalTokenCacheProvider));
            if (cache?.ImplementationType == typeof(MsalDistributedTokenCacheAdapter))
            {
                services.AddSingleton<IMsalTokenCacheProvider, GuardedTokenCache>();
            }

            return services;
        }
    }

    /// <summary>Hears every sign-out, in every replica.</summary>
    internal sealed class EvictionListener : BackgroundService
    {
        /// <summary>Longest wait of the app's start for what was published before; then it starts without, and a cookie
        /// that was refused before the restart may pass until it is read.</summary>
        private static readonly TimeSpan CatchUp = TimeSpan.FromSeconds(5);

        private readonly EvictionStream _stream;

        public EvictionListener(LogoutReceiverOptions options, EvictionHandler handler, ILogger<EvictionListener> logger)
        {
            _stream = new EvictionStream(options, handler, logger);
        }

        public override async Task StartAsync(CancellationToken cancellationToken)
        {
            await base.StartAsync(cancellationToken);
            await Task.WhenAny(_stream.CaughtUp, Task.Delay(CatchUp, cancellationToken));
        }

        protected override Task ExecuteAsync(CancellationToken stoppingToken)
        {
            return Task.Run(() => _stream.RunAsync(stoppingToken), CancellationToken.None);
        }
    }

    internal sealed class EvictionHandler : IEvictionHandler
    {
        private readonly SignedOut _signedOut;
        private readonly IMsalTokenCacheProvider? _tokens;

        public EvictionHandler(SignedOut signedOut, IServiceProvider services, ILogger<EvictionHandler> logger)
        {
            _signedOut = signedOut;
            _tokens = services.GetService<IMsalTokenCacheProvider>();
            if (!(_tokens is GuardedTokenCache))
            {
                logger.LogInformation("No distributed token cache was added before AddLogoutReceiver: writes are not guarded");
            }
        }

        public void Recall(Eviction eviction)
        {
            _signedOut.Note(eviction, isNew: false);
        }

        public async Task ForgetAsync(Eviction eviction)
        {
            // First the mark, then the clearing: a write in between sees the one or is undone by the other.
            _signedOut.Note(eviction);
            foreach (string account in eviction.Accounts)
            {
                if (_tokens is GuardedTokenCache guarded)
                {
                    await guarded.ForgetAsync(account);
                }
                else if (_tokens != null)
                {
                    await _tokens.ClearAsync(account);
                }
            }
        }

        public void Reset()
        {
            _signedOut.Reset(DateTimeOffset.UtcNow);
        }
    }
}
