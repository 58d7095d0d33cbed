import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

/** One client: it asks, and compares. */
final class Worker implements Runnable {
    int queries;
    int wrongRows;
    int wrongSettings;
    int transactions;
    int moved;
    final Map<String, Integer> errors = new TreeMap<>();
    final List<String> examples = new ArrayList<>();

    private final Run run;
    private final Client client;
    private final Random random;
    private Session session;
    private int pid;

    Worker(Run run, Client client) {
        this.run = run;
        this.client = client;
        random = new Random(run.seed() * 1000 + client.index());
    }

    @Override
    public void run() {
        int failures = 0;
        while (queries < run.queries() / run.connections() && failures < 100) {
            try {
                if (session == null) {
                    session = new Session(run, client);
                }
                failures = 0;
                transaction();
            } catch (Exception error) {
                failures += session == null ? 1 : 0;
                failed(error);
                mend();
            }
        }
        close();
    }

    private void mend() {
        try {
            // No text without need: each drops the server's unnamed statement, and so hides who else's it was.
            if (session == null || !session.connection.isClosed() && session.connection.getAutoCommit()) {
                return;
            }
            if (!session.connection.isClosed()) {
                session.connection.rollback();
                session.connection.setAutoCommit(true);
                return;
            }
        } catch (SQLException error) {
            failed(error);
        }
        close();
    }

    private void close() {
        try (var closed = session) {
            session = null;
        } catch (SQLException error) {
            failed(error);
        }
    }

    /** One query, or now and then two in a transaction, which one server connection must answer. */
    private void transaction() throws Exception {
        if (random.nextInt(16) != 0) {
            ended(query());
            return;
        }
        session.connection.setAutoCommit(false);
        int first = query();
        int second = query();
        if (first != second && first != 0 && second != 0) {
            wrongRows++;
            example("one transaction on two server connections");
        }
        ended(second);
        session.connection.commit();
        session.connection.setAutoCommit(true);
    }

    private int query() throws Exception {
        if (random.nextInt(4) == 0) {
            Thread.sleep(0, random.nextInt(1_000_000));
        }
        queries++;
        var question = client.ask(random, ((long) client.index() << 32) + queries);
        var judgement = client.judge(question, session.query(question));
        if (judgement.row() != null) {
            wrongRows++;
            example(judgement.row());
        } else if (judgement.setting() != null) {
            wrongSettings++;
            example(judgement.setting());
        }
        return judgement.pid();
    }

    private void ended(int now) {
        if (now != 0 && pid != 0) {
            transactions++;
            moved += now != pid ? 1 : 0;
        }
        pid = now != 0 ? now : pid;
    }

    private void failed(Exception error) {
        var state = Session.state(error);
        var name = state != null ? state : session == null ? "connect" : "client";
        errors.merge(name, 1, Integer::sum);
        example(name + ": " + error);
    }

    private void example(String text) {
        if (examples.size() < 2) {
            examples.add(text);
        }
    }
}
