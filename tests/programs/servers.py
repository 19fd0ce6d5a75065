"""Servers under load. They listen on sockets in the run's folder, never on a port."""

import concurrent.futures
import hashlib
import os
import socket

from context import Missing


def redis(context):
    context.need("redis-server", "redis-benchmark", "redis-cli")
    path = context.path("redis.sock")
    context.serve("redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                  "--appendonly", "no", "--dir", context.folder, "--io-threads", "2")
    context.until(lambda: os.path.exists(path))
    context.run("redis-benchmark", "-s", path, "-q", "-n", "20000", "-P", "16", "-c", "20",
                "-r", "5000", "-d", "100", "-t", "set,get,incr,lpush,sadd,hset,zadd,lrange_100")
    commands = ["FLUSHALL"]
    commands += [f"SET key:{number} {'v' * (number % 500)}" for number in range(3000)]
    commands += [f"RPUSH list:{number % 7} item{number}" for number in range(3000)]
    commands += [f"DEL key:{number}" for number in range(0, 3000, 3)]
    commands += ["DBSIZE", "LLEN list:3", "STRLEN key:499", "DEBUG DIGEST", "MEMORY PURGE"]
    answers = context.run("redis-cli", "-s", path, stdin="\n".join(commands) + "\n")
    context.run("redis-cli", "-s", path, "SAVE")  # And a child by fork that reads the heap:
    context.run("redis-cli", "-s", path, "BGSAVE")
    context.until(lambda: "rdb_bgsave_in_progress:0"
                  in context.run("redis-cli", "-s", path, "INFO", "persistence"))
    return "\n".join(answers.splitlines()[-5:])


def postgres(context):
    binaries = "/usr/lib/postgresql"
    if os.path.isdir(binaries):
        for version in sorted(os.listdir(binaries)):
            context.environment["PATH"] += f":{binaries}/{version}/bin"
    context.need("initdb", "postgres", "pgbench", "psql")
    context.as_other_user()
    data = context.path("data")
    context.run("initdb", "-D", data, "-U", "tester", "--no-sync", "-A", "trust", "-E", "UTF8",
                "--locale=C")
    context.serve("postgres", "-D", data, "-k", context.folder, "-c", "listen_addresses=",
                  "-c", "fsync=off", "-c", "shared_buffers=32MB")
    client = ("-h", context.folder, "-U", "tester")
    context.until(lambda: os.path.exists(context.path(".s.PGSQL.5432")))
    context.until(lambda: _accepts(context, client))
    context.run("pgbench", *client, "-i", "-q", "-s", "1", "postgres")
    context.run("pgbench", *client, "-c", "4", "-j", "2", "-t", "100", "-n", "postgres")
    return context.run(
        "psql", *client, "-At", "postgres", stdin="""
        select count(*), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts;
        select count(*) from pgbench_history;
        select md5(string_agg(n::text || repeat('x', n % 50), ',' order by n desc))
          from generate_series(1, 20000) n;
        select count(*) from (select n % 1000 k, array_agg(n) from generate_series(1, 100000) n
          group by 1) grouped;
        """)


def _accepts(context, client):
    try:
        return context.run("psql", *client, "-At", "postgres", "-c", "select 1") == "1\n"
    except RuntimeError:
        return False


def nginx(context):
    """Master, two workers, gzip, and a reload under load that replaces the workers."""
    context.need("nginx")
    if os.geteuid() == 0:
        context.as_other_user()
    path = context.path("nginx.sock")
    context.write("html/index.html", "<p>hello</p>\n" * 5000)
    context.write("nginx.conf", f"""
        daemon off; worker_processes 2; pid {context.path("pid")};
        error_log {context.path("error.log")};
        events {{ worker_connections 128; }}
        http {{
          access_log off; gzip on; gzip_min_length 100; gzip_types *;
          client_body_temp_path {context.path("t1")}; proxy_temp_path {context.path("t2")};
          fastcgi_temp_path {context.path("t3")}; uwsgi_temp_path {context.path("t4")};
          scgi_temp_path {context.path("t5")};
          server {{ listen unix:{path}; root {context.path("html")}; }}
        }}
        """)
    server = context.serve("nginx", "-p", context.folder, "-c", context.path("nginx.conf"),
                           "-e", context.path("error.log"))
    context.until(lambda: os.path.exists(path) or server.process.poll() is not None)
    if server.process.poll() is not None:
        raise Missing("nginx does not start here")

    def fetch(number):
        encoding = "Accept-Encoding: gzip\r\n" if number % 2 else ""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(f"GET / HTTP/1.0\r\n{encoding}\r\n".encode())
            chunks = []
            while chunk := client.recv(65536):
                chunks.append(chunk)
        head, _, body = b"".join(chunks).partition(b"\r\n\r\n")
        return head.split(b"\r\n")[0].decode() + " " + hashlib.sha256(body).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(fetch, range(400)))
        context.run("nginx", "-p", context.folder, "-c", context.path("nginx.conf"),
                    "-e", context.path("error.log"), "-s", "reload")
        answers |= set(pool.map(fetch, range(400)))
    return "\n".join(sorted(answers))


CASES = (redis, postgres, nginx)
