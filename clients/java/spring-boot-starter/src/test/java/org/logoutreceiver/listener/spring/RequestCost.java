package org.logoutreceiver.listener.spring;

import com.sun.management.ThreadMXBean;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.StatefulRedisConnection;
import jakarta.servlet.Filter;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import java.lang.management.ManagementFactory;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.logoutreceiver.listener.ListenerOptions;
import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.redis.LettuceConnector;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.web.servlet.context.AnnotationConfigServletWebApplicationContext;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.mock.web.MockFilterChain;
import org.springframework.mock.web.MockHttpServletRequest;
import org.springframework.mock.web.MockHttpServletResponse;
import org.springframework.mock.web.MockHttpSession;
import org.springframework.mock.web.MockServletConfig;
import org.springframework.mock.web.MockServletContext;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.core.context.SecurityContextImpl;
import org.springframework.security.oauth2.client.authentication.OAuth2AuthenticationToken;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.oidc.OidcIdToken;
import org.springframework.security.oauth2.core.oidc.user.DefaultOidcUser;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.core.oidc.user.OidcUserAuthority;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.context.HttpSessionSecurityContextRepository;
import org.springframework.security.web.header.HeaderWriterFilter;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.context.WebApplicationContext;
import org.springframework.web.servlet.DispatcherServlet;

/**
 * What the check costs a request of a signed-in user: Spring Security's filter chain and Spring MVC, and a servlet behind one filter, without
 * the check, with a filter that does nothing in its place, and with the check. Without sockets; the session is in memory.
 *
 * <p>Microseconds of CPU of the thread. Blocks of 20 requests take turns, and the lower quartile of each is shown, as other programs on the
 * machine only ever make a block dearer; what is allocated no load changes. Argument: the number of blocks of each, 2000.
 */
final class RequestCost {
    private static final int REQUESTS = 20;
    private static final int WARM_UP = 500;

    private static final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private static final OidcIdToken ID_TOKEN = OidcIdToken.withTokenValue("not looked at")
            .issuer("https://op.example")
            .subject("alice")
            .audience(List.of("shop"))
            .claim("sid", "s1")
            .claim("name", "Alice Example")
            .claim("auth_time", Instant.ofEpochSecond(900))
            .issuedAt(Instant.ofEpochSecond(900))
            .expiresAt(Instant.ofEpochSecond(4_000_000_000L))
            .build();

    private RequestCost() {}

