package com.example.signout;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Recent sign-outs in memory, and what they mean for a session or for cached tokens. Safe to use from many threads. */
final class Marks {
    /** Sign-outs remembered, by each of their names; about 30 MB at worst. Then the oldest give way. */
    private static final int MAX_MARKS = 100_000;

    /**
     * How long a sign-out counts for tokens that have neither `sid` nor `auth_time`: longer than a token request may take.
     * Until then nobody can tell an old session's refresh from a new sign-in.
     */
    private static final Duration UNTOLD = Duration.ofSeconds(60);

    private record Mark(long logoutAt, String sid, boolean wholeUser, long heardAtNanos) {
        boolean isFresh() {
            return System.nanoTime() - heardAtNanos < UNTOLD.toNanos();
        }
    }

    private final Map<String, Mark> marks = new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Mark> eldest) {
            return size() > MAX_MARKS;
        }
    };
    private long everythingBefore = Long.MIN_VALUE;

    synchronized void note(Eviction eviction) {
        String scope = eviction.wholeUser() ? "user" : "session";
        Mark mark = new Mark(eviction.logoutAt(), eviction.sid(), eviction.wholeUser(), System.nanoTime());
        keep(key("sid", eviction.iss(), eviction.sid(), eviction.clientId()), mark);
        keep(key("sub of " + scope, eviction.iss(), eviction.sub(), eviction.clientId()), mark);
        for (String account : eviction.accounts()) {
            keep(key("account of " + scope, null, account, eviction.clientId()), mark);
        }
    }

    /** Sign-outs were missed: whoever signed in before `seconds` may be signed out. */
    synchronized void everything(long seconds) {
        everythingBefore = Math.max(everythingBefore, seconds);
    }

    /**
     * Whether a session is over.
     *
     * @param signIn the claims of the ID token that began the session, not of a refreshed one
     */
    synchronized boolean endSession(SignIn signIn, String account) {
        Long began = signIn.authTime() != null ? signIn.authTime() : signIn.iat();
        for (Mark mark : marksOf(signIn, account)) {
            boolean named = mark.sid() != null && mark.sid().equals(signIn.sid());
            // The sid is the session; only a later authentication in it, not a later token, makes it another one.
            Long since = named ? signIn.authTime() : began;
            if ((named || mark.wholeUser()) && (since == null || since <= mark.logoutAt())) {
                return true;
            }
        }
        return signIn.iat() != null && signIn.iat() <= everythingBefore;
    }

    /**
     * Whether cached tokens belong to a session that is over. Never by `iat`: a refreshed ID token has a new one.
     *
     * @param signIn the cached ID token, or null when there is none
     */
    synchronized boolean endTokens(SignIn signIn, String account) {
        SignIn known = signIn != null ? signIn : new SignIn(null, null, null, null, null, null);
        return marksOf(known, account).stream().anyMatch(mark -> endsTokens(mark, known));
    }

    private static boolean endsTokens(Mark mark, SignIn signIn) {
        boolean bothNameSessions = mark.sid() != null && signIn.sid() != null;
        boolean another = bothNameSessions && !mark.sid().equals(signIn.sid());
        if (signIn.authTime() != null) {
            return signIn.authTime() <= mark.logoutAt() && (mark.wholeUser() || !another);
        }
        return bothNameSessions ? !another : mark.isFresh();
    }

    private List<Mark> marksOf(SignIn signIn, String account) {
        List<Mark> found = new ArrayList<>();
        for (String client : new String[] {null, signIn.clientId()}) {
            for (String key : List.of(
                    key("sid", signIn.iss(), signIn.sid(), client),
                    key("sub of user", signIn.iss(), signIn.sub(), client),
                    key("sub of session", signIn.iss(), signIn.sub(), client),
                    key("account of user", null, account, client),
                    key("account of session", null, account, client))) {
                Mark mark = marks.get(key);
                if (mark != null) {
                    found.add(mark);
                }
            }
        }
        return found;
    }

    private void keep(String key, Mark mark) {
        if (!key.isEmpty()) {
            Mark before = marks.remove(key);
            marks.put(key, before != null && before.logoutAt() > mark.logoutAt() ? before : mark);
        }
    }

    private static String key(String kind, String iss, String value, String client) {
        return value == null ? "" : String.join("\n", kind, String.valueOf(iss), value, String.valueOf(client));
    }
}
