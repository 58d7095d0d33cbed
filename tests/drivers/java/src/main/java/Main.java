import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/** Runs checked queries through pgjdbc and prints one JSON line: see ../README.md. */
public final class Main {
    public static void main(String[] arguments) throws Exception {
        var environment = System.getenv();
        var run = new Run(
                environment.get("URL"),
                environment.get("SETTING"),
                Integer.parseInt(environment.get("CONNECTIONS")),
                Integer.parseInt(environment.get("QUERIES")),
                Long.parseLong(environment.get("SEED")));
        System.out.println(json(run.check()));
        // A query that is stuck must not keep the process.
        System.exit(0);
    }

    static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            return map.entrySet().stream()
                    .map(entry -> json(entry.getKey()) + ":" + json(entry.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof Iterable<?> all) {
            var parts = new LinkedHashMap<Integer, String>();
            all.forEach(part -> parts.put(parts.size(), json(part)));
            return "[" + String.join(",", parts.values()) + "]";
        }
        return value instanceof Number ? value.toString() : quoted(String.valueOf(value));
    }

    private static String quoted(String text) {
        var quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            quoted.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c) : c);
        }
        return quoted.append('"').toString();
    }
}