    public static void main(String[] arguments) throws Exception {
        int blocks = arguments.length == 0 ? 2000 : Integer.parseInt(arguments[0]);
        Path directory = Files.createTempDirectory("request-cost");
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        Process redis = new ProcessBuilder("redis-server", "--bind", "127.0.0.1", "--port", "" + port, "--save", "")
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("log").toFile())
                .start();
        try {
            measure("redis://127.0.0.1:" + port, blocks);
        } finally {
            redis.destroy();
            redis.waitFor();
            Files.delete(directory.resolve("log"));
            Files.delete(directory);
        }
    }

    private static void measure(String url, int blocks) throws Exception {
        RedisClient client = RedisClient.create(url);
        try (StatefulRedisConnection<String, String> asked = connected(client);
                LogoutListener listener = new LogoutListener(new LettuceConnector(client), ListenerOptions.of("plain"))) {
            // As a receiver leaves it: without an epoch a listener may be too early for an answer that lasts.
            asked.sync().set("{logout}:mark:epoch", "0");
            listener.start(Duration.ofSeconds(10));
            System.out.println("| in | without | nothing in its place | with | difference | ratio | bytes allocated: without | more |");
            System.out.println("|---|---|---|---|---|---|---|---|");
            try (ConfigurableApplicationContext none = spring(url, "none");
                    ConfigurableApplicationContext nothing = spring(url, "nothing");
                    ConfigurableApplicationContext check = spring(url, "check")) {
                show("Spring Boot, oauth2Login", asked, blocks, through(none), through(nothing), through(check));
            }
            show("a servlet behind one filter", asked, blocks, plain(null), plain(new PlainServlets.Nothing()), plain(new PlainServlets.Plain(listener)));
        } finally {
            client.shutdown();
        }
    }

    private static StatefulRedisConnection<String, String> connected(RedisClient client) throws InterruptedException {
        for (int left = 100; ; left--) {
            try {
                return client.connect();
            } catch (RuntimeException notYet) {
                if (left == 0) {
                    throw notYet;
                }
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
    }

    /** One way to answer a request. */
    private interface Call {
        void once() throws Exception;
    }

    private static void show(String name, StatefulRedisConnection<String, String> redis, int blocks, Call... sides) throws Exception {
        for (int index = 0; index < WARM_UP * sides.length; index++) {
            block(sides[index % sides.length]);
        }
        String before = questions(redis);
        long[][] taken = new long[sides.length][blocks];
        long[][] allocated = new long[sides.length][blocks];
        for (int index = 0; index < blocks; index++) {
            for (int turn = 0; turn < sides.length; turn++) {
                // Each comes after each other one as often.
                int side = index % 2 == 0 ? turn : sides.length - 1 - turn;
                long[] of = block(sides[side]);
                taken[side][index] = of[0];
                allocated[side][index] = of[1];
            }
        }
        if (!questions(redis).equals(before)) {
            throw new IllegalStateException("Redis was asked while the time was taken");
        }
        double[] us = Arrays.stream(taken).mapToDouble(of -> quartile(of) / 1000).toArray();
        double[] bytes = Arrays.stream(allocated).mapToDouble(RequestCost::quartile).toArray();
        System.out.printf(
                "| %s | %.1f | %.1f | %.1f | %.1f | %.2f | %.0f | %.0f |%n",
                name, us[0], us[1], us[2], us[2] - us[0], us[2] / us[0], bytes[0], bytes[2] - bytes[0]);
    }

    /** Nanoseconds and bytes of one block. */
    private static long[] block(Call call) throws Exception {
        long bytes = threads.getCurrentThreadAllocatedBytes();
        long began = threads.getCurrentThreadCpuTime();
        for (int index = 0; index < REQUESTS; index++) {
            call.once();
        }
        return new long[] {threads.getCurrentThreadCpuTime() - began, threads.getCurrentThreadAllocatedBytes() - bytes};
    }

    /** Of one request. */
    private static double quartile(long[] blocks) {
        long[] sorted = blocks.clone();
        Arrays.sort(sorted);
        return (double) sorted[sorted.length / 4] / REQUESTS;
    }

    /** How often Redis was asked about a session. */
    private static String questions(StatefulRedisConnection<String, String> redis) {
        return redis.sync().info("commandstats").lines().filter(line -> line.startsWith("cmdstat_mget:")).findFirst().orElseThrow();
    }

    private static ConfigurableApplicationContext spring(String url, String what) {
        SpringApplication application = new SpringApplication(App.class);
        application.setApplicationContextFactory(type -> {
            AnnotationConfigServletWebApplicationContext made = new AnnotationConfigServletWebApplicationContext();
            made.setServletContext(new MockServletContext());
            return made;
        });
        return application.run(
                "--spring.main.banner-mode=off", "--logging.level.root=error", "--spring.data.redis.url=" + url, "--cost=" + what,
                "--spring.application.name=" + what, "--logout-listener.enabled=" + what.equals("check"));
    }

    private static Call through(ConfigurableApplicationContext context) throws ServletException {
        DispatcherServlet servlet = new DispatcherServlet((WebApplicationContext) context);
        servlet.init(new MockServletConfig(new MockServletContext()));
        Filter security = context.getBean("springSecurityFilterChain", Filter.class);
        return through(servlet, security);
    }

    private static Call plain(Filter filter) throws ServletException {
        return filter == null ? through(new PlainServlets.Page()) : through(new PlainServlets.Page(), filter);
    }

    private static Call through(HttpServlet servlet, Filter... filters) {
        OidcUser user = new DefaultOidcUser(List.of(new OidcUserAuthority(ID_TOKEN)), ID_TOKEN);
        MockHttpSession session = new MockHttpSession();
        session.setAttribute("claims", ID_TOKEN.getClaims());
        session.setAttribute(
                HttpSessionSecurityContextRepository.SPRING_SECURITY_CONTEXT_KEY,
                new SecurityContextImpl(new OAuth2AuthenticationToken(user, user.getAuthorities(), "op")));
        return () -> {
            MockHttpServletRequest request = new MockHttpServletRequest("GET", "/me");
            request.setServletPath("/me");
            request.setSession(session);
            MockHttpServletResponse response = new MockHttpServletResponse();
            new MockFilterChain(servlet, filters).doFilter(request, response);
            if (!response.getContentAsString().contains("alice")) {
                throw new IllegalStateException("it answered " + response.getStatus());
            }
        };
    }

    /** An app with nothing but oauth2Login. */
    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    @RestController
    static class App {
        @GetMapping("/me")
        Map<String, String> me(@AuthenticationPrincipal OidcUser user) {
            return Map.of("sub", user.getSubject());
        }

        @Bean
        ClientRegistrationRepository clients() {
            return new InMemoryClientRegistrationRepository(ClientRegistration.withRegistrationId("op")
                    .clientId("shop")
                    .clientSecret("secret")
                    .scope("openid")
                    .authorizationGrantType(AuthorizationGrantType.AUTHORIZATION_CODE)
                    .redirectUri("{baseUrl}/login/oauth2/code/{registrationId}")
                    .authorizationUri("https://op.example/authorize")
                    .tokenUri("https://op.example/token")
                    .jwkSetUri("https://op.example/jwks")
                    .userNameAttributeName("sub")
                    .build());
        }

        @Bean
        SecurityFilterChain chain(HttpSecurity http, @Value("${cost}") String what) throws Exception {
            if (what.equals("nothing")) {
                http.addFilterAfter(new PlainServlets.Nothing(), HeaderWriterFilter.class);
            }
            return http.authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
                    .oauth2Login(Customizer.withDefaults())
                    .build();
        }
    }
}
