// Listens with the examples' EvictionStream and prints what it calls, until its input ends.

using System;
using System.Threading;
using System.Threading.Tasks;
using LogoutReceiver;
using Microsoft.Extensions.Logging;

public static class Listen
{
    public static void Main(string[] arguments)
    {
        LogoutReceiverOptions options = new LogoutReceiverOptions { Redis = arguments[0], App = "dotnet-app" };
        EvictionStream stream = new EvictionStream(options, new Printer(), new ConsoleLogger<EvictionStream>());
        using (CancellationTokenSource stop = new CancellationTokenSource())
        {
            Task running = Task.Run(() => stream.RunAsync(stop.Token));
            stream.CaughtUp.ContinueWith(done => Say("caught-up"));
            Console.In.ReadToEnd();
            stop.Cancel();
            running.Wait(TimeSpan.FromSeconds(20));
        }

        // Mono waits for threads of its own now and then, and for ever.
        Environment.Exit(0);
    }

    private static void Say(string line)
    {
        Console.WriteLine(line);
        Console.Out.Flush();
    }

    private sealed class Printer : IEvictionHandler
    {
        public void Recall(Eviction eviction)
        {
            Say("recall " + eviction.Subject);
        }

        public Task ForgetAsync(Eviction eviction)
        {
            if (eviction.Subject == "refused")
            {
                throw new InvalidOperationException("the handler fails");
            }

            Say("forget " + eviction.Subject + " " + string.Join(",", eviction.Accounts));
            return Task.CompletedTask;
        }

        public void Reset()
        {
            Say("reset");
        }
    }
}
