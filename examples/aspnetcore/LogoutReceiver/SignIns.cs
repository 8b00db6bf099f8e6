// Registering sign-ins with the receiver's API; off unless RegisterAt is set.

#nullable enable

using System;
using System.Collections.Generic;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Claims;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.Logging;
using Microsoft.Identity.Web;

namespace LogoutReceiver
{
    /// <summary>Tells the receiver who signed in, so that a logout token that names only a session finds the user.</summary>
    internal sealed class SignIns
    {
        private readonly LogoutReceiverOptions _options;
        private readonly IHttpClientFactory _clients;
        private readonly ILogger<SignIns> _logger;

        public SignIns(LogoutReceiverOptions options, IHttpClientFactory clients, ILogger<SignIns> logger)
        {
            _options = options;
            _clients = clients;
            _logger = logger;
        }

        /// <summary>False when a logout overtook the sign-in. A receiver that does not answer stops nobody.</summary>
        public async Task<bool> RegisterAsync(ClaimsPrincipal principal, CancellationToken cancellationToken)
        {
            if (_options.RegisterAt == null)
            {
                return true;
            }

            Dictionary<string, object> body = new Dictionary<string, object>();
            Put(body, "iss", Session.ClaimValue(principal, "iss"));
            Put(body, "client_id", _options.ClientId ?? Session.ClaimValue(principal, "aud"));
            Put(body, "sub", Session.Subject(principal));
            Put(body, "sid", Session.ClaimValue(principal, "sid"));
            Put(body, "auth_time", Session.Number(Session.ClaimValue(principal, "auth_time")));
            Put(body, "iat", Session.Number(Session.ClaimValue(principal, "iat")));
            Put(body, "home_account_id", principal.GetMsalAccountId());
            Put(body, "lifetime_s", (long)_options.RememberFor.TotalSeconds);
            try
            {
                using (HttpRequestMessage request =
                    new HttpRequestMessage(HttpMethod.Put, new Uri(_options.RegisterAt, "/v1/sessions")))
                {
                    request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _options.RegisterToken);
                    request.Content = JsonContent.Create(body);
                    HttpClient client = _clients.CreateClient(nameof(SignIns));
                    using (HttpResponseMessage response = await client.SendAsync(request, cancellationToken))
                    {
                        if (response.StatusCode == HttpStatusCode.Conflict)
                        {
                            return false;
                        }

                        response.EnsureSuccessStatusCode();
                    }
                }
            }
            catch (Exception error) when (error is HttpRequestException || error is TaskCanceledException)
            {
                _logger.LogWarning("The sign-in was not registered: {Reason}", error.Message);
            }

            return true;
        }

        private static void Put(Dictionary<string, object> body, string name, object? value)
        {
            if (value != null)
            {
                body[name] = value;
            }
        }
    }
}
