package org.logoutreceiver.listener.msal4j;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.microsoft.aad.msal4j.AbstractClientApplicationBase;
import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.ITenantProfile;
import com.microsoft.aad.msal4j.TokenCache;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Predicate;
import org.logoutreceiver.listener.Eviction;

/** A serialised MSAL4J cache: whose tokens it holds, and the same without those of sessions that are over. */
final class CachedTokens {
    private static final List<String> SECTIONS = List.of("AccessToken", "RefreshToken", "IdToken", "Account");

    /** The account under which entries are put that have none, so that MSAL4J can remove them; no OP has such a name. */
    private static final String GONE = "gone:org.logoutreceiver.listener";

    private static final ObjectMapper JSON = new ObjectMapper();

    /** Since 1.23 MSAL4J adds what it deserialises to its memory; before, it replaced its memory by it. */
    private static final boolean MERGES = merges();

    private final ObjectNode text;
    private final Set<String> gone = new HashSet<>();

    private CachedTokens(ObjectNode text) {
        this.text = text;
    }

    /** A text that is no token cache counts as an empty one: its users sign in again. */
    static CachedTokens of(String json) {
        try {
            return new CachedTokens(json != null && JSON.readTree(json) instanceof ObjectNode cache ? cache : JSON.createObjectNode());
        } catch (JsonProcessingException notACache) {
            return new CachedTokens(JSON.createObjectNode());
        }
    }

    /** Never blank: MSAL4J ignores a blank text and would keep what it holds. */
    @Override
    public String toString() {
        return text.toString();
    }

    /** Takes out the tokens and accounts of sessions that are over; whether there were any. */
    boolean removeOver(TokenJudge judge) {
        Predicate<JsonNode> isOver = over(judge);
        boolean any = false;
        for (ObjectNode section : sections(text).values()) {
            for (Iterator<JsonNode> entries = section.elements(); entries.hasNext(); ) {
                JsonNode entry = entries.next();
                if (isOver.test(entry)) {
                    gone.add(pair(entry));
                    entries.remove();
                    any = true;
                }
            }
        }
        return any;
    }

    /** Puts in what another cache holds of the users whose entries were taken out here. */
    void keepOthersOf(CachedTokens stored) {
        sections(stored.text).forEach((name, section) -> section.properties().forEach(entry -> {
            if (gone.contains(pair(entry.getValue()))) {
                text.withObjectProperty(name).set(entry.getKey(), entry.getValue());
            }
        }));
    }

    /**
     * Removes from a client's memory, through its cache aspect if it has one, what is over.
     *
     * @param eviction removes, too, what has no ID token that would tell, of an account it names; or null
     */
    static void forget(AbstractClientApplicationBase client, TokenJudge judge, Eviction eviction) {
        CachedTokens held = of(client.tokenCache().serialize());
        Set<String> told = held.told();
        Set<String> named = eviction == null || !eviction.isOfUser() ? Set.of() : Set.copyOf(eviction.accounts());
        held.drop(client, held.over(judge).or(entry -> account(entry) != null && named.contains(account(entry)) && !told.contains(pair(entry))));
    }

    /** The same after evictions were missed: what has no ID token that would tell goes as well. */
    static void forgetUnknown(AbstractClientApplicationBase client, TokenJudge judge) {
        CachedTokens held = of(client.tokenCache().serialize());
        Set<String> told = held.told();
        held.drop(client, held.over(judge).or(entry -> account(entry) != null && entry.has("secret") && !told.contains(pair(entry))));
    }

    /** MSAL4J removes only what has an account, and a generic OP's tokens have none. So they are given one first. */
    private void drop(AbstractClientApplicationBase client, Predicate<JsonNode> goes) {
        boolean any = false;
        for (ObjectNode section : sections(text).values()) {
            for (Iterator<JsonNode> entries = section.elements(); entries.hasNext(); ) {
                JsonNode entry = entries.next();
                if (goes.test(entry)) {
                    ((ObjectNode) entry).put("home_account_id", GONE);
                    any = true;
                } else if (MERGES) {
                    // What is not given stays as it is; giving it back could undo what another thread has just stored.
                    entries.remove();
                }
            }
        }
        if (any) {
            client.tokenCache().deserialize(toString());
            client.removeAccount(new Gone()).join();
        }
    }

    private Predicate<JsonNode> over(TokenJudge judge) {
        Map<String, Double> cachedAt = oldest();
        Map<JsonNode, CompletableFuture<Boolean>> asked = new LinkedHashMap<>();
        for (JsonNode idToken : section("IdToken")) {
            String clientId = idToken.path("client_id").asText();
            asked.put(idToken, judge.isOver(idToken.path("secret").asText(), account(idToken), clientId, cachedAt.get(pair(idToken))));
        }
        Set<String> over = new HashSet<>();
        Set<String> live = new HashSet<>();
        asked.forEach((idToken, answer) -> {
            Set<String> verdict = answer.join() ? over : live;
            verdict.add(pair(idToken));
            verdict.add(account(idToken));
        });
        return entry -> {
            // A user's tokens are the client's; the account, and a token that clients of a family share, are the user's.
            String whose = over.contains(pair(entry)) || live.contains(pair(entry)) ? pair(entry) : account(entry);
            return whose != null && over.contains(whose) && !live.contains(whose);
        };
    }

    /** Of each user and client with access tokens, when the oldest was cached. */
    private Map<String, Double> oldest() {
        Map<String, Double> oldest = new LinkedHashMap<>();
        for (JsonNode token : section("AccessToken")) {
            double at = token.path("cached_at").asDouble();
            if (at > 0) {
                oldest.merge(pair(token), at, Math::min);
            }
        }
        return oldest;
    }

    /** Users and clients with an ID token that says whose session it is. */
    private Set<String> told() {
        Set<String> told = new HashSet<>();
        for (JsonNode idToken : section("IdToken")) {
            if (TokenJudge.claims(idToken.path("secret").asText()).get("sub") != null) {
                told.add(pair(idToken));
            }
        }
        return told;
    }

    private Iterable<JsonNode> section(String name) {
        return sections(text).getOrDefault(name, JSON.createObjectNode());
    }

    private static Map<String, ObjectNode> sections(ObjectNode of) {
        Map<String, ObjectNode> found = new LinkedHashMap<>();
        for (String name : SECTIONS) {
            if (of.get(name) instanceof ObjectNode section) {
                section.removeIf(entry -> !(entry instanceof ObjectNode));
                found.put(name, section);
            }
        }
        return found;
    }

    /** Null for an application's own tokens, and for all of an OP without {@code client_info}. */
    private static String account(JsonNode entry) {
        return entry.path("home_account_id").textValue();
    }

    private static String pair(JsonNode entry) {
        return account(entry) + "\n" + entry.path("client_id").asText();
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
