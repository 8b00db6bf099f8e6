package com.example.driver;

import com.microsoft.aad.msal4j.AuthorizationCodeParameters;
import com.microsoft.aad.msal4j.ClientCredentialFactory;
import com.microsoft.aad.msal4j.ClientCredentialParameters;
import com.microsoft.aad.msal4j.ConfidentialClientApplication;
import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.ITokenCacheAccessContext;
import com.microsoft.aad.msal4j.SilentParameters;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.sync.RedisCommands;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import org.logoutreceiver.listener.ListenerOptions;
import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.msal4j.TokenCaches;
import org.logoutreceiver.listener.redis.LettuceConnector;

/** msal4j clients whose tokens are one value in Redis, with the plain aspect of the samples or with the guarded one. */
final class MsalClients {
    private static final Set<String> SCOPES = Set.of("orders.read");
    private static final URI CALLBACK = URI.create("https://portal.example/callback");

    /** Seconds of life of a blob, so that a test sees whether it is kept. */
    private static final int BLOB_LIFETIME_S = 3600;

    private final Map<String, Client> clients = new ConcurrentHashMap<>();
    private final Map<String, Listener> listeners = new ConcurrentHashMap<>();

    private record Listener(LogoutListener logouts, TokenCaches caches, Set<String> heard) {}

    /** A client as configured; `app` is kept where it outlives a request, else null. */
    private record Client(Driver.Orders how, ITokenCacheAccessAspect aspect, ConfidentialClientApplication app) {}

    Object act(String what, Driver.Orders order) throws Exception {
        return switch (what) {
            case "msal.listen" -> listen(order);
            case "msal.heard" -> listeners.get(order.text("listener")).heard().contains(order.text("sub"));
            case "msal.deaf" -> deaf(order);
            case "msal.client" -> client(order);
            case "msal.redeem" -> result(redeem(order));
            case "msal.silent" -> silent(order);
            case "msal.app" -> app(order).acquireToken(ClientCredentialParameters.builder(Set.of("api/.default"))
                            .build())
                    .join()
                    .accessToken();
            case "msal.accounts" -> new TreeSet<>(app(order).getAccounts().join().stream()
                    .map(IAccount::homeAccountId)
                    .toList());
            case "msal.memory" -> app(order).tokenCache().serialize();
            default -> throw new IllegalArgumentException(what);
        };
    }

    private Object listen(Driver.Orders order) throws InterruptedException {
        LettuceConnector redis = new LettuceConnector(RedisClient.create(order.text("redis")));
        LogoutListener logouts = new LogoutListener(redis, ListenerOptions.of("driver"));
        Set<String> heard = ConcurrentHashMap.newKeySet();
        TokenCaches caches = new TokenCaches(logouts);
        // After the handler of the caches: what is in it has been acted on.
        logouts.onEviction(eviction -> heard.add(String.valueOf(eviction.sub())));
        listeners.put(order.text("listener"), new Listener(logouts, caches, heard));
        return logouts.start(Duration.ofSeconds(20));
    }

    private Object deaf(Driver.Orders order) {
        listeners.remove(order.text("listener")).logouts().close();
        return true;
    }

    private Object client(Driver.Orders order) throws Exception {
        RedisCommands<String, String> redis = RedisClient.create(order.text("redis")).connect().sync();
        String key = order.text("key");
        ITokenCacheAccessAspect aspect = new PlainAspect(redis, key);
        Listener listener = order.text("listener") == null ? null : listeners.get(order.text("listener"));
        if (listener != null) {
            aspect = listener.caches().stored(() -> redis.get(key), text -> redis.setex(key, BLOB_LIFETIME_S, text));
        }
        ConfidentialClientApplication app = order.is("long") ? build(order, aspect) : null;
        if (app != null && listener != null) {
            listener.caches().attach(app);
        }
        clients.put(order.text("client"), new Client(order, aspect, app));
        return true;
    }

    private ConfidentialClientApplication app(Driver.Orders order) throws Exception {
        Client client = clients.get(order.text("client"));
        return client.app() != null ? client.app() : build(client.how(), client.aspect());
    }

    private static ConfidentialClientApplication build(Driver.Orders how, ITokenCacheAccessAspect aspect) throws Exception {
        ConfidentialClientApplication.Builder builder = ConfidentialClientApplication.builder(
                        how.text("client_id"), ClientCredentialFactory.createFromSecret("secret"))
                .sslSocketFactory(trusting(how.text("ca_file")));
        String authority = how.text("authority");
        switch (how.text("kind")) {
            case "entra" -> builder.authority(authority).instanceDiscovery(false).validateAuthority(false);
            case "oidc" -> builder.oidcAuthority(authority).instanceDiscovery(false);
            case "b2c" -> builder.b2cAuthority(authority).instanceDiscovery(false);
            default -> throw new IllegalArgumentException(how.text("kind"));
        }
        return builder.setTokenCacheAccessAspect(aspect).build();
    }

    private IAuthenticationResult redeem(Driver.Orders order) throws Exception {
        return app(order)
                .acquireToken(AuthorizationCodeParameters.builder(order.text("code"), CALLBACK)
                        .scopes(SCOPES)
                        .build())
                .join();
    }

    private Object silent(Driver.Orders order) throws Exception {
        ConfidentialClientApplication app = app(order);
        SilentParameters.SilentParametersBuilder parameters;
        String wanted = order.text("account");
        if (wanted == null) {
            parameters = SilentParameters.builder(SCOPES);
        } else {
            IAccount account = app.getAccounts().join().stream()
                    .filter(candidate -> candidate.homeAccountId().equals(wanted))
                    .findFirst()
                    .orElseThrow(() -> new IllegalStateException("no_account"));
            parameters = SilentParameters.builder(SCOPES, account);
        }
        Driver.Orders how = clients.get(order.text("client")).how();
        if ("entra".equals(how.text("kind"))) {
            // Without it msal4j takes the environment of the account for the host, and that has no port.
            parameters.authorityUrl(how.text("authority"));
        }
        return result(app.acquireTokenSilently(parameters.forceRefresh(order.is("refresh")).build()).join());
    }

    private static Map<String, Object> result(IAuthenticationResult result) {
        Map<String, Object> answer = new HashMap<>();
        answer.put("token", result.accessToken());
        answer.put("account", result.account() == null ? null : result.account().homeAccountId());
        return answer;
    }

    private static SSLSocketFactory trusting(String caFile) throws GeneralSecurityException, IOException {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        List<java.security.cert.Certificate> certificates = new ArrayList<>();
        try (InputStream in = new FileInputStream(caFile)) {
            certificates.addAll(CertificateFactory.getInstance("X.509").generateCertificates(in));
        }
        for (int i = 0; i < certificates.size(); i++) {
            trusted.setCertificateEntry("ca" + i, certificates.get(i));
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(trusted);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, managers.getTrustManagers(), null);
        return tls.getSocketFactory();
    }

    /** As in msal4j's documentation. */
    private record PlainAspect(RedisCommands<String, String> redis, String key) implements ITokenCacheAccessAspect {
        @Override
        public void beforeCacheAccess(ITokenCacheAccessContext context) {
            context.tokenCache().deserialize(redis.get(key));
        }

        @Override
        public void afterCacheAccess(ITokenCacheAccessContext context) {
            if (context.hasCacheChanged()) {
                redis.setex(key, BLOB_LIFETIME_S, context.tokenCache().serialize());
            }
        }
    }
}
