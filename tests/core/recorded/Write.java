import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Writes the files beside it: run {@code java Write.java} in this folder. OpenJDK 17 wrote those that are here. */
public class Write {
    enum Kind { A, B }

    static class Parent implements Serializable {
        int number = 3;
        String text = "hi";
        Object other;
        byte[] bytes = {1, 2};
        Kind kind = Kind.B;
    }

    static class Child extends Parent {
        long longNumber = 7;
        Map<String, Object> claims;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("iss", new URL("https://op.example:8443/realms/x"));
        claims.put("sub", "u1");
        claims.put("aud", List.of("c1"));
        claims.put("sid", "s1");
        claims.put("auth_time", Instant.ofEpochSecond(1700000000));
        claims.put("count", 5L);
        claims.put("list", new ArrayList<>(List.of("x", "y")));
        claims.put("date", new Date(5000));
        claims.put("set", new HashSet<>(Set.of("q")));
        write("java-claims.ser", claims);
        write("java-unmodifiable-claims.ser", Collections.unmodifiableMap(claims));
        write("java-map-of.ser", Map.of("iss", "https://op.example:8443/realms/x", "sub", "u1", "aud", "c1", "sid", "s1"));
        Child child = new Child();
        child.other = child;
        child.claims = new HashMap<>(claims);
        write("java-object.ser", child);
    }

    private static void write(String name, Object value) throws Exception {
        try (ObjectOutputStream out = new ObjectOutputStream(Files.newOutputStream(Path.of(name)))) {
            out.writeObject(value);
        }
    }
}
