/* Threads that wait for ever, and what ends their waits from another thread. The peer reads nothing and says nothing.
 *
 *   cancel CONFIG PEER:PORT SILENT:PORT
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tsonami.h"

#define SECOND INT64_C(1000000000)
/* How long anything may take. */
#define PATIENCE 60
#define BUFFERS 8
#define BYTES 16384

/* Ends the program unless `is` is `expected`. */
#define IS(is, expected) equal((int64_t)(is), (int64_t)(expected), #is, __LINE__)
/* Repeats a call until it is `expected`, and ends the program when that takes too long. */
#define UNTIL(is, expected)                                                                                            \
    do {                                                                                                               \
        time_t begun = time(NULL);                                                                                     \
        while ((int64_t)(is) != (int64_t)(expected)) {                                                                 \
            if (time(NULL) - begun > PATIENCE)                                                                         \
                equal(0, (int64_t)(expected), #is, __LINE__);                                                          \
            sched_yield();                                                                                             \
        }                                                                                                              \
    } while (0)

static void equal(int64_t is, int64_t expected, const char *what, int line) {
    if (is != expected) {
        fprintf(stderr, "line %d: %s is %" PRId64 " and not %" PRId64 ": %s\n", line, what, is, expected,
                tsonami_last_error());
        exit(1);
    }
}

static const char bytes[BYTES];

/* A thread that waits, and what for. */
struct waiter {
    ptrdiff_t (*call)(struct waiter *);
    TsonamiConnection *connection, *from;
    TsonamiListener *listener;
    TsonamiConnecting *connecting;
    TsonamiPayload *payload;
    FILE *file;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    int is_over;
    ptrdiff_t result;
};

static ptrdiff_t sends(struct waiter *w) {
    return tsonami_connection_send(w->connection, w->payload, 0, TSONAMI_FOREVER, NULL);
}

static ptrdiff_t copies(struct waiter *w) {
    return tsonami_connection_send_copy(w->connection, bytes, BYTES, 0, TSONAMI_FOREVER);
}

static ptrdiff_t sends_a_batch(struct waiter *w) {
    const TsonamiPayload *batch[2];

    batch[0] = batch[1] = w->payload;
    return tsonami_connection_send_batch(w->connection, batch, 2, 0, TSONAMI_FOREVER);
}

static ptrdiff_t sends_a_file(struct waiter *w) {
    return tsonami_connection_send_file(w->connection, fileno(w->file), 0, BYTES, 0, TSONAMI_FOREVER);
}

static ptrdiff_t splices(struct waiter *w) {
    return tsonami_connection_splice(w->from, w->connection, BYTES, 0, TSONAMI_FOREVER);
}

static ptrdiff_t waits_for_acks(struct waiter *w) {
    return tsonami_connection_wait_acked(w->connection, UINT64_MAX, TSONAMI_FOREVER);
}

static ptrdiff_t finishes(struct waiter *w) {
    return tsonami_connection_finish(w->connection, TSONAMI_FOREVER);
}

static ptrdiff_t reads(struct waiter *w) {
    char byte;

    return tsonami_connection_read(w->connection, &byte, 1, TSONAMI_FOREVER);
}

static ptrdiff_t receives(struct waiter *w) {
    TsonamiPayload *payload;

    return tsonami_connection_receive(w->connection, TSONAMI_FOREVER, &payload);
}

static ptrdiff_t accepts(struct waiter *w) {
    TsonamiConnection *connection;

    return tsonami_listener_accept(w->listener, TSONAMI_FOREVER, &connection);
}

static ptrdiff_t waits_for_it_to_open(struct waiter *w) {
    TsonamiConnection *connection;

    return tsonami_connecting_wait(w->connecting, TSONAMI_FOREVER, &connection);
}

static void *wait_for_ever(void *argument) {
    struct waiter *w = argument;
    ptrdiff_t result;

    /* There may be room at first, and who looks whether this is in the call may be there first. */
    do
        result = w->call(w);
    while (result >= 0 || result == TSONAMI_ERROR_BUSY);
    pthread_mutex_lock(&w->lock);
    w->result = result;
    w->is_over = 1;
    pthread_cond_signal(&w->ends);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void begin(struct waiter *w, ptrdiff_t (*call)(struct waiter *)) {
    w->call = call;
    w->is_over = 0;
    IS(pthread_mutex_init(&w->lock, NULL), 0);
    IS(pthread_cond_init(&w->ends, NULL), 0);
    IS(pthread_create(&w->thread, NULL, wait_for_ever, w), 0);
}

/* What the thread came to, soon. */
static ptrdiff_t end(struct waiter *w) {
    struct timespec by;

    IS(clock_gettime(CLOCK_REALTIME, &by), 0);
    by.tv_sec += PATIENCE;
    pthread_mutex_lock(&w->lock);
    while (!w->is_over)
        IS(pthread_cond_timedwait(&w->ends, &w->lock, &by), 0);
    pthread_mutex_unlock(&w->lock);
    IS(pthread_join(w->thread, NULL), 0);
    pthread_cond_destroy(&w->ends);
    pthread_mutex_destroy(&w->lock);
    return w->result;
}

static TsonamiConnection *connected(TsonamiEngine *engine, const char *peer) {
    TsonamiConnection *connection;

    IS(tsonami_engine_connect(engine, peer, NULL, PATIENCE * SECOND, &connection), 0);
    return connection;
}

/* Sends until the peer takes nothing any more. */
static void fill(struct waiter *w) {
    int rc;

    while ((rc = tsonami_connection_send(w->connection, w->payload, 0, SECOND / 10, NULL)) == 0)
        continue;
    IS(rc, TSONAMI_ERROR_WOULD_BLOCK);
}

/* Which half a call keeps to itself while it waits. */
enum half { NEITHER, SENDS, RECEIVES };

static void until_it_waits(TsonamiConnection *connection, enum half half) {
    if (half == SENDS)
        UNTIL(tsonami_connection_capacity(connection), TSONAMI_ERROR_BUSY);
    if (half == RECEIVES)
        UNTIL(tsonami_connection_read(connection, NULL, 0, 0), TSONAMI_ERROR_BUSY);
}

/* A connection that is aborted is told to whoever waits on it. */
static void aborts(TsonamiEngine *engine, TsonamiPool *pool, const char *peer) {
    static const struct {
        ptrdiff_t (*call)(struct waiter *);
        enum half half;
        int fills;
    } calls[] = {
        {sends, SENDS, 1},          {copies, SENDS, 1},     {sends_a_batch, SENDS, 1}, {sends_a_file, SENDS, 1},
        {waits_for_acks, NEITHER, 1}, {finishes, NEITHER, 1}, {reads, RECEIVES, 0},      {receives, RECEIVES, 0},
    };
    struct waiter w;
    TsonamiBuffer *buffer;
    size_t i;

    memset(&w, 0, sizeof w);
    w.file = tmpfile();
    IS(fwrite(bytes, 1, BYTES, w.file), BYTES);
    IS(fflush(w.file), 0);
    IS(tsonami_pool_alloc(pool, &buffer), 0);
    IS(tsonami_buffer_freeze(buffer, BYTES, &w.payload), 0);
    IS(tsonami_buffer_free(buffer), 0);
    for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        w.connection = connected(engine, peer);
        if (calls[i].fills)
            fill(&w);
        begin(&w, calls[i].call);
        until_it_waits(w.connection, calls[i].half);
        if (calls[i].half != NEITHER)
            IS(tsonami_connection_close(w.connection), TSONAMI_ERROR_BUSY);
        IS(tsonami_connection_abort(w.connection), 0);
        IS(end(&w), TSONAMI_ERROR_ABORTED);
        IS(tsonami_connection_send_copy(w.connection, "x", 1, 0, 0), TSONAMI_ERROR_ABORTED);
        IS(tsonami_connection_close(w.connection), 0);
    }
    /* A splice waits on two. */
    for (i = 0; i < 2; i++) {
        w.connection = connected(engine, peer);
        w.from = connected(engine, peer);
        begin(&w, splices);
        until_it_waits(w.from, RECEIVES);
        IS(tsonami_connection_abort(i == 0 ? w.connection : w.from), 0);
        IS(end(&w), TSONAMI_ERROR_ABORTED);
        IS(tsonami_connection_abort(w.connection), 0);
        IS(tsonami_connection_abort(w.from), 0);
        IS(tsonami_connection_close(w.connection), 0);
        IS(tsonami_connection_close(w.from), 0);
    }
    /* What was aborted may be closed though its threads have not come out of their calls. */
    w.connection = connected(engine, peer);
    fill(&w);
    begin(&w, sends);
    until_it_waits(w.connection, SENDS);
    IS(tsonami_connection_abort(w.connection), 0);
    IS(tsonami_connection_close(w.connection), 0);
    /* It may have been about to send again. */
    IS(end(&w) == TSONAMI_ERROR_ABORTED || w.result == TSONAMI_ERROR_HANDLE, 1);

    IS(tsonami_payload_free(w.payload), 0);
    IS(fclose(w.file), 0);
    UNTIL(tsonami_pool_available(pool), BUFFERS);
}

static void closes_a_listener(TsonamiEngine *engine) {
    struct waiter w;
    TsonamiConnection *connection;

    memset(&w, 0, sizeof w);
    IS(tsonami_engine_listen(engine, "10.77.0.2:6001", 8, NULL, &w.listener), 0);
    begin(&w, accepts);
    UNTIL(tsonami_listener_accept(w.listener, 0, &connection), TSONAMI_ERROR_BUSY);
    IS(tsonami_listener_close(w.listener), 0);
    IS(tsonami_listener_close(w.listener), TSONAMI_ERROR_HANDLE);
    IS(end(&w) == TSONAMI_ERROR_CLOSED || w.result == TSONAMI_ERROR_HANDLE, 1);
    /* It listens no more when that returns. */
    IS(tsonami_engine_listen(engine, "10.77.0.2:6001", 8, NULL, &w.listener), 0);
    IS(tsonami_listener_close(w.listener), 0);
}

static void connects(TsonamiEngine *engine, const char *peer, const char *silent) {
    struct waiter w;
    TsonamiConnection *connection;
    TsonamiConnecting *other;

    memset(&w, 0, sizeof w);
    IS(tsonami_engine_begin_connect(NULL, peer, NULL, &other), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_begin_connect(engine, NULL, NULL, &other), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_begin_connect(engine, peer, "nonsense", &other), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_begin_connect(engine, peer, NULL, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_begin_connect_at(NULL, 0, peer, NULL, &other), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_begin_connect_at(engine, 1, peer, NULL, &other), TSONAMI_ERROR_INVALID);
    IS(tsonami_connecting_wait(NULL, 0, &connection), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connecting_close(NULL), TSONAMI_ERROR_HANDLE);

    /* It opens, and is given out once. */
    IS(tsonami_engine_begin_connect_at(engine, 0, peer, NULL, &w.connecting), 0);
    IS(tsonami_connecting_wait(w.connecting, 0, NULL), TSONAMI_ERROR_INVALID);
    UNTIL(tsonami_connecting_wait(w.connecting, 0, &connection), 0);
    IS(tsonami_connecting_wait(w.connecting, TSONAMI_FOREVER, &connection), TSONAMI_ERROR_CLOSED);
    IS(tsonami_connecting_close(w.connecting), 0);
    IS(tsonami_connecting_close(w.connecting), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send_copy(connection, "x", 1, 0, 0), 1);
    IS(tsonami_connection_wait_acked(connection, 1, PATIENCE * SECOND), 0);
    IS(tsonami_connection_abort(connection), 0);
    IS(tsonami_connection_close(connection), 0);

    /* Nothing listens there. */
    IS(tsonami_engine_begin_connect(engine, "10.77.0.1:1", NULL, &w.connecting), 0);
    IS(tsonami_connecting_wait(w.connecting, PATIENCE * SECOND, &connection), TSONAMI_ERROR_REFUSED);
    IS(tsonami_connecting_wait(w.connecting, 0, &connection), TSONAMI_ERROR_CLOSED);
    IS(tsonami_connecting_close(w.connecting), 0);

    /* Nobody answers. One is closed while a thread waits for it, one while none does. */
    IS(tsonami_engine_begin_connect(engine, silent, NULL, &other), 0);
    IS(tsonami_connecting_wait(other, 0, &connection), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_connecting_wait(other, SECOND / 1000, &connection), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_connecting_close(other), 0);
    IS(tsonami_engine_begin_connect(engine, silent, NULL, &w.connecting), 0);
    begin(&w, waits_for_it_to_open);
    UNTIL(tsonami_connecting_wait(w.connecting, 0, &connection), TSONAMI_ERROR_BUSY);
    IS(tsonami_connecting_close(w.connecting), 0);
    IS(end(&w) == TSONAMI_ERROR_ABORTED || w.result == TSONAMI_ERROR_HANDLE, 1);
}

/* Whoever waits when the engine goes is told. */
static void shuts_down(TsonamiEngine *engine, TsonamiPool *pool, const char *peer, const char *silent) {
    struct waiter writer, reader, acceptor, opener;
    TsonamiBuffer *buffer;

    memset(&writer, 0, sizeof writer);
    IS(tsonami_pool_alloc(pool, &buffer), 0);
    IS(tsonami_buffer_freeze(buffer, BYTES, &writer.payload), 0);
    IS(tsonami_buffer_free(buffer), 0);
    writer.connection = connected(engine, peer);
    fill(&writer);
    reader = acceptor = opener = writer;
    IS(tsonami_engine_listen(engine, "10.77.0.2:6001", 8, NULL, &acceptor.listener), 0);
    IS(tsonami_engine_begin_connect(engine, silent, NULL, &opener.connecting), 0);
    begin(&writer, sends);
    begin(&reader, reads);
    begin(&acceptor, accepts);
    begin(&opener, waits_for_it_to_open);
    until_it_waits(writer.connection, SENDS);
    until_it_waits(writer.connection, RECEIVES);
    IS(tsonami_payload_free(writer.payload), 0);
    /* Not everything was delivered. */
    IS(tsonami_engine_shutdown(engine, 0), TSONAMI_ERROR_UNCLEAN);
    IS(end(&writer) == TSONAMI_ERROR_ENGINE_GONE || writer.result == TSONAMI_ERROR_HANDLE, 1);
    IS(end(&reader), TSONAMI_ERROR_ENGINE_GONE);
    IS(end(&acceptor), TSONAMI_ERROR_ENGINE_GONE);
    IS(end(&opener) == TSONAMI_ERROR_ENGINE_GONE || opener.result == TSONAMI_ERROR_ABORTED, 1);
    IS(tsonami_pool_available(pool), BUFFERS);
    IS(tsonami_connection_close(writer.connection), 0);
    IS(tsonami_listener_close(acceptor.listener), 0);
    IS(tsonami_connecting_close(opener.connecting), 0);
    IS(tsonami_pool_free(pool), 0);
}

int main(int argc, char **argv) {
    TsonamiEngine *engine;
    TsonamiPool *pool;

    IS(argc, 4);
    IS(tsonami_engine_open(TSONAMI_ABI_VERSION, argv[1], &engine), 0);
    IS(tsonami_engine_make_pool(engine, BUFFERS, BYTES, &pool), 0);
    aborts(engine, pool, argv[2]);
    closes_a_listener(engine);
    connects(engine, argv[2], argv[3]);
    shuts_down(engine, pool, argv[2], argv[3]);
    puts("done");
    return 0;
}
