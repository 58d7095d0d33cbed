import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.ToIntFunction;
import org.postgresql.util.DriverInfo;

/** One setting of pgjdbc: the clients, each a thread with a connection of its own, and beside them what is tried once. */
record Run(String url, String setting, int connections, int queries, long seed) {
    private static final int PATIENCE = 20;

    Map<String, Object> check() throws InterruptedException {
        var workers = new ArrayList<Worker>();
        var threads = new ArrayList<Thread>();
        for (int index = 0; index < connections; index++) {
            workers.add(new Worker(this, new Client(index)));
            threads.add(new Thread(workers.get(index)));
        }
        threads.forEach(Thread::start);
        var features = new LinkedHashMap<String, String>();
        for (var feature : new Features(this).all().entrySet()) {
            features.put(feature.getKey(), outcome(feature.getValue()));
        }
        for (var thread : threads) {
            thread.join();
        }
        var errors = new TreeMap<String, Integer>();
        workers.forEach(worker -> worker.errors.forEach((state, count) -> errors.merge(state, count, Integer::sum)));
        var result = new LinkedHashMap<String, Object>();
        result.put("version", DriverInfo.DRIVER_VERSION);
        result.put("queries", sum(workers, worker -> worker.queries));
        result.put("wrong_rows", sum(workers, worker -> worker.wrongRows));
        result.put("wrong_settings", sum(workers, worker -> worker.wrongSettings));
        result.put("transactions", sum(workers, worker -> worker.transactions));
        result.put("moved", sum(workers, worker -> worker.moved));
        result.put("errors", errors);
        result.put("features", features);
        result.put("examples", workers.stream().flatMap(worker -> worker.examples.stream()).limit(8).toList());
        return result;
    }

    private static int sum(List<Worker> workers, ToIntFunction<Worker> figure) {
        return workers.stream().mapToInt(figure).sum();
    }

    private static String outcome(Features.Feature feature) throws InterruptedException {
        var attempt = new FutureTask<>(() -> {
            feature.attempt();
            return "ok";
        });
        var thread = new Thread(attempt);
        thread.setDaemon(true);
        thread.start();
        try {
            return attempt.get(PATIENCE, TimeUnit.SECONDS);
        } catch (ExecutionException failure) {
            return failure.getCause().toString();
        } catch (TimeoutException failure) {
            return "did not end within " + PATIENCE + " s";
        }
    }
}
