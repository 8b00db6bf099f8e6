// The few calls of StackExchange.Redis that the shared files make, over a plain socket to a real Redis.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Text;
using System.Threading.Tasks;

namespace StackExchange.Redis
{
    public enum CommandFlags
    {
        None = 0,
        NoScriptCache = 512,
    }

    public enum Order
    {
        Ascending,
        Descending,
    }

    public sealed class RedisException : Exception
    {
        public RedisException(string message)
            : base(message)
        {
        }
    }

    public struct RedisKey
    {
        public string Text { get; private set; }

        public static implicit operator RedisKey(string text)
        {
            return new RedisKey { Text = text };
        }
    }

    public struct RedisValue
    {
        public string Text { get; private set; }

        public static implicit operator RedisValue(string text)
        {
            return new RedisValue { Text = text };
        }

        public static implicit operator RedisValue(long number)
        {
            return number.ToString(CultureInfo.InvariantCulture);
        }

        public static implicit operator string(RedisValue value)
        {
            return value.Text;
        }

        public static explicit operator long(RedisValue value)
        {
            return value.Text == null ? 0 : long.Parse(value.Text, CultureInfo.InvariantCulture);
        }
    }

    public sealed class RedisResult
    {
        private readonly object _reply;

        public RedisResult(object reply)
        {
            _reply = reply;
        }

        public static explicit operator RedisResult[](RedisResult result)
        {
            return Array.ConvertAll((object[])result._reply, one => new RedisResult(one));
        }

        public static explicit operator long(RedisResult result)
        {
            return Convert.ToInt64(result._reply, CultureInfo.InvariantCulture);
        }
    }

    public struct StreamEntry
    {
        private readonly object[] _fields;

        public StreamEntry(object entry)
        {
            Id = (string)((object[])entry)[0];
            _fields = (object[])((object[])entry)[1];
        }

        public RedisValue Id { get; }

        public RedisValue this[RedisValue name]
        {
            get
            {
                int index = Array.IndexOf(_fields, name.Text);
                return index < 0 ? null : (string)_fields[index + 1];
            }
        }
    }

    public sealed class ConfigurationOptions
    {
        public string EndPoint { get; private set; }

        public bool AbortOnConnectFail { get; set; }

        public static ConfigurationOptions Parse(string configuration)
        {
            return new ConfigurationOptions { EndPoint = configuration };
        }
    }

    public sealed class ConnectionMultiplexer : IDisposable
    {
        private readonly IDatabase _database;

        private ConnectionMultiplexer(IDatabase database)
        {
            _database = database;
        }

        public static Task<ConnectionMultiplexer> ConnectAsync(ConfigurationOptions configuration)
        {
            return Task.FromResult(new ConnectionMultiplexer(new IDatabase(configuration.EndPoint)));
        }

        public IDatabase GetDatabase()
        {
            return _database;
        }

        public void Dispose()
        {
            _database.Close();
        }
    }

    public sealed class IDatabase
    {
        private readonly string _host;
        private readonly int _port;
        private TcpClient _client;
        private BufferedStream _stream;

        public IDatabase(string endPoint)
        {
            string[] parts = endPoint.Split(':');
            _host = parts[0];
            _port = int.Parse(parts[1], CultureInfo.InvariantCulture);
        }

        public Task<RedisResult> ExecuteAsync(string command)
        {
            return Task.Run(() => new RedisResult(Call(command)));
        }

        public Task<RedisResult> ScriptEvaluateAsync(
            string script, RedisKey[] keys, RedisValue[] values, CommandFlags flags)
        {
            List<string> call = new List<string> { "EVAL", script, Text(keys.Length) };
            call.AddRange(keys.Select(key => key.Text));
            call.AddRange(values.Select(value => value.Text));
            return Task.Run(() => new RedisResult(Call(call.ToArray())));
        }

        public Task<StreamEntry[]> StreamReadAsync(RedisKey key, RedisValue position, int? count)
        {
            return Task.Run(() =>
            {
                object[] streams = (object[])Call("XREAD", "COUNT", Text(count.Value), "STREAMS", key.Text, position.Text);
                return Entries(streams == null ? new object[0] : ((object[])streams[0])[1]);
            });
        }

        public Task<StreamEntry[]> StreamRangeAsync(
            RedisKey key, RedisValue? minId, RedisValue? maxId, int? count, Order messageOrder)
        {
            if (messageOrder != Order.Descending)
            {
                throw new NotSupportedException();
            }

            return Task.Run(() => Entries(
                Call("XREVRANGE", key.Text, maxId.Value.Text, minId.Value.Text, "COUNT", Text(count.Value))));
        }

        public Task<bool> SortedSetRemoveAsync(RedisKey key, RedisValue member)
        {
            return Task.Run(() => (long)Call("ZREM", key.Text, member.Text) == 1);
        }

        public void Close()
        {
            if (_client != null)
            {
                _client.Close();
            }

            _client = null;
        }

        private static string Text(int number)
        {
            return number.ToString(CultureInfo.InvariantCulture);
        }

        private static StreamEntry[] Entries(object reply)
        {
            return Array.ConvertAll((object[])reply, one => new StreamEntry(one));
        }

        private object Call(params string[] arguments)
        {
            try
            {
                if (_client == null)
                {
                    _client = new TcpClient(_host, _port);
                    _stream = new BufferedStream(_client.GetStream());
                }

                StringBuilder request = new StringBuilder("*" + arguments.Length + "\r\n");
                foreach (string argument in arguments)
                {
                    request.Append("$" + Encoding.UTF8.GetByteCount(argument) + "\r\n" + argument + "\r\n");
                }

                byte[] bytes = Encoding.UTF8.GetBytes(request.ToString());
                _stream.Write(bytes, 0, bytes.Length);
                _stream.Flush();
                return Reply();
            }
            catch (Exception error) when (error is IOException || error is SocketException)
            {
                Close();
                throw new RedisException(error.Message);
            }
        }

        private object Reply()
        {
            string line = Line();
            string rest = line.Substring(1);
            switch (line[0])
            {
                case '-':
                    throw new RedisException(rest);
                case ':':
                    return long.Parse(rest, CultureInfo.InvariantCulture);
                case '$':
                    return rest == "-1" ? null : Bulk(int.Parse(rest, CultureInfo.InvariantCulture));
                case '*':
                    return rest == "-1" ? null : Many(int.Parse(rest, CultureInfo.InvariantCulture));
                default:
                    return rest;
            }
        }

        private object[] Many(int count)
        {
            object[] replies = new object[count];
            for (int index = 0; index < count; index++)
            {
                replies[index] = Reply();
            }

            return replies;
        }

        private string Bulk(int length)
        {
            byte[] bytes = new byte[length + 2];
            int read = 0;
            while (read < bytes.Length)
            {
                int more = _stream.Read(bytes, read, bytes.Length - read);
                if (more == 0)
                {
                    throw new IOException("closed");
                }

                read += more;
            }

            return Encoding.UTF8.GetString(bytes, 0, length);
        }

        private string Line()
        {
            List<byte> bytes = new List<byte>();
            int one = _stream.ReadByte();
            while (one != '\r')
            {
                if (one < 0)
                {
                    throw new IOException("closed");
                }

                bytes.Add((byte)one);
                one = _stream.ReadByte();
            }

            _stream.ReadByte();
            return Encoding.UTF8.GetString(bytes.ToArray());
        }
    }
}
