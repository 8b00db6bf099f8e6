// Demo=true: sign-in by a plain request, tokens from DemoTokenEndpoint. The cookie, the token cache and LogoutReceiver
// are the real ones. Never use it in an app: whoever asks is signed in.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Security.Claims;
using System.Threading.Tasks;
using LogoutReceiver;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web;
using Microsoft.Identity.Web.TokenCacheProviders;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

namespace Example
{
    internal static class DemoSignIn
    {
        private static readonly string[] Scopes = { "User.Read" };

        public static void AddServices(IServiceCollection services)
        {
            services.AddAuthentication(CookieAuthenticationDefaults.AuthenticationScheme).AddCookie(options =>
            {
                options.Events.OnRedirectToLogin = context =>
                {
                    context.Response.StatusCode = StatusCodes.Status401Unauthorized;
                    return Task.CompletedTask;
                };
            });
            services.AddDistributedTokenCaches();
            services.AddSingleton<IConfidentialClientApplication>(provider =>
            {
                IConfidentialClientApplication client = ConfidentialClientApplicationBuilder
                    .Create(DemoTokenEndpoint.ClientId)
                    .WithAuthority("https://login.microsoftonline.com/" + DemoTokenEndpoint.Tenant)
                    .WithClientSecret("demo")
                    .WithRedirectUri("https://localhost/signin-oidc")
                    .WithInstanceDiscovery(false)
                    .WithLegacyCacheCompatibility(false)
                    .WithHttpClientFactory(new DemoTokenEndpoint())
                    .Build();
                provider.GetRequiredService<IMsalTokenCacheProvider>().Initialize(client.UserTokenCache);
                return client;
            });
        }

        /// <summary>
        /// <c>/demo/sign-in?user=alice&amp;sid=s1&amp;auth_time=…</c> signs in, <c>/token</c> makes the silent call
        /// (<c>?refresh_ms=3000</c> with a refresh that takes so long).
        /// </summary>
        public static void MapEndpoints(WebApplication app)
        {
            app.MapGet("/demo/sign-in", SignInAsync);
            app.MapGet("/token", TokenAsync).RequireAuthorization();
        }

        private static async Task<IResult> SignInAsync(
            HttpContext context, IConfidentialClientApplication client, string user, string sid, long? auth_time)
        {
            long authTime = auth_time ?? DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            AuthenticationResult result = await client
                .AcquireTokenByAuthorizationCode(Scopes, DemoTokenEndpoint.Code(user, sid, authTime))
                .ExecuteAsync();
            List<Claim> claims = new List<Claim>
            {
                new Claim("iss", DemoTokenEndpoint.Issuer),
                new Claim("aud", DemoTokenEndpoint.ClientId),
                new Claim("sub", "pairwise-" + user),
                new Claim("sid", sid),
                new Claim("auth_time", authTime.ToString(CultureInfo.InvariantCulture)),
                new Claim("name", user),
                new Claim("uid", result.Account.HomeAccountId.ObjectId),
                new Claim("utid", result.Account.HomeAccountId.TenantId),
            };
            ClaimsPrincipal principal =
                new ClaimsPrincipal(new ClaimsIdentity(claims, CookieAuthenticationDefaults.AuthenticationScheme));

            // With a real OP this happens by itself, after the ID token is validated.
            SignIns? signIns = context.RequestServices.GetService<SignIns>();
            if (signIns != null && !await signIns.RegisterAsync(principal, context.RequestAborted))
            {
                return Results.Unauthorized();
            }

            await context.SignInAsync(CookieAuthenticationDefaults.AuthenticationScheme, principal);
            return Results.Text(result.Account.HomeAccountId.Identifier);
        }

        private static async Task<IResult> TokenAsync(
            ClaimsPrincipal user, IConfidentialClientApplication client, int? refresh_ms)
        {
            IAccount? account = await client.GetAccountAsync(user.GetMsalAccountId());
            if (account == null)
            {
                return Results.Unauthorized();
            }

            DemoTokenEndpoint.RefreshTakesMs = refresh_ms ?? 0;
            try
            {
                AuthenticationResult result = await client
                    .AcquireTokenSilent(Scopes, account)
                    .WithForceRefresh(refresh_ms != null)
                    .ExecuteAsync();
                return Results.Text(result.AccessToken);
            }
            catch (MsalUiRequiredException)
            {
                return Results.Unauthorized();
            }
        }
    }
}
