package com.example.driver;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.microsoft.aad.msal4j.MsalException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A program that does with the real libraries what a test tells it: one JSON object a line in, one a line out.
 *
 * <p>In: `{"id": 1, "do": "msal.silent", ...}`. Out: `{"id": 1, "ok": ...}` or `{"id": 1, "error": "..."}`. Every order has a
 * thread of its own, so answers may overtake each other.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Driver() {}

    public static void main(String[] arguments) throws IOException {
        PrintStream out = System.out;
        // What a library prints must not get between the answers.
        System.setOut(System.err);
        ExecutorService threads = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
        MsalClients msal = new MsalClients();
        Sessions sessions = new Sessions();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, Object> order = JSON.readValue(line, new TypeReference<>() {});
            threads.execute(() -> {
                Map<String, Object> answer = new LinkedHashMap<>();
                answer.put("id", order.get("id"));
                try {
                    String what = (String) order.get("do");
                    Orders of = new Orders(order);
                    answer.put("ok", what.startsWith("msal.") ? msal.act(what, of) : sessions.act(what, of));
                } catch (Exception error) {
                    answer.put("error", describe(error));
                }
                synchronized (out) {
                    try {
                        out.println(JSON.writeValueAsString(answer));
                        out.flush();
                    } catch (IOException unwritable) {
                        throw new IllegalStateException(unwritable);
                    }
                }
            });
        }
    }

    private static String describe(Throwable error) {
        Throwable cause = error;
        while (cause instanceof CompletionException && cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause instanceof MsalException msal && msal.errorCode() != null ? msal.errorCode() : cause.toString();
    }

    /** One order's members. */
    record Orders(Map<String, Object> members) {
        String text(String name) {
            return (String) members.get(name);
        }

        boolean is(String name) {
            return Boolean.TRUE.equals(members.get(name));
        }

        Map<String, Object> map(String name) {
            return JSON.convertValue(members.getOrDefault(name, Map.of()), new TypeReference<HashMap<String, Object>>() {});
        }
    }
}
