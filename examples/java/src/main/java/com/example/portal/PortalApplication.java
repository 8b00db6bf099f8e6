package com.example.portal;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A web app that signs in with oauth2Login, its sessions in Redis (Spring Session) and its users' tokens in Redis (MSAL4J). */
@SpringBootApplication
public class PortalApplication {
    public static void main(String[] arguments) {
        SpringApplication.run(PortalApplication.class, arguments);
    }
}
