package com.example.portal;

import com.microsoft.aad.msal4j.HttpMethod;
import com.microsoft.aad.msal4j.HttpRequest;
import com.microsoft.aad.msal4j.HttpResponse;
import com.microsoft.aad.msal4j.IHttpClient;
import com.microsoft.aad.msal4j.IHttpResponse;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/**
 * MSAL4J's way to an OP that is not Microsoft's. With an {@code oidcAuthority} MSAL4J learns the token endpoint by discovery, and then asks
 * for tokens at {@code /oauth2/v2.0/token} below the first part of the issuer's path all the same (1.26).
 */
final class TokenEndpoint implements IHttpClient {
    /** Longest wait for a connection, and for an answer. */
    private static final Duration WITHIN = Duration.ofSeconds(30);

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(WITHIN).build();
    private final URI endpoint;

    TokenEndpoint(String endpoint) {
        this.endpoint = URI.create(endpoint);
    }

    @Override
    public IHttpResponse send(HttpRequest request) throws IOException, InterruptedException, URISyntaxException {
        boolean isForTokens = request.httpMethod() == HttpMethod.POST;
        java.net.http.HttpRequest.Builder sent =
                java.net.http.HttpRequest.newBuilder(isForTokens ? endpoint : request.url().toURI()).timeout(WITHIN);
        if (request.headers() != null) {
            request.headers().forEach(sent::header);
        }
        if (isForTokens) {
            sent.POST(BodyPublishers.ofString(request.body()));
        }
        java.net.http.HttpResponse<String> got = http.send(sent.build(), BodyHandlers.ofString());
        HttpResponse answer = new HttpResponse().statusCode(got.statusCode()).body(got.body());
        answer.addHeaders(got.headers().map());
        return answer;
    }
}
