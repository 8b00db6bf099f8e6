// Reads the receiver's event stream from Redis, in every process, in order, and notices when events were missed.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace LogoutReceiver
{
    /// <summary>What the reader calls. An exception is logged, and the event is not acknowledged and not tried again.</summary>
    public interface IEvictionHandler
    {
        /// <summary>An event from before this process started: remember it, nothing is held for it yet.</summary>
        void Recall(Eviction eviction);

        /// <summary>A sign-out. May come twice.</summary>
        Task ForgetAsync(Eviction eviction);

        /// <summary>Events were missed: nobody's sign-in can be relied on.</summary>
        void Reset();
    }

    public sealed class EvictionStream
    {
        /// <summary>Seconds before its start from which a process clears its caches: a start takes less.</summary>
        public const double LookbackSeconds = 60;

        /// <summary>Events read in one round trip, about 1 KB each.</summary>
        public const int BatchSize = 500;

        /// <summary>Seconds between two looks whether Redis has lost its data.</summary>
        public const double CheckEverySeconds = 5;

        private readonly LogoutReceiverOptions _options;
        private readonly IEvictionHandler _handler;
        private readonly ILogger _logger;
        private readonly RedisKey _events;
        private readonly Acknowledgements _acknowledgements;
        private readonly Stopwatch _sinceStart = Stopwatch.StartNew();
        private readonly TaskCompletionSource<bool> _caughtUp =
            new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);

        private string _position;
        private long? _number;
        private long _unnumbered;
        private bool _readAny;
        private long _actFromMs;
        private double _checkedAt;
        private bool _away;

        public EvictionStream(LogoutReceiverOptions options, IEvictionHandler handler, ILogger logger)
        {
            _options = options;
            _handler = handler;
            _logger = logger;
            _events = options.Prefix + ":events";
            _acknowledgements = new Acknowledgements(options, logger);
        }

        /// <summary>Done when everything published before the start has been read once.</summary>
        public Task CaughtUp
        {
            get { return _caughtUp.Task; }
        }

        /// <summary>Reads until told to stop. Outages of Redis are waited out.</summary>
        public async Task RunAsync(CancellationToken stop)
        {
            ConfigurationOptions configuration = ConfigurationOptions.Parse(_options.Redis);
            configuration.AbortOnConnectFail = false;
            ConnectionMultiplexer redis = null;
            try
            {
                while (!stop.IsCancellationRequested)
                {
                    bool more = false;
                    try
                    {
                        redis = redis ?? await ConnectionMultiplexer.ConnectAsync(configuration).ConfigureAwait(false);
                        IDatabase database = redis.GetDatabase();
                        more = await TurnAsync(database).ConfigureAwait(false);
                        await _acknowledgements.SendAsync(database).ConfigureAwait(false);
                        _away = false;
                    }
                    catch (Exception error)
                    {
                        Report(error);
                    }

                    if (!more)
                    {
                        await PauseAsync(_options.PollInterval, stop).ConfigureAwait(false);
                    }
                }

                if (redis != null)
                {
                    await _acknowledgements.LeaveAsync(redis.GetDatabase()).ConfigureAwait(false);
                }
            }
            finally
            {
                if (redis != null)
                {
                    redis.Dispose();
                }
            }
        }

        private static async Task PauseAsync(TimeSpan time, CancellationToken stop)
        {
            try
            {
                await Task.Delay(time, stop).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // The loop looks at the token itself.
            }
        }

        /// <summary>Null for what is no number: an exception here would come again with every read.</summary>
        private static long? NumberOf(StreamEntry entry)
        {
            long number;
            bool whole = long.TryParse((string)entry["n"], NumberStyles.None, CultureInfo.InvariantCulture, out number);
            return whole && number > 0 ? number : (long?)null;
        }

        private static long Milliseconds(string entryId)
        {
            return long.Parse(entryId.Substring(0, entryId.IndexOf('-')), CultureInfo.InvariantCulture);
        }

        private static bool IsBefore(string entryId, string other)
        {
            long one = Milliseconds(entryId);
            long two = Milliseconds(other);
            return one != two ? one < two : Counter(entryId) < Counter(other);
        }

        private static long Counter(string entryId)
        {
            return long.Parse(entryId.Substring(entryId.IndexOf('-') + 1), CultureInfo.InvariantCulture);
        }

        private async Task<bool> TurnAsync(IDatabase database)
        {
            if (_position == null)
            {
                await BeginAsync(database).ConfigureAwait(false);
            }
            else if (_sinceStart.Elapsed.TotalSeconds - _checkedAt > CheckEverySeconds)
            {
                await CheckThatNothingWasLostAsync(database).ConfigureAwait(false);
                _checkedAt = _sinceStart.Elapsed.TotalSeconds;
            }

            StreamEntry[] entries = await database.StreamReadAsync(_events, _position, BatchSize).ConfigureAwait(false);
            foreach (StreamEntry entry in entries)
            {
                await TakeAsync(entry).ConfigureAwait(false);
            }

            if (entries.Length < BatchSize)
            {
                _caughtUp.TrySetResult(true);
            }

            return entries.Length > 0;
        }

        private async Task BeginAsync(IDatabase database)
        {
            RedisResult[] time = (RedisResult[])await database.ExecuteAsync("TIME").ConfigureAwait(false);
            long nowMs = ((long)time[0] * 1000) + ((long)time[1] / 1000);

            // Reckoned after the answer: however long Redis was away, nothing may fall out at the far end.
            double startedMs = nowMs - _sinceStart.Elapsed.TotalMilliseconds;
            _actFromMs = (long)(startedMs - (LookbackSeconds * 1000));
            long fromMs = (long)Math.Max(0, Math.Min(_actFromMs, startedMs - _options.RememberFor.TotalMilliseconds));
            string position = fromMs.ToString(CultureInfo.InvariantCulture) + "-0";
            StreamEntry? before = await NewestAsync(database, position).ConfigureAwait(false);
            _number = before == null ? (long?)null : NumberOf(before.Value);
            _position = position;
            _acknowledgements.BeginAt(_sinceStart);
        }

        private async Task<StreamEntry?> NewestAsync(IDatabase database, string upTo)
        {
            StreamEntry[] found = await database
                .StreamRangeAsync(_events, "-", upTo, 1, Order.Descending)
                .ConfigureAwait(false);
            return found.Length == 0 ? (StreamEntry?)null : found[0];
        }

        private async Task CheckThatNothingWasLostAsync(IDatabase database)
        {
            if (!_readAny)
            {
                return;
            }

            StreamEntry? newest = await NewestAsync(database, "+").ConfigureAwait(false);
            if (newest == null || IsBefore((string)newest.Value.Id, _position))
            {
                Reset("Redis has lost its data");
                _position = "0-0";
                _number = null;
                _unnumbered = 0;
                _readAny = false;
            }
        }

        private async Task TakeAsync(StreamEntry entry)
        {
            string entryId = (string)entry.Id;
            Count(entryId, NumberOf(entry));
            _position = entryId;
            _readAny = true;
            try
            {
                Eviction eviction = Eviction.Parse((string)entry["event"] ?? string.Empty);
                if (!_options.Concerns(eviction))
                {
                    return;
                }

                if (Milliseconds(entryId) < _actFromMs)
                {
                    _handler.Recall(eviction);
                    return;
                }

                await _handler.ForgetAsync(eviction).ConfigureAwait(false);
                _acknowledgements.Add(eviction, Milliseconds(entryId));
            }
            catch (Exception error)
            {
                _logger.LogError(error, "Event {EntryId} was not handled", entryId);
            }
        }

        private void Count(string entryId, long? number)
        {
            if (number == null)
            {
                // It may have used a number up, or not.
                _unnumbered++;
                _logger.LogWarning("Event {EntryId} has no readable number", entryId);
                return;
            }

            if (_number != null && (number <= _number || number > _number + 1 + _unnumbered))
            {
                Reset("events between number " + _number + " and " + number + " are gone");
            }

            _number = number;
            _unnumbered = 0;
        }

        private void Reset(string why)
        {
            _logger.LogWarning("Sign-outs were missed ({Reason}): everybody has to sign in again", why);
            _handler.Reset();
        }

        private void Report(Exception error)
        {
            if (!_away)
            {
                _logger.LogWarning("Redis does not answer, sign-outs are not heard until it does: {Reason}", error.Message);
            }

            _away = true;
        }
    }
}
