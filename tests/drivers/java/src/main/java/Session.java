import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.postgresql.util.PSQLException;

/** One connection. */
final class Session implements AutoCloseable {
    final Connection connection;

    /** Its client's settings are set: one at start-up, the others by SQL. */
    Session(Run run, Client client) throws SQLException {
        var url = URI.create(run.url());
        var user = url.getUserInfo().split(":");
        var properties = new Properties();
        properties.setProperty("user", user[0]);
        properties.setProperty("password", user[1]);
        properties.setProperty("sslmode", "disable");
        properties.setProperty("ApplicationName", client.application());
        // Longer than anything takes that works: nobody waits for ever for an answer that is lost.
        properties.setProperty("socketTimeout", "30");
        if (!run.setting().equals("default")) {
            var setting = run.setting().split("=");
            properties.setProperty(setting[0], setting[1]);
        }
        connection = DriverManager.getConnection(
                "jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath(), properties);
        try {
            execute("set TimeZone to '" + client.zone() + "'");
            execute("set search_path to " + client.schema());
        } catch (SQLException failure) {
            connection.close();
            throw failure;
        }
    }

    List<Object[]> query(Question question) throws SQLException {
        try (var statement = connection.prepareStatement(question.text())) {
            statement.setLong(1, question.id());
            statement.setObject(2, question.value());
            try (var rows = statement.executeQuery()) {
                return all(rows);
            }
        }
    }

    static List<Object[]> all(ResultSet rows) throws SQLException {
        int columns = rows.getMetaData().getColumnCount();
        var all = new ArrayList<Object[]>();
        while (rows.next()) {
            var row = new Object[columns];
            for (int i = 0; i < columns; i++) {
                row[i] = rows.getObject(i + 1);
            }
            all.add(row);
        }
        return all;
    }

    void execute(String sql) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** Of errors that the server sent. */
    static String state(Exception error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof PSQLException server && server.getServerErrorMessage() != null) {
                return server.getSQLState();
            }
        }
        return null;
    }

    @Override
    public void close() throws SQLException {
        connection.close();
    }
}
