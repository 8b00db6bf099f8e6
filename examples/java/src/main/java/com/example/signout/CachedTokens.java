package com.example.signout;

import com.microsoft.aad.msal4j.AbstractClientApplicationBase;
import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.ITenantProfile;
import com.microsoft.aad.msal4j.TokenCache;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Predicate;

/** A serialised msal4j cache: whose tokens it holds, and the same without those of signed-out users. */
final class CachedTokens {
    private static final List<String> CREDENTIALS = List.of("AccessToken", "RefreshToken", "IdToken");

    /** The account under which entries are put that have none, so that msal4j can remove them; no OP has such a name. */
    private static final String GONE = "signed-out:com.example.signout";

    /** Since 1.23 msal4j adds what it deserialises to its memory; before, it replaced its memory by it. */
    private static final boolean MERGES = merges();

    private final Map<String, Object> blob;

    private CachedTokens(Map<String, Object> blob) {
        this.blob = blob;
    }

    /** A value that is no token cache counts as an empty one: its users sign in again. */
    static CachedTokens of(String json) {
        try {
            return new CachedTokens(json == null || json.isBlank() ? new LinkedHashMap<>() : Json.object(json));
        } catch (IllegalArgumentException notACache) {
            return new CachedTokens(new LinkedHashMap<>());
        }
    }

    /** Never blank: msal4j ignores a blank text and would keep what it holds. */
    @Override
    public String toString() {
        return Json.write(blob);
    }

    /** Takes out the access, refresh and ID tokens and the accounts of signed-out users; whether there were any. */
    boolean removeSignedOut(Marks marks) {
        Predicate<Map<String, Object>> over = signedOut(marks);
        boolean any = false;
        for (Map<String, Object> section : sections()) {
            any |= section.values().removeIf(entry -> over.test(Json.members(entry)));
        }
        return any;
    }

    /** Removes signed-out users from a client's memory, through its cache aspect if it has one. */
    static void forget(AbstractClientApplicationBase app, Marks marks) {
        CachedTokens held = of(app.tokenCache().serialize());
        held.drop(app, held.signedOut(marks));
    }

    static void forgetSoon(AbstractClientApplicationBase app, Marks marks) {
        CompletableFuture.runAsync(() -> forget(app, marks));
    }

    static void forgetEveryone(AbstractClientApplicationBase app) {
        of(app.tokenCache().serialize()).drop(app, entry -> true);
    }

    /**
     * msal4j removes only what has an account, and a generic OP's tokens have none. So they are given one first.
     */
    private void drop(AbstractClientApplicationBase app, Predicate<Map<String, Object>> over) {
        boolean any = false;
        for (Map<String, Object> section : sections()) {
            for (Iterator<Object> entries = section.values().iterator(); entries.hasNext(); ) {
                Map<String, Object> entry = Json.members(entries.next());
                if (over.test(entry)) {
                    entry.put("home_account_id", GONE);
                    any = true;
                } else if (MERGES) {
                    // What is not given stays as it is; giving it back could undo what another thread has just stored.
                    entries.remove();
                }
            }
        }
        if (any) {
            app.tokenCache().deserialize(toString());
            app.removeAccount(new Gone()).join();
        }
    }

    private Predicate<Map<String, Object>> signedOut(Marks marks) {
        Set<String> over = new HashSet<>();
        Set<String> live = new HashSet<>();
        for (Object value : Json.members(blob.get("IdToken")).values()) {
            Map<String, Object> idToken = Json.members(value);
            String account = account(idToken);
            SignIn signIn = idToken.get("secret") instanceof String jwt ? SignIn.of(jwt) : null;
            Set<String> verdict = marks.endTokens(signIn, account) ? over : live;
            verdict.add(pair(idToken));
            verdict.add(account);
        }
        return entry -> {
            String pair = pair(entry);
            String account = account(entry);
            // A user's tokens are the client's; the account, and a token that clients of a family share, are the user's.
            if (over.contains(pair) || live.contains(pair)) {
                return !live.contains(pair);
            }
            if (account == null) {
                return false;
            }
            return over.contains(account) ? !live.contains(account) : !live.contains(account) && marks.endTokens(null, account);
        };
    }

    private List<Map<String, Object>> sections() {
        List<Map<String, Object>> sections = new ArrayList<>();
        CREDENTIALS.forEach(name -> sections.add(Json.members(blob.get(name))));
        sections.add(Json.members(blob.get("Account")));
        return sections;
    }

    private static String account(Map<String, Object> entry) {
        return Json.text(entry.get("home_account_id"));
    }

    private static String pair(Map<String, Object> entry) {
        return account(entry) + "\n" + entry.get("client_id");
    }

    private static boolean merges() {
        String metadata = "{\"AppMetadata\":{\"probe\":{\"client_id\":\"probe\",\"environment\":\"probe\"}}}";
        TokenCache probe = new TokenCache();
        probe.deserialize(metadata);
        probe.deserialize("{}");
        return probe.serialize().contains("probe");
    }

    private static final class Gone implements IAccount {
        private static final long serialVersionUID = 1L;

        @Override
        public String homeAccountId() {
            return GONE;
        }

        @Override
        public String environment() {
            return "";
        }

        @Override
        public String username() {
            return "";
        }

        @Override
        public Map<String, ITenantProfile> getTenantProfiles() {
            return Map.of();
        }
    }
}
