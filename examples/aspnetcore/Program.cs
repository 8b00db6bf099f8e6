// A small app that calls an API for its user. With Demo=true it needs no OP: see Demo/DemoSignIn.cs.

using System;
using System.Security.Claims;
using System.Threading.Tasks;
using LogoutReceiver;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Identity.Web;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

namespace Example
{
    public static class Program
    {
        public static async Task Main(string[] args)
        {
            WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
            IConfiguration settings = builder.Configuration;
            string redis = settings["Redis"] ?? "127.0.0.1:6379";
            bool demo = settings.GetValue<bool>("Demo");

            if (demo)
            {
                DemoSignIn.AddServices(builder.Services);
            }
            else
            {
                builder.Services
                    .AddAuthentication(OpenIdConnectDefaults.AuthenticationScheme)
                    .AddMicrosoftIdentityWebApp(settings.GetSection("AzureAd"))
                    .EnableTokenAcquisitionToCallDownstreamApi()
                    .AddDistributedTokenCaches();
            }

            builder.Services.AddStackExchangeRedisCache(options =>
            {
                options.Configuration = redis;
                options.InstanceName = settings["TokenCache:InstanceName"];
            });
            builder.Services.Configure<MsalDistributedTokenCacheAdapterOptions>(options =>
            {
                options.DisableL1Cache = settings.GetValue<bool>("TokenCache:DisableL1Cache");
                options.Encrypt = settings.GetValue<bool>("TokenCache:Encrypt");
            });
            builder.Services.AddAuthorization();

            // LogoutReceiver__Enabled=false runs the app as it was before.
            if (settings.GetValue<bool>("LogoutReceiver:Enabled", true))
            {
                // The one line. The options are there to be seen; the first argument alone would do.
                builder.Services.AddLogoutReceiver(redis, options =>
                {
                    options.App = settings["App"] ?? options.App;
                    options.ClientId = settings["AzureAd:ClientId"];
                    options.RegisterAt = settings.GetValue<Uri>("LogoutReceiver:RegisterAt");
                    options.RegisterToken = settings["LogoutReceiver:RegisterToken"];
                    options.RefuseWithoutTokens = settings.GetValue<bool>("LogoutReceiver:RefuseWithoutTokens");
                });
            }

            WebApplication app = builder.Build();
            app.UseAuthentication();
            app.UseAuthorization();
            app.MapGet("/health", () => Results.Text("up"));
            app.MapGet("/me", (ClaimsPrincipal user) => Results.Text(user.FindFirst("name")?.Value ?? "nameless"))
                .RequireAuthorization();
            if (demo)
            {
                DemoSignIn.MapEndpoints(app);
            }
            else
            {
                app.MapGet("/token", TokenAsync).RequireAuthorization();
            }

            await app.RunAsync();
        }

        /// <summary>The silent call: 200 with the token's beginning, or a new sign-in where the cache has nothing.</summary>
        private static async Task<IResult> TokenAsync(ITokenAcquisition tokens, IConfiguration settings)
        {
            string[] scopes = (settings["Downstream:Scopes"] ?? "User.Read").Split(' ');
            try
            {
                string token = await tokens.GetAccessTokenForUserAsync(scopes);
                return Results.Text(token.Substring(0, 12));
            }
            catch (MicrosoftIdentityWebChallengeUserException)
            {
                return Results.Challenge(
                    new AuthenticationProperties { RedirectUri = "/token" }, new[] { OpenIdConnectDefaults.AuthenticationScheme });
            }
        }
    }
}
