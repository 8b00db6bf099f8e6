// One value of the MSAL token cache: the JSON that SerializeMsalV3 writes.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Text;

namespace LogoutReceiver
{
    /// <summary>
    /// Finds and removes an account's tokens. The fields of an entry count, not its name; <c>environment</c> is never
    /// compared, and application tokens, which name no account, are never touched.
    /// </summary>
    internal sealed class CachedTokens
    {
        private const string IdTokens = "IdToken";
        private const string AccessTokens = "AccessToken";
        private const string AccountEntries = "Account";

        private static readonly string[] Credentials = { AccessTokens, "RefreshToken", IdTokens };

        private readonly IDictionary<string, object> _sections;

        private CachedTokens(IDictionary<string, object> sections)
        {
            _sections = sections;
        }

        /// <summary>The parsed cache; null for anything that is not plain MSAL JSON.</summary>
        public static CachedTokens TryParse(byte[] bytes)
        {
            try
            {
                return new CachedTokens(Json.Parse(Encoding.UTF8.GetString(bytes)));
            }
            catch (FormatException)
            {
                return null;
            }
        }

        public string ToJson()
        {
            return Json.Write(_sections);
        }

        /// <summary>Every account that has a token here.</summary>
        public ISet<string> Accounts()
        {
            HashSet<string> accounts = new HashSet<string>(StringComparer.Ordinal);
            foreach (string section in Credentials)
            {
                foreach (IDictionary<string, object> entry in Entries(section).Values)
                {
                    string account = Json.Text(entry, "home_account_id");
                    if (!string.IsNullOrEmpty(account))
                    {
                        accounts.Add(account);
                    }
                }
            }

            return accounts;
        }

        /// <summary>What the tokens of each client of one account say.</summary>
        public IList<TokenFacts> ClientsOf(string account)
        {
            Dictionary<string, TokenFacts> clients = new Dictionary<string, TokenFacts>(StringComparer.Ordinal);
            foreach (string section in Credentials)
            {
                foreach (IDictionary<string, object> entry in Entries(section).Values)
                {
                    if (Json.Text(entry, "home_account_id") != account)
                    {
                        continue;
                    }

                    string clientId = Json.Text(entry, "client_id") ?? string.Empty;
                    TokenFacts facts;
                    if (!clients.TryGetValue(clientId, out facts))
                    {
                        facts = new TokenFacts { ClientId = clientId };
                        clients.Add(clientId, facts);
                    }

                    Learn(facts, section, entry);
                }
            }

            return new List<TokenFacts>(clients.Values);
        }

        /// <summary>Removes one client's tokens of one account, and the account itself with the last of them.</summary>
        public void Remove(string account, string clientId)
        {
            foreach (string section in Credentials)
            {
                RemoveWhere(
                    section,
                    entry => Json.Text(entry, "home_account_id") == account
                        && (Json.Text(entry, "client_id") ?? string.Empty) == clientId);
            }

            if (!Accounts().Contains(account))
            {
                RemoveWhere(AccountEntries, entry => Json.Text(entry, "home_account_id") == account);
            }
        }

        private static void Learn(TokenFacts facts, string section, IDictionary<string, object> entry)
        {
            if (section == AccessTokens)
            {
                long? cachedAt = Json.Number(entry, "cached_at");
                if (facts.OldestAccessToken == null || cachedAt < facts.OldestAccessToken)
                {
                    facts.OldestAccessToken = cachedAt;
                }
            }
            else if (section == IdTokens)
            {
                IDictionary<string, object> claims = Claims(Json.Text(entry, "secret"));
                facts.SessionId = Json.Text(claims, "sid") ?? facts.SessionId;
                long? givenAt = Json.Number(claims, "iat");
                if (facts.GivenAt == null || givenAt > facts.GivenAt)
                {
                    facts.GivenAt = givenAt;
                }

                long? authTime = Json.Number(claims, "auth_time");
                if (facts.AuthTime == null || authTime > facts.AuthTime)
                {
                    facts.AuthTime = authTime;
                }
            }
        }

        // MSAL received it from the token endpoint itself; there is no signature to check again.
        private static IDictionary<string, object> Claims(string idToken)
        {
            string[] parts = (idToken ?? string.Empty).Split('.');
            if (parts.Length > 1)
            {
                try
                {
                    string payload = parts[1].Replace('-', '+').Replace('_', '/');
                    payload = payload.PadRight(payload.Length + ((4 - (payload.Length % 4)) % 4), '=');
                    return Json.Parse(Encoding.UTF8.GetString(Convert.FromBase64String(payload)));
                }
                catch (FormatException)
                {
                    // An ID token nobody can read says nothing.
                }
            }

            return new Dictionary<string, object>();
        }

        private Dictionary<string, IDictionary<string, object>> Entries(string section)
        {
            Dictionary<string, IDictionary<string, object>> entries = new Dictionary<string, IDictionary<string, object>>();
            IDictionary<string, object> all = Json.Object(_sections, section);
            if (all != null)
            {
                foreach (string key in all.Keys)
                {
                    IDictionary<string, object> entry = Json.Object(all, key);
                    if (entry != null)
                    {
                        entries.Add(key, entry);
                    }
                }
            }

            return entries;
        }

        private void RemoveWhere(string section, Predicate<IDictionary<string, object>> matches)
        {
            IDictionary<string, object> all = Json.Object(_sections, section);
            foreach (KeyValuePair<string, IDictionary<string, object>> entry in Entries(section))
            {
                if (matches(entry.Value))
                {
                    all.Remove(entry.Key);
                }
            }
        }
    }
}
