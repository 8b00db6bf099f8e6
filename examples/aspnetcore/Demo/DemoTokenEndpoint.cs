// A token endpoint inside the process, so that the example runs without an OP. Never use it in an app.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Identity.Client;

namespace Example
{
    /// <summary>Answers MSAL's requests as Microsoft's endpoint does; the code and the refresh token say for whom.</summary>
    public sealed class DemoTokenEndpoint : HttpMessageHandler, IMsalHttpClientFactory
    {
        public const string Tenant = "11111111-1111-1111-1111-111111111111";
        public const string ClientId = "aaaaaaaa-0000-0000-0000-000000000001";
        public const string Issuer = "https://login.microsoftonline.com/" + Tenant + "/v2.0";

        /// <summary>Milliseconds a refresh takes, to have one in flight.</summary>
        public static volatile int RefreshTakesMs;

        private int _issued;

        /// <summary>An authorization code for a user's session.</summary>
        public static string Code(string user, string sid, long authTime)
        {
            return Encode(user + "|" + sid + "|" + authTime);
        }

        /// <summary>The user's home account id.</summary>
        public static string Account(string user)
        {
            return "oid-" + user + "." + Tenant;
        }

        public HttpClient GetHttpClient()
        {
            return new HttpClient(this, false);
        }

        protected override async Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request, CancellationToken cancellationToken)
        {
            string path = request.RequestUri.AbsolutePath;
            if (!path.EndsWith("/token", StringComparison.Ordinal))
            {
                return Answer(HttpStatusCode.NotFound, "{\"error\":\"not_found\"}");
            }

            string body = await request.Content.ReadAsStringAsync().ConfigureAwait(false);
            IDictionary<string, string> form = Form(body);
            string grant;
            if (form.TryGetValue("refresh_token", out grant))
            {
                await Task.Delay(RefreshTakesMs, cancellationToken).ConfigureAwait(false);
            }
            else if (!form.TryGetValue("code", out grant))
            {
                return Answer(HttpStatusCode.BadRequest, "{\"error\":\"unsupported_grant_type\"}");
            }

            string[] parts = Decode(grant).Split('|');
            return Answer(HttpStatusCode.OK, Tokens(grant, parts[0], parts[1], parts[2]));
        }

        private static HttpResponseMessage Answer(HttpStatusCode status, string json)
        {
            return new HttpResponseMessage(status) { Content = new StringContent(json, Encoding.UTF8, "application/json") };
        }

        private static IDictionary<string, string> Form(string body)
        {
            Dictionary<string, string> form = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (string pair in body.Split('&'))
            {
                int equals = pair.IndexOf('=');
                if (equals > 0)
                {
                    form[pair.Substring(0, equals)] = Uri.UnescapeDataString(pair.Substring(equals + 1).Replace('+', ' '));
                }
            }

            return form;
        }

        private static string Encode(string text)
        {
            return Convert.ToBase64String(Encoding.UTF8.GetBytes(text)).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        }

        private static string Decode(string text)
        {
            string base64 = text.Replace('-', '+').Replace('_', '/');
            base64 = base64.PadRight(base64.Length + ((4 - (base64.Length % 4)) % 4), '=');
            return Encoding.UTF8.GetString(Convert.FromBase64String(base64));
        }

        private string Tokens(string grant, string user, string sid, string authTime)
        {
            long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            string claims = "{\"iss\":\"" + Issuer + "\",\"aud\":\"" + ClientId + "\",\"sub\":\"pairwise-" + user
                + "\",\"oid\":\"oid-" + user + "\",\"tid\":\"" + Tenant + "\",\"name\":\"" + user
                + "\",\"preferred_username\":\"" + user + "@example.com\",\"sid\":\"" + sid + "\",\"auth_time\":" + authTime
                + ",\"iat\":" + now + ",\"nbf\":" + now + ",\"exp\":" + (now + 3600) + ",\"ver\":\"2.0\"}";
            string idToken = Encode("{\"alg\":\"none\",\"typ\":\"JWT\"}") + "." + Encode(claims) + ".";
            string clientInfo = Encode("{\"uid\":\"oid-" + user + "\",\"utid\":\"" + Tenant + "\"}");
            int number = Interlocked.Increment(ref _issued);
            return "{\"token_type\":\"Bearer\",\"scope\":\"User.Read\",\"expires_in\":3600,\"access_token\":\"at-" + user + "-"
                + number + "\",\"refresh_token\":\"" + grant + "\",\"id_token\":\"" + idToken + "\",\"client_info\":\""
                + clientInfo + "\"}";
        }
    }
}
