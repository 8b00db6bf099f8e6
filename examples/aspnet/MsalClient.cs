using System;
using System.Threading;
using LogoutReceiver;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

namespace Example
{
    /// <summary>The one MSAL client of the process, as classic ASP.NET apps keep it.</summary>
    internal static class MsalClient
    {
        public static readonly string[] Scopes = { "User.Read" };

        private static readonly Lazy<IConfidentialClientApplication> Client =
            new Lazy<IConfidentialClientApplication>(Build, LazyThreadSafetyMode.ExecutionAndPublication);

        public static IConfidentialClientApplication Instance
        {
            get { return Client.Value; }
        }

        private static IConfidentialClientApplication Build()
        {
            ConfidentialClientApplicationBuilder builder = ConfidentialClientApplicationBuilder
                .Create(Settings.ClientId)
                .WithAuthority("https://login.microsoftonline.com/" + Settings.Tenant)
                .WithClientSecret(Settings.ClientSecret)
                .WithRedirectUri(Settings.RedirectUri)

                // False: else MSAL keeps a second copy of the refresh token in memory and signs the user in again.
                .WithLegacyCacheCompatibility(Settings.Unchanged);
            if (Settings.Demo)
            {
                builder = builder.WithInstanceDiscovery(false).WithHttpClientFactory(new DemoTokenEndpoint());
            }

            IConfidentialClientApplication client = builder.Build();
            client.AddDistributedTokenCache(services =>
            {
                services.AddStackExchangeRedisCache(options =>
                {
                    options.Configuration = Settings.Redis;
                    options.InstanceName = Settings.InstanceName;
                });
                services.Configure<MsalDistributedTokenCacheAdapterOptions>(options => options.Encrypt = Settings.Encrypt);
                if (!Settings.Unchanged)
                {
                    services.AddLogoutReceiver();
                }
            });
            return client;
        }
    }
}
