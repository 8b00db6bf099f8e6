// JSON as dictionaries, so that the rest is the same on .NET 10 and on .NET Framework.

#if NETCOREAPP
#nullable disable
#endif

using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
#if NETCOREAPP
using System.Text.Json;
#else
using System.Web.Script.Serialization;
#endif

namespace LogoutReceiver
{
    internal static class Json
    {
        /// <summary>Reads a JSON object.</summary>
        /// <exception cref="FormatException">Not a JSON object.</exception>
        public static IDictionary<string, object> Parse(string json)
        {
            IDictionary<string, object> found;
            try
            {
                found = Read(json) as IDictionary<string, object>;
            }
            catch (Exception error) when (!(error is OutOfMemoryException))
            {
                throw new FormatException("not JSON: " + error.Message, error);
            }

            if (found == null)
            {
                throw new FormatException("not a JSON object");
            }

            return found;
        }

        public static string Text(IDictionary<string, object> parent, string name)
        {
            object value;
            return parent.TryGetValue(name, out value) ? value as string : null;
        }

        public static IDictionary<string, object> Object(IDictionary<string, object> parent, string name)
        {
            object value;
            return parent.TryGetValue(name, out value) ? value as IDictionary<string, object> : null;
        }

        public static bool IsFalse(IDictionary<string, object> parent, string name)
        {
            object value;
            return parent.TryGetValue(name, out value) && false.Equals(value);
        }

        public static IList<string> Texts(IDictionary<string, object> parent, string name)
        {
            List<string> texts = new List<string>();
            object value;
            if (parent.TryGetValue(name, out value) && value is IEnumerable && !(value is string))
            {
                foreach (object one in (IEnumerable)value)
                {
                    if (one is string)
                    {
                        texts.Add((string)one);
                    }
                }
            }

            return texts;
        }

        /// <summary>A whole number, also one written as a text; null for anything else.</summary>
        public static long? Number(IDictionary<string, object> parent, string name)
        {
            object value;
            long number;
            if (!parent.TryGetValue(name, out value) || value == null || value is bool)
            {
                return null;
            }

            string text = Convert.ToString(value, CultureInfo.InvariantCulture);
            bool whole = long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number);
            return whole ? number : (long?)null;
        }

#if NETCOREAPP
        public static string Write(IDictionary<string, object> value)
        {
            return JsonSerializer.Serialize(value);
        }

        private static object Read(string json)
        {
            using (JsonDocument document = JsonDocument.Parse(json))
            {
                return Value(document.RootElement);
            }
        }

        private static object Value(JsonElement element)
        {
            switch (element.ValueKind)
            {
                case JsonValueKind.Object:
                    Dictionary<string, object> members = new Dictionary<string, object>();
                    foreach (JsonProperty member in element.EnumerateObject())
                    {
                        members[member.Name] = Value(member.Value);
                    }

                    return members;
                case JsonValueKind.Array:
                    List<object> items = new List<object>();
                    foreach (JsonElement item in element.EnumerateArray())
                    {
                        items.Add(Value(item));
                    }

                    return items;
                case JsonValueKind.String:
                    return element.GetString();
                case JsonValueKind.True:
                    return true;
                case JsonValueKind.False:
                    return false;
                case JsonValueKind.Number:
                    long whole;
                    decimal exact;
                    if (element.TryGetInt64(out whole))
                    {
                        return whole;
                    }

                    return element.TryGetDecimal(out exact) ? (object)exact : element.GetDouble();
                default:
                    return null;
            }
        }
#else
        public static string Write(IDictionary<string, object> value)
        {
            return Serializer().Serialize(value);
        }

        private static object Read(string json)
        {
            return Serializer().DeserializeObject(json);
        }

        private static JavaScriptSerializer Serializer()
        {
            // Its default of 2 MB is less than a shared cache may hold.
            return new JavaScriptSerializer { MaxJsonLength = int.MaxValue };
        }
#endif
    }
}
