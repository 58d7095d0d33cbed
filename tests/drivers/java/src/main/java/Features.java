import java.io.StringReader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.postgresql.PGConnection;
import org.postgresql.largeobject.LargeObjectManager;

/** What is tried once, while others run their queries. */
record Features(Run run, AtomicInteger visitors) {
    private static final int COPIED = 20000;
    private static final String SLOW = "select pg_sleep(60) /* slow */";

    interface Feature {
        void attempt() throws Exception;
    }

    private interface Work {
        void run() throws SQLException;
    }

    Features(Run run) {
        this(run, new AtomicInteger());
    }

    Map<String, Feature> all() {
        var all = new LinkedHashMap<String, Feature>();
        all.put("listen", this::listen);
        all.put("copy in", this::copyIn);
        all.put("copy out", this::copyOut);
        all.put("cursor", this::cursor);
        all.put("large object", this::largeObject);
        all.put("savepoint", this::savepoint);
        all.put("batch error", this::batchError);
        all.put("cancel", this::cancel);
        return all;
    }

    private Session open() throws SQLException {
        return new Session(run, new Client(run.connections() + visitors.incrementAndGet()));
    }

    private static void equal(Object seen, Object expected) {
        if (!Question.same(seen, expected)) {
            throw new AssertionError(seen + ", not " + expected);
        }
    }

    /** The one row of a text without parameters, asked as all the others. */
    private static void expect(Session session, String text, Object... expected) throws SQLException {
        var question = new Question(text + " where ?::bigint = 7 and ?::boolean", 7, true, null, null);
        var rows = session.query(question);
        equal(rows.size(), 1);
        equal(Arrays.asList(rows.get(0)), Arrays.asList(expected));
    }

    private static void fails(String state, Work work) throws SQLException {
        try {
            work.run();
        } catch (SQLException error) {
            if (!state.equals(Session.state(error))) {
                throw error;
            }
            return;
        }
        throw new AssertionError("no " + state);
    }

    private void listen() throws SQLException {
        try (var listening = open(); var other = open()) {
            listening.execute("listen news");
            for (int i = 0; i < 3; i++) {
                other.execute("notify news, 'message " + i + "'");
            }
            var connection = listening.connection.unwrap(PGConnection.class);
            for (int seen = 0; seen < 3; ) {
                for (var notification : connection.getNotifications(10_000)) {
                    equal(notification.getParameter(), "message " + seen++);
                }
            }
        }
    }

    private void copyIn() throws Exception {
        try (var session = open()) {
            session.execute("create table copied (n integer, word text)");
            var lines = IntStream.range(0, COPIED).mapToObj(n -> n + "\tword " + n + "\n").collect(Collectors.joining());
            var copy = session.connection.unwrap(PGConnection.class).getCopyAPI();
            copy.copyIn("copy copied from stdin", new StringReader(lines));
            var sum = "select sum(n)::bigint, count(distinct word)::bigint from copied";
            expect(session, sum, (long) COPIED * (COPIED - 1) / 2, (long) COPIED);
        }
    }

    private void copyOut() throws Exception {
        try (var session = open()) {
            var out = new StringWriter();
            var copy = session.connection.unwrap(PGConnection.class).getCopyAPI();
            copy.copyOut("copy (select n from generate_series(1, 50000) n) to stdout", out);
            equal(out.toString().lines().map(Integer::valueOf).toList(), numbers(50000));
            expect(session, "select 1", 1);
        }
    }

    private static List<Integer> numbers(int count) {
        return IntStream.rangeClosed(1, count).boxed().toList();
    }

    /** A portal that is read bit by bit, with other queries between its parts. */
    private void cursor() throws SQLException {
        try (var session = open()) {
            session.connection.setAutoCommit(false);
            try (var statement = session.connection.prepareStatement("select n from generate_series(1, ?::integer) n")) {
                statement.setFetchSize(50);
                statement.setInt(1, 1000);
                try (var rows = statement.executeQuery()) {
                    for (int n = 1; n <= 1000; n++) {
                        equal(rows.next(), true);
                        equal(rows.getInt(1), n);
                        if (n % 70 == 0) {
                            expect(session, "select " + n, n);
                        }
                    }
                    equal(rows.next(), false);
                }
            }
            session.connection.commit();
        }
    }

    /** Through FunctionCall messages. */
    private void largeObject() throws SQLException {
        try (var session = open()) {
            session.connection.setAutoCommit(false);
            var written = "a large object ".repeat(20000).getBytes(StandardCharsets.UTF_8);
            var objects = session.connection.unwrap(PGConnection.class).getLargeObjectAPI();
            long oid = objects.createLO(LargeObjectManager.READWRITE);
            try (var object = objects.open(oid, LargeObjectManager.READWRITE)) {
                object.write(written);
                object.seek(0);
                equal(object.read(written.length + 1), written);
            }
            session.connection.commit();
            objects.delete(oid);
            session.connection.commit();
        }
    }

    private void savepoint() throws SQLException {
        try (var session = open()) {
            session.execute("create table saved (n integer)");
            session.connection.setAutoCommit(false);
            session.execute("insert into saved values (1)");
            var one = session.connection.setSavepoint();
            session.execute("insert into saved values (2)");
            fails("22012", () -> session.execute("select 1/0"));
            fails("25P02", () -> session.execute("select 1"));
            session.connection.rollback(one);
            session.execute("insert into saved values (4)");
            session.connection.releaseSavepoint(one);
            session.connection.commit();
            expect(session, "select sum(n)::bigint, count(*) from saved", 5L, 2L);
            session.connection.commit();
        }
    }

    /** Sent in one go; one in the middle fails, and none of them stays. */
    private void batchError() throws SQLException {
        try (var session = open()) {
            session.execute("create table batch (n integer)");
            session.connection.setAutoCommit(false);
            for (int round = 0; round < 8; round++) {
                try (var statement = session.connection.prepareStatement("insert into batch select 1 / ?::integer")) {
                    for (int n : new int[] {3, 2, 1, 0, 5, 6}) {
                        statement.setInt(1, n);
                        statement.addBatch();
                    }
                    statement.executeBatch();
                    throw new AssertionError("no error in the batch");
                } catch (BatchUpdateException error) {
                    equal(Session.state(error), "22012");
                }
                session.connection.rollback();
                expect(session, "select count(*) from batch", 0L);
            }
        }
    }

    private void cancel() throws Exception {
        try (var session = open(); var watcher = open(); var statement = session.connection.createStatement()) {
            var slow = new FutureTask<>(() -> {
                fails("57014", () -> statement.execute(SLOW));
                return true;
            });
            var thread = new Thread(slow);
            thread.setDaemon(true);
            thread.start();
            var text = "select count(*) from pg_stat_activity where state = 'active' and query = '" + SLOW
                    + "' and pid <> pg_backend_pid() and ?::bigint = 7 and ?::boolean";
            var question = new Question(text, 7, true, null, null);
            while (!slow.isDone() && (Long) watcher.query(question).get(0)[0] == 0) {
                Thread.onSpinWait();
            }
            statement.cancel();
            slow.get();
            expect(session, "select 5", 5);
        }
    }
}
