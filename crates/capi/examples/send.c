/* Sends what it reads from standard input, without copying it: it is read straight into memory that the device reads.
 *
 *   cc send.c $(pkg-config --cflags --libs tsonami) -o send
 *   ./send 'device = "tap:tsonami0,host=10.77.0.1/24"
 *           address = "10.77.0.2/24"' 10.77.0.1:5001 < file
 */
#include <inttypes.h>
#include <stdio.h>

#include "tsonami.h"

#define SECOND INT64_C(1000000000)

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, tsonami_last_error());
    return -1;
}

/* A free buffer. When all are out it waits for an ACK, which brings some home. */
static int free_buffer(TsonamiPool *pool, TsonamiConnection *connection, TsonamiBuffer **buffer) {
    TsonamiMarks marks;
    int rc;

    while ((rc = tsonami_pool_alloc(pool, buffer)) == TSONAMI_ERROR_WOULD_BLOCK) {
        if (tsonami_connection_marks(connection, &marks) < 0)
            return fail("marks");
        rc = tsonami_connection_wait_acked(connection, marks.acked + 1, SECOND / 1000);
        if (rc < 0 && rc != TSONAMI_ERROR_WOULD_BLOCK)
            return fail("connection");
    }
    return rc < 0 ? fail("buffer") : 0;
}

/* Sends one buffer full; 0 at the end of the input. */
static int send_some(TsonamiPool *pool, TsonamiConnection *connection) {
    TsonamiBuffer *buffer;
    TsonamiPayload *payload;
    void *bytes;
    size_t room, n;
    int rc;

    if (free_buffer(pool, connection, &buffer) < 0)
        return -1;
    if (tsonami_buffer_room(buffer, &bytes, &room) < 0)
        return fail("buffer");
    n = fread(bytes, 1, room, stdin);
    if (n == 0) {
        tsonami_buffer_free(buffer);
        return 0;
    }
    /* From here on nobody writes to it. */
    if (tsonami_buffer_freeze(buffer, n, &payload) < 0)
        return fail("freeze");
    tsonami_buffer_free(buffer);
    rc = tsonami_connection_send(connection, payload, 0, TSONAMI_FOREVER, NULL);
    if (rc < 0)
        fail("send");
    /* The connection keeps the bytes as long as it needs them. */
    tsonami_payload_free(payload);
    return rc < 0 ? -1 : 1;
}

static int send_all(TsonamiEngine *engine, const char *peer) {
    TsonamiConnection *connection;
    TsonamiPool *pool;
    TsonamiMarks marks;
    TsonamiStats stats;
    int rc;

    if (tsonami_engine_make_pool(engine, 64, 65536, &pool) < 0)
        return fail("pool");
    if (tsonami_engine_connect(engine, peer, NULL, TSONAMI_FOREVER, &connection) < 0) {
        fail("connect");
        tsonami_pool_free(pool);
        return -1;
    }
    while ((rc = send_some(pool, connection)) > 0)
        continue;
    if (rc == 0 && tsonami_connection_finish(connection, TSONAMI_FOREVER) < 0)
        rc = fail("finish");
    if (tsonami_connection_marks(connection, &marks) == 0)
        printf("%" PRIu64 " bytes acknowledged\n", marks.acked);
    if (tsonami_connection_stats(connection, SECOND, &stats, sizeof stats) == 0)
        printf("%" PRIu64 " bursts\n", stats.bursts);
    tsonami_connection_close(connection);
    tsonami_pool_free(pool);
    return rc;
}

int main(int argc, char **argv) {
    TsonamiEngine *engine;
    int rc;

    if (argc != 3) {
        fprintf(stderr, "usage: send CONFIG PEER:PORT\n");
        return 2;
    }
    if (tsonami_engine_open(TSONAMI_ABI_VERSION, argv[1], &engine) < 0) {
        fail("open");
        return 1;
    }
    rc = send_all(engine, argv[2]);
    /* It says so if a buffer is missing. */
    if (tsonami_engine_shutdown(engine, SECOND) < 0)
        rc = fail("shutdown");
    return rc < 0 ? 1 : 0;
}
