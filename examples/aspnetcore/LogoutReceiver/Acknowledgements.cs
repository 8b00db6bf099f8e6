// Says what was done: which events this process has acted on, and that it listens at all.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace LogoutReceiver
{
    /// <summary>Records in Redis what this process has acted on, for <c>receiver trace</c> and the metrics.</summary>
    internal sealed class Acknowledgements
    {
        /// <summary>Seconds between two signs of life.</summary>
        public const double HeartbeatSeconds = 10;

        /// <summary>Acknowledgements kept while they cannot be sent; then the oldest are dropped.</summary>
        public const int MaxWaiting = 10000;

        /// <summary>Acknowledgements in one call: more would hold Redis, and so a sign-out, for longer.</summary>
        public const int MaxBatch = 50;

        // The receiver's own receiver/bus/lua/acknowledge.lua, without its comments.
        private const string Script = @"
local call, format = redis.call, string.format
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - ARGV[4]
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'
local acks, by = KEYS[1] .. ':', ' ' .. ARGV[3] .. ' ' .. ARGV[1]

call('ZADD', KEYS[2], format('%.0f', now), member)
call('ZADD', KEYS[3], 'NX', format('%.0f', began), member)

local first = {}
for index = 6, #ARGV, 4 do
  local id, at = ARGV[index], now - ARGV[index + 1]
  if call('HSETNX', acks .. id, member, format('%.0f', at)) == 1 then
    local late = not group and ARGV[index + 3] - began < 0
    local after = late and 'late' or format('%.0f', math.max(0, at - ARGV[index + 2]))
    first[#first + 1] = id .. ' ' .. after .. by
  end
end
local length = 0
for index = 1, #first, 1000 do
  length = call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
end
if length > tonumber(ARGV[5]) then call('LTRIM', KEYS[1], -ARGV[5], -1) end
return #first
";

        private readonly ILogger _logger;
        private readonly string _app;
        private readonly string _worker;
        private readonly RedisKey[] _keys;
        private readonly bool _wanted;
        private readonly Queue<Handled> _waiting = new Queue<Handled>();
        private Stopwatch _sinceStart = Stopwatch.StartNew();
        private double? _sentAt;
        private bool _failing;

        public Acknowledgements(LogoutReceiverOptions options, ILogger logger)
        {
            _logger = logger;
            _app = options.App;
            _wanted = options.Acknowledge;
            int processId;
            using (Process process = Process.GetCurrentProcess())
            {
                processId = process.Id;
            }

            _worker = Environment.MachineName.Replace('/', '-') + "-" + processId.ToString(CultureInfo.InvariantCulture)
                + "-" + Guid.NewGuid().ToString("N").Substring(0, 6);
            _keys = new RedisKey[]
            {
                options.Prefix + ":acks",
                options.Prefix + ":instances",
                options.Prefix + ":instances:since",
            };
        }

        private double ElapsedMs
        {
            get { return _sinceStart.Elapsed.TotalMilliseconds; }
        }

        public void BeginAt(Stopwatch sinceStart)
        {
            _sinceStart = sinceStart;
        }

        public void Add(Eviction eviction, long publishedMs)
        {
            _waiting.Enqueue(new Handled(eviction.Id, ElapsedMs, eviction.ReceivedAtMs, publishedMs));
            while (_waiting.Count > MaxWaiting)
            {
                _waiting.Dequeue();
            }
        }

        /// <summary>Sends what there is, and a sign of life when there is nothing. A failure is logged once.</summary>
        public async Task SendAsync(IDatabase database)
        {
            bool due = _sentAt == null || ElapsedMs - _sentAt > HeartbeatSeconds * 1000;
            if (!_wanted || (!due && (_waiting.Count == 0 || _failing)))
            {
                return;
            }

            try
            {
                do
                {
                    await SendBatchAsync(database).ConfigureAwait(false);
                }
                while (_waiting.Count > 0);
                _failing = false;
            }
            catch (Exception error) when (error is RedisException || error is TimeoutException)
            {
                if (!_failing)
                {
                    _logger.LogWarning("Sign-outs are handled but cannot be acknowledged: {Reason}", error.Message);
                }

                _failing = true;
            }
        }

        /// <summary>Says goodbye, so that nobody waits for this process; best effort.</summary>
        public async Task LeaveAsync(IDatabase database)
        {
            try
            {
                await SendAsync(database).ConfigureAwait(false);
                string member = _app + "/" + _worker;
                await database.SortedSetRemoveAsync(_keys[1], member).ConfigureAwait(false);
                await database.SortedSetRemoveAsync(_keys[2], member).ConfigureAwait(false);
            }
            catch (Exception error) when (error is RedisException || error is TimeoutException)
            {
                // It is forgotten by itself after seven days.
            }
        }

        private async Task SendBatchAsync(IDatabase database)
        {
            Handled[] batch = _waiting.Take(MaxBatch).ToArray();
            List<RedisValue> arguments = new List<RedisValue> { _app, _worker, _worker, (long)ElapsedMs, MaxWaiting };
            foreach (Handled one in batch)
            {
                arguments.Add(one.EventId);
                arguments.Add((long)(ElapsedMs - one.AtMs));
                arguments.Add(one.ReceivedMs);
                arguments.Add(one.PublishedMs);
            }

            _sentAt = ElapsedMs;

            // EVAL each time: the rights that docs/events.md gives an app do not include SCRIPT LOAD.
            await database
                .ScriptEvaluateAsync(Script, _keys, arguments.ToArray(), CommandFlags.NoScriptCache)
                .ConfigureAwait(false);
            for (int sent = 0; sent < batch.Length; sent++)
            {
                _waiting.Dequeue();
            }
        }

        private sealed class Handled
        {
            public Handled(string eventId, double atMs, long receivedMs, long publishedMs)
            {
                EventId = eventId;
                AtMs = atMs;
                ReceivedMs = receivedMs;
                PublishedMs = publishedMs;
            }

            public string EventId { get; }

            public double AtMs { get; }

            public long ReceivedMs { get; }

            public long PublishedMs { get; }
        }
    }
}
