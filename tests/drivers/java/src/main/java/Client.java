import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * Who asks. Clients with an odd number have settings of their own; the others share theirs, so that a pooler has nothing to set
 * between them: PgBouncer's SET would drop the unnamed statement, and an error would hide the wrong rows.
 */
record Client(int index) {
    private static final String SETTINGS =
            "current_setting('application_name'), current_setting('TimeZone'), current_setting('search_path'), pg_backend_pid()";

    /** What is wrong with the rows, what with the settings, and the server's process that answered, 0 where nobody did. */
    record Judgement(String row, String setting, int pid) {}

    private int group() {
        return index % 2 == 0 ? 0 : index;
    }

    String application() {
        return "driver-" + group();
    }

    String schema() {
        return "client_" + group();
    }

    String zone() {
        return String.format("Etc/GMT%+d", group() % 26 - 12);
    }

    Question ask(Random random, long id) {
        var word = "ä" + Long.toHexString(random.nextLong());
        switch (random.nextInt(7)) {
            case 0:
                return simple("integer", id, random.nextInt());
            case 1:
                return simple("text", id, word);
            case 2:
                return simple("double precision", id, random.nextDouble());
            case 3:
                return simple("boolean", id, random.nextBoolean());
            case 4:
                var bytes = new byte[random.nextInt(40)];
                random.nextBytes(bytes);
                return simple("bytea", id, bytes);
            case 5:
                var own = "select ?::bigint, own.name || ?::text, " + SETTINGS + " from own";
                return new Question(own, id, word, List.of(schema() + word), word);
            default:
                int count = 1 + random.nextInt(5);
                var rows = "select ?::bigint, n, " + SETTINGS + " from generate_series(1, ?::integer) n";
                var expected = IntStream.rangeClosed(1, count).<Object>mapToObj(n -> n).toList();
                return new Question(rows, id, count, expected, null);
        }
    }

    private static Question simple(String kind, long id, Object value) {
        return new Question("select ?::bigint, ?::" + kind + ", " + SETTINGS, id, value, List.of(value), null);
    }

    Judgement judge(Question question, List<Object[]> rows) {
        if (rows.size() != question.expected().size()) {
            return new Judgement(rows.size() + " rows, not " + question.expected().size(), null, 0);
        }
        String setting = null;
        int pid = 0;
        for (int i = 0; i < rows.size(); i++) {
            var row = rows.get(i);
            var expected = question.expected().get(i);
            if (row.length != 6) {
                return new Judgement(row.length + " columns", null, 0);
            }
            pid = row[5] instanceof Integer number ? number : 0;
            if (!Question.same(row[0], question.id())) {
                return new Judgement("id " + row[0] + ", not " + question.id(), null, pid);
            }
            if (!Question.same(row[1], expected)) {
                if (question.word() == null || !(row[1] instanceof String text) || !text.endsWith(question.word())) {
                    return new Judgement("value " + row[1] + ", not " + expected, null, pid);
                }
                setting = "table of " + text + ", not " + expected;
            }
            var own = List.of(application(), zone(), schema());
            for (int j = 0; j < own.size(); j++) {
                if (!own.get(j).equals(row[2 + j])) {
                    setting = "setting " + row[2 + j] + ", not " + own.get(j);
                }
            }
        }
        return new Judgement(null, setting, pid);
    }
}
