// Runs the OWIN pipeline by itself, so that the example needs no IIS. In an app under IIS, Startup is found by
// Microsoft.Owin.Host.SystemWeb, and this file is not there.

using System;
using System.Threading;
using Microsoft.Owin.Hosting;

namespace Example
{
    public static class Program
    {
        public static void Main()
        {
            using (ManualResetEvent stop = new ManualResetEvent(false))
            using (WebApp.Start<Startup>(Settings.Url))
            {
                Console.CancelKeyPress += (sender, arguments) =>
                {
                    arguments.Cancel = true;
                    stop.Set();
                };
                Console.WriteLine("Listening on " + Settings.Url);
                stop.WaitOne();
            }
        }
    }
}
