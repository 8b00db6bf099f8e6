// The adapter of Microsoft.Identity.Web, which does not write a signed-out user's tokens back and does not read them.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web.TokenCacheProviders;
using Microsoft.Identity.Web.TokenCacheProviders.Distributed;

namespace LogoutReceiver
{
    /// <summary>
    /// A refresh in flight while its user signs out would bring the tokens back; here it does not. A later sign-in of the
    /// same user is told apart by the cached ID token's <c>sid</c>, then <c>auth_time</c>, then by the age of the oldest
    /// access token, and passes.
    /// </summary>
    public sealed class GuardedTokenCache : MsalDistributedTokenCacheAdapter
    {
        // What Microsoft.Identity.Web protects values with when Encrypt is true; it does so before it writes and after
        // it has read, so that this class sees the protected bytes.
        private const string Purpose = "msal_cache";

        private readonly IDistributedCache _shared;
        private readonly ILogger _logger;
        private readonly IDataProtector _protector;
        private readonly SignedOut _signedOut;

        public GuardedTokenCache(
            IDistributedCache distributedCache,
            IOptions<MsalDistributedTokenCacheAdapterOptions> options,
            ILogger<MsalDistributedTokenCacheAdapter> logger,
            IServiceProvider serviceProvider,
            SignedOut signedOut)
            : base(distributedCache, options, logger, serviceProvider)
        {
            _shared = distributedCache;
            _logger = logger;
            _signedOut = signedOut;
            if (options.Value.Encrypt)
            {
                IDataProtectionProvider provider =
                    serviceProvider.GetService(typeof(IDataProtectionProvider)) as IDataProtectionProvider;
                _protector = provider == null ? null : provider.CreateProtector(Purpose);
            }
        }

        /// <summary>
        /// Drops one account from memory and from the shared cache, for all its sessions; unless it signed in again since.
        /// </summary>
        public async Task ForgetAsync(string account)
        {
            byte[] bytes = await ReadSharedAsync(account, CancellationToken.None).ConfigureAwait(false);
            if (bytes == null || Without(account, bytes, (who, tokens) => _signedOut.Means(who, tokens)) == null)
            {
                await ClearAsync(account).ConfigureAwait(false);
            }
        }

        /// <summary>Whether the shared cache holds anything for this account; true when it cannot be asked.</summary>
        public async Task<bool> HoldsAsync(string account)
        {
            try
            {
                byte[] bytes = await _shared.GetAsync(account, CancellationToken.None).ConfigureAwait(false);
                return bytes != null && Without(account, bytes, IsOver) != null;
            }
            catch (Exception error)
            {
                _logger.LogWarning("The token cache cannot be asked, the session is left as it is: {Reason}", error.Message);
                return true;
            }
        }

        protected override async Task<byte[]> ReadCacheBytesAsync(string cacheKey, CacheSerializerHints cacheSerializerHints)
        {
            byte[] bytes = await base.ReadCacheBytesAsync(cacheKey, cacheSerializerHints).ConfigureAwait(false);
            if (bytes == null || !_signedOut.Knows(cacheKey))
            {
                return bytes;
            }

            byte[] kept = Without(cacheKey, bytes, IsOver);
            if (kept != null)
            {
                return kept;
            }

            // This process's copy is over; another replica may have signed the user in again.
            bytes = await ReadSharedAsync(cacheKey, CancellationToken.None).ConfigureAwait(false);
            return bytes == null ? null : Without(cacheKey, bytes, IsOver);
        }

        protected override async Task WriteCacheBytesAsync(
            string cacheKey, byte[] bytes, CacheSerializerHints cacheSerializerHints)
        {
            if (bytes == null)
            {
                await base.WriteCacheBytesAsync(cacheKey, bytes, cacheSerializerHints).ConfigureAwait(false);
                return;
            }

            byte[] kept = WithoutForWriting(cacheKey, bytes);
            if (kept == null)
            {
                // Not written, and not removed either: what is there by now may be a new sign-in's.
                _logger.LogInformation("Tokens of a signed-out user were not written back to the cache");
                return;
            }

            await base.WriteCacheBytesAsync(cacheKey, kept, cacheSerializerHints).ConfigureAwait(false);

            // The sign-out may have been heard during the write, and its clearing may have come first.
            if (Without(cacheKey, kept, IsOver) == null)
            {
                await RemoveKeyAsync(cacheKey).ConfigureAwait(false);
            }
        }

        private bool IsOver(string account, TokenFacts tokens)
        {
            return _signedOut.Judge(account, tokens) == Verdict.Ended;
        }

        private byte[] WithoutForWriting(string cacheKey, byte[] bytes)
        {
            HashSet<string> doubtful = new HashSet<string>(StringComparer.Ordinal);
            byte[] kept = Without(cacheKey, bytes, (account, tokens) =>
            {
                Verdict verdict = _signedOut.Judge(account, tokens);
                if (verdict == Verdict.Doubtful)
                {
                    doubtful.Add(account);
                }

                return verdict == Verdict.Ended;
            });
            doubtful.RemoveWhere(account => !_signedOut.SpendDoubt(account));
            return doubtful.Count == 0
                ? kept
                : Without(cacheKey, bytes, (account, tokens) => IsOver(account, tokens) || doubtful.Contains(account));
        }

        /// <summary>The same bytes when nothing is to be dropped, null when nothing is left, else what is left.</summary>
        private byte[] Without(string cacheKey, byte[] bytes, Func<string, TokenFacts, bool> drop)
        {
            if (_signedOut.IsEmpty)
            {
                return bytes;
            }

            bool isProtected;
            CachedTokens tokens = CachedTokens.TryParse(Unprotect(bytes, out isProtected));
            if (tokens == null)
            {
                // Not to be read: then the key alone says whose it is.
                return drop(cacheKey, new TokenFacts()) ? null : bytes;
            }

            bool changed = false;
            foreach (string account in tokens.Accounts())
            {
                foreach (TokenFacts facts in tokens.ClientsOf(account))
                {
                    if (drop(account, facts))
                    {
                        tokens.Remove(account, facts.ClientId);
                        changed = true;
                    }
                }
            }

            if (!changed)
            {
                return bytes;
            }

            if (tokens.Accounts().Count == 0)
            {
                return null;
            }

            byte[] left = Encoding.UTF8.GetBytes(tokens.ToJson());
            return isProtected ? _protector.Protect(left) : left;
        }

        private byte[] Unprotect(byte[] bytes, out bool isProtected)
        {
            isProtected = false;
            if (_protector == null)
            {
                return bytes;
            }

            try
            {
                byte[] plain = _protector.Unprotect(bytes);
                isProtected = true;
                return plain;
            }
            catch (CryptographicException)
            {
                // Written before Encrypt was switched on, as Microsoft.Identity.Web itself assumes.
                return bytes;
            }
        }

        private async Task<byte[]> ReadSharedAsync(string cacheKey, CancellationToken cancellationToken)
        {
            try
            {
                return await _shared.GetAsync(cacheKey, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception error) when (!(error is OperationCanceledException))
            {
                _logger.LogWarning("The shared token cache cannot be read: {Reason}", error.Message);
                return null;
            }
        }
    }
}
