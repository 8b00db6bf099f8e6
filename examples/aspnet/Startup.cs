using System;
using System.Globalization;
using System.Security.Claims;
using System.Threading.Tasks;
using LogoutReceiver;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web;
using Microsoft.Owin;
using Microsoft.Owin.Security;
using Microsoft.Owin.Security.Cookies;
using Microsoft.Owin.Security.Notifications;
using Microsoft.Owin.Security.OpenIdConnect;
using Owin;

namespace Example
{
    public sealed class Startup
    {
        public void Configuration(IAppBuilder app)
        {
            CookieAuthenticationProvider cookies = new CookieAuthenticationProvider();
            if (!Settings.Unchanged)
            {
                SignOuts.Start(new LogoutReceiverOptions { Redis = Settings.Redis, App = "aspnet-example" });
                cookies = SignOuts.Refuse(cookies);
            }

            app.SetDefaultSignInAsAuthenticationType(CookieAuthenticationDefaults.AuthenticationType);
            app.UseCookieAuthentication(new CookieAuthenticationOptions
            {
                AuthenticationType = CookieAuthenticationDefaults.AuthenticationType,
                Provider = cookies,
            });
            if (!Settings.Demo)
            {
                app.UseOpenIdConnectAuthentication(new OpenIdConnectAuthenticationOptions
                {
                    ClientId = Settings.ClientId,
                    Authority = "https://login.microsoftonline.com/" + Settings.Tenant + "/v2.0",
                    RedirectUri = Settings.RedirectUri,
                    Scope = "openid profile offline_access User.Read",
                    ResponseType = "code id_token",
                    Notifications = new OpenIdConnectAuthenticationNotifications
                    {
                        AuthorizationCodeReceived = RedeemAsync,
                    },
                });
            }

            app.Run(AnswerAsync);
        }

        private static async Task RedeemAsync(AuthorizationCodeReceivedNotification context)
        {
            AuthenticationResult result = await MsalClient.Instance
                .AcquireTokenByAuthorizationCode(MsalClient.Scopes, context.Code)
                .ExecuteAsync();
            AddAccount(context.AuthenticationTicket.Identity, result.Account);
        }

        /// <summary>The two claims that <c>GetMsalAccountId</c> reads; a guest's <c>oid</c> and <c>tid</c> are others.</summary>
        private static void AddAccount(ClaimsIdentity identity, IAccount account)
        {
            identity.AddClaim(new Claim("uid", account.HomeAccountId.ObjectId));
            identity.AddClaim(new Claim("utid", account.HomeAccountId.TenantId));
        }

        private static async Task AnswerAsync(IOwinContext context)
        {
            string path = context.Request.Path.Value;
            ClaimsPrincipal user = context.Authentication.User;
            if (path == "/health")
            {
                await context.Response.WriteAsync("up");
            }
            else if (path == "/demo/sign-in" && Settings.Demo)
            {
                await DemoSignInAsync(context);
            }
            else if (user == null || user.Identity == null || !user.Identity.IsAuthenticated)
            {
                // The OpenID Connect middleware turns it into a redirect to the OP; in the demo it stays a 401.
                context.Authentication.Challenge(OpenIdConnectAuthenticationDefaults.AuthenticationType);
                context.Response.StatusCode = 401;
            }
            else if (path == "/me")
            {
                Claim name = user.FindFirst("name");
                await context.Response.WriteAsync(name == null ? "nameless" : name.Value);
            }
            else if (path == "/token")
            {
                await TokenAsync(context, user);
            }
            else
            {
                context.Response.StatusCode = 404;
            }
        }

        /// <summary>The silent call: 200 and the token, or 401 where the cache has nothing.</summary>
        private static async Task TokenAsync(IOwinContext context, ClaimsPrincipal user)
        {
            IAccount account = await MsalClient.Instance.GetAccountAsync(user.GetMsalAccountId());
            if (account == null)
            {
                context.Response.StatusCode = 401;
                return;
            }

            int refreshMs;
            bool refresh = int.TryParse(context.Request.Query["refresh_ms"], out refreshMs);
            DemoTokenEndpoint.RefreshTakesMs = refreshMs;
            try
            {
                AuthenticationResult result = await MsalClient.Instance
                    .AcquireTokenSilent(MsalClient.Scopes, account)
                    .WithForceRefresh(refresh)
                    .ExecuteAsync();
                await context.Response.WriteAsync(Settings.Demo ? result.AccessToken : "a token");
            }
            catch (MsalUiRequiredException)
            {
                context.Response.StatusCode = 401;
            }
        }

        /// <summary><c>/demo/sign-in?user=alice&amp;sid=s1&amp;auth_time=…</c>: whoever asks is signed in.</summary>
        private static async Task DemoSignInAsync(IOwinContext context)
        {
            string user = context.Request.Query["user"] ?? "alice";
            string sid = context.Request.Query["sid"] ?? "s1";
            long authTime;
            if (!long.TryParse(context.Request.Query["auth_time"], out authTime))
            {
                authTime = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            }

            AuthenticationResult result = await MsalClient.Instance
                .AcquireTokenByAuthorizationCode(MsalClient.Scopes, DemoTokenEndpoint.Code(user, sid, authTime))
                .ExecuteAsync();
            ClaimsIdentity identity = new ClaimsIdentity(CookieAuthenticationDefaults.AuthenticationType);
            identity.AddClaim(new Claim("iss", DemoTokenEndpoint.Issuer));
            identity.AddClaim(new Claim("aud", DemoTokenEndpoint.ClientId));
            identity.AddClaim(new Claim("sub", "pairwise-" + user));
            identity.AddClaim(new Claim("sid", sid));
            identity.AddClaim(new Claim("auth_time", authTime.ToString(CultureInfo.InvariantCulture)));
            identity.AddClaim(new Claim("name", user));
            AddAccount(identity, result.Account);
            context.Authentication.SignIn(new AuthenticationProperties(), identity);
            await context.Response.WriteAsync(result.Account.HomeAccountId.Identifier);
        }
    }
}
