using System;

namespace Example
{
    /// <summary>From the environment, with values that suit the demo.</summary>
    internal static class Settings
    {
        public static readonly string Url = Read("URL", "http://localhost:5080/");
        public static readonly string Redis = Read("REDIS", "127.0.0.1:6379");
        public static readonly string InstanceName = Read("INSTANCE_NAME", "SampleInstance");
        public static readonly bool Encrypt = Read("ENCRYPT", "false") == "true";

        /// <summary>Run the app as it was before it heard of sign-outs.</summary>
        public static readonly bool Unchanged = Read("LOGOUT_RECEIVER", "on") == "off";

        /// <summary>No OP: sign-in by a plain request, tokens from DemoTokenEndpoint.</summary>
        public static readonly bool Demo = Read("DEMO", "false") == "true";

        public static readonly string Tenant = Read("TENANT", DemoTokenEndpoint.Tenant);
        public static readonly string ClientId = Read("CLIENT_ID", DemoTokenEndpoint.ClientId);
        public static readonly string ClientSecret = Read("CLIENT_SECRET", "demo");
        public static readonly string RedirectUri = Read("REDIRECT_URI", "https://localhost/");

        private static string Read(string name, string otherwise)
        {
            string value = Environment.GetEnvironmentVariable(name);
            return string.IsNullOrEmpty(value) ? otherwise : value;
        }
    }
}
