// Session cookies: refused when their session is over.

#nullable enable

using System;
using System.Security.Claims;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web;
using Microsoft.Identity.Web.TokenCacheProviders;

namespace LogoutReceiver
{
    /// <summary>Looks at every request's cookie, after whatever the app itself does in <c>OnValidatePrincipal</c>.</summary>
    public sealed class RefuseSignedOutCookies : IPostConfigureOptions<CookieAuthenticationOptions>
    {
        private readonly LogoutReceiverOptions _options;
        private readonly SignedOut _signedOut;
        private readonly IServiceProvider _services;

        public RefuseSignedOutCookies(LogoutReceiverOptions options, SignedOut signedOut, IServiceProvider services)
        {
            _options = options;
            _signedOut = signedOut;
            _services = services;
        }

        public void PostConfigure(string? name, CookieAuthenticationOptions options)
        {
            Func<CookieValidatePrincipalContext, Task> before = options.Events.OnValidatePrincipal;
            options.Events.OnValidatePrincipal = async context =>
            {
                await before(context);
                await ValidateAsync(context);
            };
        }

        /// <summary>Refuses the cookie of a session that is over. For apps that set <c>EventsType</c> to call themselves.</summary>
        public async Task ValidateAsync(CookieValidatePrincipalContext context)
        {
            if (context.Principal == null)
            {
                return;
            }

            SessionFacts session = Session.Read(context.Principal, context.Properties, _options);
            bool over = _signedOut.Ends(session);
            if (!over && _options.RefuseWithoutTokens && session.Account != null)
            {
                over = _services.GetService<IMsalTokenCacheProvider>() is GuardedTokenCache guarded
                    && !await guarded.HoldsAsync(session.Account);
            }

            if (over)
            {
                context.RejectPrincipal();
                await context.HttpContext.SignOutAsync(context.Scheme.Name);
            }
        }
    }

    /// <summary>Keeps in the cookie what the OpenID Connect handler would throw away, and registers the sign-in if wanted.</summary>
    internal sealed class RememberSignIns : IPostConfigureOptions<OpenIdConnectOptions>
    {
        private readonly SignIns _signIns;

        public RememberSignIns(SignIns signIns)
        {
            _signIns = signIns;
        }

        public void PostConfigure(string? name, OpenIdConnectOptions options)
        {
            Func<TokenValidatedContext, Task> before = options.Events.OnTokenValidated;
            options.Events.OnTokenValidated = async context =>
            {
                await before(context);
                if (context.Result != null || context.Principal == null)
                {
                    return;
                }

                if (context.Properties != null)
                {
                    Session.Remember(context.Principal, context.Properties);
                }

                if (!await _signIns.RegisterAsync(context.Principal, context.HttpContext.RequestAborted))
                {
                    context.Fail("The session was signed out before the sign-in was complete.");
                }
            };
        }
    }

    /// <summary>What a cookie says of its session.</summary>
    internal static class Session
    {
        private const string IssuerItem = "logout-receiver.iss";
        private const string ClientItem = "logout-receiver.aud";
        private const string BeganItem = "logout-receiver.iat";

        public static void Remember(ClaimsPrincipal principal, AuthenticationProperties properties)
        {
            properties.Items[IssuerItem] = ClaimValue(principal, "iss");
            properties.Items[ClientItem] = ClaimValue(principal, "aud");
            properties.Items[BeganItem] = ClaimValue(principal, "iat");
        }

        public static SessionFacts Read(
            ClaimsPrincipal principal, AuthenticationProperties properties, LogoutReceiverOptions options)
        {
            string? subject = Subject(principal);
            long? authTime = Number(ClaimValue(principal, "auth_time"));
            return new SessionFacts
            {
                Issuer = Item(properties, IssuerItem) ?? ClaimValue(principal, "iss") ?? SubjectClaim(principal)?.Issuer,
                ClientId = options.ClientId ?? Item(properties, ClientItem) ?? ClaimValue(principal, "aud"),
                Subject = subject,
                SessionId = ClaimValue(principal, "sid"),
                Account = Account(principal),
                AuthTime = authTime,
                BeganAt = authTime ?? Number(Item(properties, BeganItem)) ?? properties.IssuedUtc?.ToUnixTimeSeconds(),
                GivenAt = Number(Item(properties, BeganItem)),
                IssuedAt = properties.IssuedUtc,
            };
        }

        /// <summary>MSAL's key of the user: Microsoft's <c>uid.utid</c>, else the subject.</summary>
        public static string? Account(ClaimsPrincipal principal)
        {
            return principal.GetMsalAccountId() ?? Subject(principal);
        }

        public static string? Subject(ClaimsPrincipal principal)
        {
            return SubjectClaim(principal)?.Value;
        }

        public static string? ClaimValue(ClaimsPrincipal principal, string type)
        {
            return principal.FindFirst(type)?.Value;
        }

        public static long? Number(string? text)
        {
            return long.TryParse(text, out long number) ? number : (long?)null;
        }

        private static Claim? SubjectClaim(ClaimsPrincipal principal)
        {
            return principal.FindFirst("sub") ?? principal.FindFirst(ClaimTypes.NameIdentifier);
        }

        private static string? Item(AuthenticationProperties properties, string name)
        {
            // What was null at sign-in is empty in the cookie.
            return properties.Items.TryGetValue(name, out string? value) && !string.IsNullOrEmpty(value) ? value : null;
        }
    }
}
