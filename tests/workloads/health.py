"""An application that pools by itself and serves the contract of GET /health/pool, on port 8080. USED says how many are active."""

import json
import os
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX = int(os.environ["DATABASE_POOL_MAX"])
ACTIVE = int(os.environ.get("USED", "0"))


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health/pool":
            self.send_error(404)
            return
        percent = round(ACTIVE / MAX * 100, 1)
        body = json.dumps({
            "status": "healthy" if percent < 90 else "unhealthy",
            "metrics": {"activeConnections": ACTIVE, "idleConnections": 0, "waitingRequests": 0, "totalConnections": ACTIVE, "poolSize": MAX},
            "config": {
                "min": int(os.environ["DATABASE_POOL_MIN"]), "max": MAX,
                "idleTimeout": int(os.environ["DATABASE_POOL_IDLE_TIMEOUT"]),
                "connectionTimeout": int(os.environ["DATABASE_POOL_CONNECTION_TIMEOUT"]),
            },
            "utilization": {"percent": percent, "status": "normal" if percent < 80 else "warning" if percent < 90 else "critical"},
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


print(os.environ["DATABASE_URL"], flush=True)
ThreadingHTTPServer(("", 8080), Health).serve_forever()
