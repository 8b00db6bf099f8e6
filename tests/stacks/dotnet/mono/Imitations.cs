// What the shared files of the examples need of other packages, imitated far enough to run their rules under Mono:
// the two levels of MsalDistributedTokenCacheAdapter, a shared cache in memory, a protector.

using System;
using System.Collections.Generic;
using System.Security.Cryptography;
using System.Threading;
using System.Threading.Tasks;

namespace Microsoft.Extensions.Logging
{
    public interface ILogger
    {
        void Write(string line);
    }

    public interface ILogger<out T> : ILogger
    {
    }

    public sealed class ConsoleLogger<T> : ILogger<T>
    {
        public void Write(string line)
        {
            Console.Error.WriteLine(line);
        }
    }

    public static class LoggerExtensions
    {
        public static void LogInformation(this ILogger logger, string message, params object[] arguments)
        {
            logger.Write(message + " " + string.Join(" ", arguments));
        }

        public static void LogWarning(this ILogger logger, string message, params object[] arguments)
        {
            logger.Write(message + " " + string.Join(" ", arguments));
        }

        public static void LogError(this ILogger logger, Exception error, string message, params object[] arguments)
        {
            logger.Write(message + " " + string.Join(" ", arguments) + " " + error);
        }
    }
}

namespace Microsoft.Extensions.Options
{
    public interface IOptions<out T>
    {
        T Value { get; }
    }

    public sealed class Fixed<T> : IOptions<T>
    {
        public Fixed(T value)
        {
            Value = value;
        }

        public T Value { get; }
    }
}

namespace Microsoft.Extensions.Caching.Distributed
{
    public interface IDistributedCache
    {
        Task<byte[]> GetAsync(string key, CancellationToken token = default(CancellationToken));

        Task SetAsync(string key, byte[] value);

        Task RemoveAsync(string key);
    }

    public sealed class SharedCache : IDistributedCache
    {
        public Dictionary<string, byte[]> Values { get; } = new Dictionary<string, byte[]>();

        public bool IsDown { get; set; }

        public Task<byte[]> GetAsync(string key, CancellationToken token)
        {
            if (IsDown)
            {
                throw new InvalidOperationException("down");
            }

            byte[] value;
            Values.TryGetValue(key, out value);
            return Task.FromResult(value);
        }

        public Task SetAsync(string key, byte[] value)
        {
            Values[key] = value;
            return Task.CompletedTask;
        }

        public Task RemoveAsync(string key)
        {
            Values.Remove(key);
            return Task.CompletedTask;
        }
    }
}

namespace Microsoft.AspNetCore.DataProtection
{
    public interface IDataProtectionProvider
    {
        IDataProtector CreateProtector(string purpose);
    }

    public interface IDataProtector : IDataProtectionProvider
    {
        byte[] Protect(byte[] plain);

        byte[] Unprotect(byte[] value);
    }

    /// <summary>Hides the bytes, and refuses what it has not hidden.</summary>
    public sealed class Protector : IDataProtector, IServiceProvider
    {
        public IDataProtector CreateProtector(string purpose)
        {
            return this;
        }

        public byte[] Protect(byte[] plain)
        {
            byte[] value = Array.ConvertAll(plain, one => (byte)(one ^ 0x55));
            Array.Resize(ref value, value.Length + 1);
            value[plain.Length] = 9;
            return value;
        }

        public byte[] Unprotect(byte[] value)
        {
            if (value[value.Length - 1] != 9)
            {
                throw new CryptographicException("not protected");
            }

            byte[] plain = Array.ConvertAll(value, one => (byte)(one ^ 0x55));
            Array.Resize(ref plain, plain.Length - 1);
            return plain;
        }

        public object GetService(Type type)
        {
            return type == typeof(IDataProtectionProvider) ? this : null;
        }
    }
}

namespace Microsoft.Identity.Web.TokenCacheProviders
{
    public sealed class CacheSerializerHints
    {
    }
}

namespace Microsoft.Identity.Web.TokenCacheProviders.Distributed
{
    using Microsoft.Extensions.Caching.Distributed;
    using Microsoft.Extensions.Logging;
    using Microsoft.Extensions.Options;

    public sealed class MsalDistributedTokenCacheAdapterOptions
    {
        public bool Encrypt { get; set; }
    }

    /// <summary>Memory first; values are protected before they are written and after they are read, as in the real one.</summary>
    public class MsalDistributedTokenCacheAdapter
    {
        private readonly IDistributedCache _shared;

        public MsalDistributedTokenCacheAdapter(
            IDistributedCache distributedCache,
            IOptions<MsalDistributedTokenCacheAdapterOptions> options,
            ILogger<MsalDistributedTokenCacheAdapter> logger,
            IServiceProvider serviceProvider)
        {
            _shared = distributedCache;
        }

        public Dictionary<string, byte[]> Memory { get; } = new Dictionary<string, byte[]>();

        /// <summary>What happens between the write to memory and that to the shared cache.</summary>
        public Func<Task> Meanwhile { get; set; } = () => Task.CompletedTask;

        public Task ClearAsync(string homeAccountId)
        {
            return RemoveKeyAsync(homeAccountId);
        }

        public Task WriteAsync(string cacheKey, byte[] bytes)
        {
            return WriteCacheBytesAsync(cacheKey, bytes, new CacheSerializerHints());
        }

        public Task<byte[]> ReadAsync(string cacheKey)
        {
            return ReadCacheBytesAsync(cacheKey, new CacheSerializerHints());
        }

        protected virtual Task RemoveKeyAsync(string cacheKey)
        {
            Memory.Remove(cacheKey);
            return _shared.RemoveAsync(cacheKey);
        }

        protected virtual async Task<byte[]> ReadCacheBytesAsync(string cacheKey, CacheSerializerHints cacheSerializerHints)
        {
            byte[] value;
            if (!Memory.TryGetValue(cacheKey, out value))
            {
                value = await _shared.GetAsync(cacheKey);
                if (value != null)
                {
                    Memory[cacheKey] = value;
                }
            }

            return value;
        }

        protected virtual async Task WriteCacheBytesAsync(
            string cacheKey, byte[] bytes, CacheSerializerHints cacheSerializerHints)
        {
            Memory[cacheKey] = bytes;
            await Meanwhile();
            await _shared.SetAsync(cacheKey, bytes);
        }
    }
}
