/* Every call of the C interface on an engine with threads of its own: what it does, and what becomes of misuse.
 * The peer sends back what it gets.
 *
 *   engine CONFIG PEER:PORT
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tsonami.h"

#define SECOND INT64_C(1000000000)
#define PATIENCE (60 * SECOND)
/* Bytes that everything_that_sends sends. */
#define TOTAL 82

/* Ends the program unless `is` is `expected`. */
#define IS(is, expected) equal((int64_t)(is), (int64_t)(expected), #is, __LINE__)
#define SAYS(text) says(text, __LINE__)

static void equal(int64_t is, int64_t expected, const char *what, int line) {
    if (is != expected) {
        fprintf(stderr, "line %d: %s is %" PRId64 " and not %" PRId64 ": %s\n", line, what, is, expected,
                tsonami_last_error());
        exit(1);
    }
}

static void says(const char *text, int line) {
    if (strstr(tsonami_last_error(), text) == NULL) {
        fprintf(stderr, "line %d: not '%s' but: %s\n", line, text, tsonami_last_error());
        exit(1);
    }
}

static TsonamiPayload *payload_of(TsonamiPool *pool, const char *text) {
    TsonamiBuffer *buffer;
    TsonamiPayload *payload;
    void *bytes;
    size_t room;

    IS(tsonami_pool_alloc(pool, &buffer), 0);
    IS(tsonami_buffer_room(buffer, &bytes, &room), 0);
    memcpy(bytes, text, strlen(text));
    IS(tsonami_buffer_freeze(buffer, room + 1, &payload), TSONAMI_ERROR_INVALID);
    SAYS("the buffer has room for");
    IS(tsonami_buffer_freeze(buffer, strlen(text), &payload), 0);
    IS(tsonami_buffer_free(buffer), 0);
    IS(tsonami_buffer_free(buffer), TSONAMI_ERROR_HANDLE);
    SAYS("this handle of a buffer was given up before");
    return payload;
}

static void read_exactly(TsonamiConnection *connection, const char *expected) {
    char buffer[128];
    size_t length = strlen(expected), got = 0;

    while (got < length) {
        ptrdiff_t n = tsonami_connection_read(connection, buffer + got, length - got, PATIENCE);
        IS(n > 0, 1);
        got += (size_t)n;
    }
    IS(memcmp(buffer, expected, length), 0);
}

static void versions(const char *config) {
    TsonamiEngine *engine = NULL;

    IS(tsonami_abi_version(), TSONAMI_ABI_VERSION);
    IS(tsonami_check_version(TSONAMI_ABI_VERSION), 0);
    IS(tsonami_check_version(TSONAMI_ABI_VERSION + 1), TSONAMI_ERROR_VERSION);
    IS(tsonami_engine_open(TSONAMI_ABI_VERSION - 1, config, &engine), TSONAMI_ERROR_VERSION);
    SAYS("compile the program with the header that belongs to the library");
    IS(engine == NULL, 1);
    IS(strcmp(tsonami_strerror(TSONAMI_ERROR_HANDLE), tsonami_strerror(TSONAMI_ERROR_BUSY)) != 0, 1);
}

/* Each pointer may be null: that is an error, and no crash. */
static void nulls(TsonamiEngine *engine, const char *peer) {
    TsonamiConnection *connection = NULL;
    TsonamiListener *listener = NULL;
    TsonamiPool *pool = NULL;
    TsonamiRegion *region = NULL;
    TsonamiPayload *payload = NULL;
    TsonamiBuffer *buffer = NULL;
    void *bytes;
    const void *read_only;
    size_t length;

    IS(tsonami_engine_open(TSONAMI_ABI_VERSION, NULL, &engine), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_open(TSONAMI_ABI_VERSION, "", NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_connect(engine, NULL, NULL, 0, &connection), TSONAMI_ERROR_INVALID);
    SAYS("the peer is a null pointer");
    IS(tsonami_engine_connect(engine, peer, NULL, 0, NULL), TSONAMI_ERROR_INVALID);
    SAYS("where the connection goes is a null pointer");
    IS(tsonami_engine_connect(NULL, peer, NULL, 0, &connection), TSONAMI_ERROR_HANDLE);
    SAYS("the engine is a null pointer");
    IS(tsonami_engine_connect(engine, "10.77.0.1", NULL, 0, &connection), TSONAMI_ERROR_INVALID);
    SAYS("'10.77.0.1' is no address and port");
    IS(tsonami_engine_connect(engine, peer, "no_dealy = true", 0, &connection), TSONAMI_ERROR_INVALID);
    SAYS("no_dealy");
    IS(tsonami_engine_listen(engine, NULL, 1, NULL, &listener), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_listen(NULL, "10.77.0.2:6001", 1, NULL, &listener), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_listen(engine, "10.77.0.2:6001", 1, NULL, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_make_pool(NULL, 8, 4096, &pool), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_make_pool(engine, 8, 4096, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_make_arena(NULL, 4096, &region), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_make_arena(engine, 4096, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_make_pool_over(engine, NULL, 4096, &pool), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_counts(NULL, NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_counts_of(NULL, 0, NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_workers(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_connect_at(NULL, 0, peer, NULL, 0, &connection), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_counts(engine, NULL, 1), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_shutdown(NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_shutdown(engine, -1), TSONAMI_ERROR_INVALID);
    IS(tsonami_listener_accept(NULL, 0, &connection), TSONAMI_ERROR_HANDLE);
    IS(tsonami_listener_close(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_region_bytes(NULL, &bytes, &length), TSONAMI_ERROR_HANDLE);
    IS(tsonami_region_free(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_pool_alloc(NULL, &buffer), TSONAMI_ERROR_HANDLE);
    IS(tsonami_pool_available(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_pool_free(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_buffer_room(NULL, &bytes, &length), TSONAMI_ERROR_HANDLE);
    IS(tsonami_buffer_freeze(NULL, 1, &payload), TSONAMI_ERROR_HANDLE);
    IS(tsonami_buffer_free(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_payload_bytes(NULL, &read_only, &length), TSONAMI_ERROR_HANDLE);
    IS(tsonami_payload_slice(NULL, 0, 0, &payload), TSONAMI_ERROR_HANDLE);
    IS(tsonami_payload_free(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_local(NULL, NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_peer(NULL, NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send(NULL, NULL, 0, 0, NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send_copy(NULL, "x", 1, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send_pieces(NULL, NULL, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send_batch(NULL, NULL, 0, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send_file(NULL, 0, 0, 1, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_splice(NULL, NULL, 1, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_flush(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_keep_send_times(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_pop_send_time(NULL, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_marks(NULL, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_capacity(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_wait_acked(NULL, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_keep_reclaimed(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_pop_reclaimed(NULL, &payload, NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_shutdown_write(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_finish(NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_set(NULL, TSONAMI_SETTING_CORK, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_set_keepalive(NULL, 0, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_stats(NULL, 0, NULL, 0), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_read(NULL, NULL, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_receive(NULL, 0, &payload), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_abort(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_close(NULL), TSONAMI_ERROR_HANDLE);
}

static void everything_that_sends(TsonamiEngine *engine, TsonamiPool *pool, TsonamiConnection *connection) {
    TsonamiPayload *first = payload_of(pool, "zero copy, "), *second = payload_of(pool, "twice; ");
    TsonamiPayload *part, *back;
    const TsonamiPayload *batch[3];
    TsonamiPiece pieces[3];
    TsonamiMarks marks;
    TsonamiStats stats;
    TsonamiCount *counts;
    char text[64];
    const void *bytes;
    size_t length;
    uint64_t offset = 7;
    ptrdiff_t number, i, found = 0;

    IS(tsonami_connection_peer(connection, text, sizeof text), 14);
    IS(strcmp(text, "10.77.0.1:5001"), 0);
    IS(tsonami_connection_local(connection, text, 5) > 10, 1);
    IS(strcmp(text, "10.7"), 0);

    IS(tsonami_connection_keep_reclaimed(connection), 0);
    IS(tsonami_connection_send(connection, first, 8, 0, NULL), TSONAMI_ERROR_INVALID);
    SAYS("flags that are not known");
    IS(tsonami_connection_send(connection, (TsonamiPayload *)connection, 0, 0, NULL), TSONAMI_ERROR_HANDLE);
    SAYS("a handle of a connection stands where one of a payload is wanted");
    IS(tsonami_connection_send(connection, first, TSONAMI_SEND_MORE, 0, &offset), 0);
    IS(offset, 0);
    IS(tsonami_connection_send(connection, second, TSONAMI_SEND_EOR, PATIENCE, &offset), 0);
    IS(offset, 11);
    read_exactly(connection, "zero copy, twice; ");

    IS(tsonami_connection_send_copy(connection, "copied; ", 8, 0, 0), 8);
    IS(tsonami_connection_send_copy(connection, NULL, 8, 0, 0), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_send_copy(connection, NULL, 0, 0, 0), 0);
    IS(tsonami_connection_send_copy(connection, "waited; ", 8, 0, PATIENCE), 8);
    read_exactly(connection, "copied; waited; ");

    memset(pieces, 0, sizeof pieces);
    pieces[0].bytes = "header, ";
    pieces[0].length = 8;
    pieces[1].payload = first;
    pieces[2].bytes = NULL;
    pieces[2].length = 3;
    IS(tsonami_connection_send_pieces(connection, pieces, 3, 0), TSONAMI_ERROR_INVALID);
    pieces[2].bytes = "end";
    IS(tsonami_connection_send_pieces(connection, pieces, 3, 0), 22);
    IS(pieces[0].length + pieces[2].length, 0);
    IS(pieces[1].payload == NULL, 1);
    IS(tsonami_connection_send_pieces(connection, NULL, 1, 0), TSONAMI_ERROR_INVALID);
    read_exactly(connection, "header, zero copy, end");

    IS(tsonami_payload_slice(first, 5, 7, &part), TSONAMI_ERROR_INVALID);
    IS(tsonami_payload_slice(first, SIZE_MAX, 2, &part), TSONAMI_ERROR_INVALID);
    IS(tsonami_payload_slice(first, 5, 4, &part), 0);
    batch[0] = part;
    batch[1] = second;
    batch[2] = part;
    IS(tsonami_connection_send_batch(connection, batch, 3, 0, 0), 3);
    batch[1] = NULL;
    IS(tsonami_connection_send_batch(connection, batch, 3, 0, 0), TSONAMI_ERROR_HANDLE);
    read_exactly(connection, "copytwice; copy");
    batch[1] = second;
    IS(tsonami_connection_send_batch(connection, batch, 2, 0, PATIENCE), 2);
    read_exactly(connection, "copytwice; ");
    IS(tsonami_payload_free(part), 0);

    IS(tsonami_connection_wait_acked(connection, UINT64_MAX, PATIENCE), 0);
    IS(tsonami_connection_marks(connection, &marks), 0);
    IS(marks.accepted, TOTAL);
    IS(marks.acked, TOTAL);
    IS(tsonami_connection_capacity(connection) > 0, 1);

    /* Copies are none of the application's: five references to the first payload come back, and three to the second. */
    for (number = 0; number < 8;) {
        int rc = tsonami_connection_pop_reclaimed(connection, &back, &offset);
        IS(rc >= 0, 1);
        if (rc == 0)
            continue;
        IS(tsonami_payload_bytes(back, &bytes, &length), 0);
        if (number == 0) {
            IS(offset, 0);
            IS(memcmp(bytes, "zero copy, ", length), 0);
        }
        IS(tsonami_payload_free(back), 0);
        number++;
    }
    IS(tsonami_payload_free(first), 0);
    IS(tsonami_payload_free(second), 0);
    IS(tsonami_payload_free(second), TSONAMI_ERROR_HANDLE);

    memset(&stats, 0xff, sizeof stats);
    IS(tsonami_connection_stats(connection, PATIENCE, &stats, 16), 0);
    IS(stats.bytes_sent, TOTAL);
    IS(stats.bytes_retransmitted, UINT64_MAX);
    IS(tsonami_connection_stats(connection, PATIENCE, &stats, 15), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_stats(connection, PATIENCE, &stats, sizeof stats), 0);
    IS(stats.bytes_received, TOTAL);
    /* The TAP's driver sums some short pieces wrongly, so they are copied for it. */
    IS(stats.bytes_copied_after_all <= TOTAL, 1);
    IS(stats.srtt > 0 && stats.mss > 0 && stats.cwnd > 0, 1);

    IS(tsonami_connection_set(connection, TSONAMI_SETTING_CORK, 1), 0);
    IS(tsonami_connection_set(connection, TSONAMI_SETTING_CORK, 2), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_set(connection, 99, 1), TSONAMI_ERROR_INVALID);
    SAYS("there is no setting 99");
    IS(tsonami_connection_set(connection, TSONAMI_SETTING_CORK, 0), 0);
    IS(tsonami_connection_set_keepalive(connection, SECOND, SECOND, 3), 0);
    IS(tsonami_connection_set_keepalive(connection, -1, SECOND, 3), TSONAMI_ERROR_INVALID);

    IS(tsonami_engine_workers(engine), 1);
    IS(tsonami_engine_counts_of(engine, 1, NULL, 0), TSONAMI_ERROR_INVALID);
    SAYS("there is no worker 1: they are 0 to 0");
    number = tsonami_engine_counts(engine, NULL, 0);
    IS(number > 10, 1);
    IS(tsonami_engine_counts_of(engine, 0, NULL, 0), number);
    counts = calloc((size_t)number, sizeof *counts);
    IS(tsonami_engine_counts(engine, counts, (size_t)number), number);
    for (i = 0; i < number; i++)
        found += counts[i].value > 0 && strlen(counts[i].name) > 0 && strlen(counts[i].meaning) > 0;
    IS(found > 3, 1);
    free(counts);
}

/* A send that only waits for the word. */
static void prepared(TsonamiEngine *engine, TsonamiPool *pool, const char *peer) {
    TsonamiConnection *connection;
    TsonamiPayload *payload = payload_of(pool, "prepared; "), *back;
    TsonamiPiece piece;
    TsonamiMarks marks;
    const TsonamiPayload *batch[1];
    uint64_t offset = 7;
    ptrdiff_t available = tsonami_pool_available(pool);

    memset(&piece, 0, sizeof piece);
    piece.bytes = "x";
    piece.length = 1;
    batch[0] = payload;
    IS(tsonami_connection_prepare(NULL, payload, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_fire(NULL, NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_unprepare(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_connect(engine, peer, "send_buffer = 65536", PATIENCE, &connection), 0);
    IS(tsonami_connection_fire(connection, NULL), TSONAMI_ERROR_INVALID);
    SAYS("no send is prepared");
    IS(tsonami_connection_unprepare(connection), TSONAMI_ERROR_INVALID);
    IS(tsonami_connection_prepare(connection, NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_prepare(connection, payload, 8), TSONAMI_ERROR_INVALID);

    /* What is prepared comes next: whatever else would add to the stream has to wait. */
    IS(tsonami_connection_prepare(connection, payload, 0), 0);
    IS(tsonami_connection_prepare(connection, payload, 0), TSONAMI_ERROR_BUSY);
    SAYS("a send is prepared");
    IS(tsonami_connection_send(connection, payload, 0, TSONAMI_FOREVER, NULL), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_send_copy(connection, "x", 1, 0, 0), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_send_pieces(connection, &piece, 1, 0), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_send_batch(connection, batch, 1, 0, 0), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_send_file(connection, 0, 0, 1, 0, 0), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_splice(connection, connection, 1, 0, 0), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_shutdown_write(connection), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_finish(connection, 0), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_marks(connection, &marks), 0);
    IS(marks.accepted, 0);
    /* The handle may go: the connection has the payload. */
    IS(tsonami_payload_slice(payload, 0, 10, &back), 0);
    IS(tsonami_payload_free(payload), 0);
    IS(tsonami_connection_fire(connection, &offset), 0);
    IS(offset, 0);
    IS(tsonami_connection_fire(connection, &offset), TSONAMI_ERROR_INVALID);
    read_exactly(connection, "prepared; ");

    IS(tsonami_connection_prepare(connection, back, 0), 0);
    IS(tsonami_connection_unprepare(connection), 0);
    IS(tsonami_connection_send_copy(connection, "instead", 7, 0, 0), 7);
    read_exactly(connection, "instead");

    IS(tsonami_connection_prepare(connection, back, 0), 0);
    IS(tsonami_payload_free(back), 0);
    IS(tsonami_connection_abort(connection), 0);
    IS(tsonami_connection_fire(connection, NULL), TSONAMI_ERROR_ABORTED);
    IS(tsonami_connection_close(connection), 0);

    /* What was never fired goes home with its connection. */
    payload = payload_of(pool, "never");
    IS(tsonami_engine_connect(engine, peer, NULL, PATIENCE, &connection), 0);
    IS(tsonami_connection_prepare(connection, payload, 0), 0);
    IS(tsonami_payload_free(payload), 0);
    IS(tsonami_pool_available(pool), available);
    IS(tsonami_connection_close(connection), 0);
    IS(tsonami_pool_available(pool), available + 1);
}

/* A file, what a connection receives, and when it left. */
static void forwarding(TsonamiEngine *engine, const char *peer) {
    TsonamiConnection *connection;
    TsonamiSendTime time;
    FILE *file = tmpfile();
    char byte;
    ptrdiff_t n;
    size_t spliced = 0;

    fputs("from a file; ", file);
    fflush(file);
    IS(tsonami_engine_connect(engine, peer, NULL, PATIENCE, &connection), 0);
    IS(tsonami_connection_send_file(connection, -1, 0, 1, 0, 0), TSONAMI_ERROR_INVALID);
    SAYS("the file is no descriptor");
    IS(tsonami_connection_send_file(connection, 1000000, 0, 1, 0, 0), TSONAMI_ERROR_DEVICE);
    SAYS("Bad file descriptor");
    IS(tsonami_connection_send_file(connection, fileno(file), 5, 100, 0, 0), 8);
    IS(tsonami_connection_send_file(connection, fileno(file), 13, 100, 0, PATIENCE), 0);
    IS(tsonami_connection_send_file(connection, fileno(file), 7, 4, 0, PATIENCE), 4);
    read_exactly(connection, "a file; file");
    fclose(file);

    /* What comes back goes out again, once; the first of it was begun to be read. */
    IS(tsonami_connection_splice(connection, connection, 100, 0, 0), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_connection_keep_send_times(connection), 0);
    IS(tsonami_connection_send_copy(connection, "again", 5, TSONAMI_SEND_TIMESTAMP, 0), 5);
    IS(tsonami_connection_read(connection, &byte, 1, PATIENCE), 1);
    IS(byte, 'a');
    while (spliced < 4) {
        n = tsonami_connection_splice(connection, connection, spliced == 0 ? 1 : 4 - spliced, 0, PATIENCE);
        IS(n > 0, 1);
        spliced += (size_t)n;
    }
    read_exactly(connection, "gain");
    IS(tsonami_connection_wait_acked(connection, UINT64_MAX, PATIENCE), 0);
    IS(tsonami_connection_pop_send_time(connection, &time), 1);
    IS(time.kind, TSONAMI_SEND_TIME_KIND_SCHEDULED);
    IS(tsonami_connection_pop_send_time(connection, &time), 1);
    IS(time.kind, TSONAMI_SEND_TIME_KIND_SENT);
    IS(time.end, 17);
    IS(tsonami_connection_pop_send_time(connection, &time), 1);
    IS(time.kind, TSONAMI_SEND_TIME_KIND_ACKED);
    IS(tsonami_connection_pop_send_time(connection, &time), 0);
    IS(tsonami_connection_pop_send_time(connection, NULL), TSONAMI_ERROR_INVALID);

    IS(tsonami_connection_send_copy(connection, "flushed", 7, TSONAMI_SEND_MORE, 0), 7);
    IS(tsonami_connection_flush(connection), 0);
    read_exactly(connection, "flushed");
    IS(tsonami_connection_finish(connection, PATIENCE), 0);
    IS(tsonami_connection_splice(connection, connection, 100, 0, PATIENCE), 0);
    IS(tsonami_connection_close(connection), 0);
}

struct reader {
    TsonamiConnection *connection;
    pthread_barrier_t ready;
    ptrdiff_t result;
};

static void *read_for_ever(void *argument) {
    struct reader *reader = argument;
    char byte;

    pthread_barrier_wait(&reader->ready);
    /* The other one may be there first. */
    do
        reader->result = tsonami_connection_read(reader->connection, &byte, 1, TSONAMI_FOREVER);
    while (reader->result == TSONAMI_ERROR_BUSY);
    return NULL;
}

/* One thread waits to receive; another may send meanwhile, but neither receive nor close. */
static void two_threads(TsonamiConnection *connection) {
    struct reader reader;
    pthread_t thread;
    char byte;
    ptrdiff_t rc;

    reader.connection = connection;
    pthread_barrier_init(&reader.ready, NULL, 2);
    IS(pthread_create(&thread, NULL, read_for_ever, &reader), 0);
    pthread_barrier_wait(&reader.ready);
    while ((rc = tsonami_connection_read(connection, &byte, 1, 0)) == TSONAMI_ERROR_WOULD_BLOCK)
        continue;
    IS(rc, TSONAMI_ERROR_BUSY);
    SAYS("another thread uses the connection's receiving half");
    IS(tsonami_connection_close(connection), TSONAMI_ERROR_BUSY);
    IS(tsonami_connection_abort(connection), 0);
    IS(pthread_join(thread, NULL), 0);
    IS(reader.result, TSONAMI_ERROR_ABORTED);
    pthread_barrier_destroy(&reader.ready);
}

static void the_end_of_a_connection(TsonamiConnection *connection) {
    TsonamiMarks marks;
    char byte;

    two_threads(connection);
    IS(tsonami_connection_send_copy(connection, "x", 1, 0, 0), TSONAMI_ERROR_ABORTED);
    IS(tsonami_connection_abort(connection), 0);
    IS(tsonami_connection_marks(connection, &marks), 0);
    IS(marks.accepted, TOTAL);
    IS(tsonami_connection_close(connection), 0);
    IS(tsonami_connection_close(connection), TSONAMI_ERROR_HANDLE);
    SAYS("this handle of a connection was given up before");
    IS(tsonami_connection_read(connection, &byte, 1, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send_copy(connection, "x", 1, 0, 0), TSONAMI_ERROR_HANDLE);
}

/* Our direction ends first, and the peer's is read to its end. */
static void in_good_order(TsonamiEngine *engine, const char *peer) {
    TsonamiConnection *connection;
    TsonamiPayload *payload;
    const void *bytes;
    size_t length, got = 0;

    IS(tsonami_engine_connect_at(engine, 1, peer, NULL, PATIENCE, &connection), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_connect_at(engine, 0, peer, "no_delay = true", PATIENCE, &connection), 0);
    IS(tsonami_connection_receive(connection, 0, &payload), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_connection_receive(connection, SECOND / 1000, &payload), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_connection_send_copy(connection, "to the end", 10, 0, 0), 10);
    IS(tsonami_connection_shutdown_write(connection), 0);
    IS(tsonami_connection_finish(connection, PATIENCE), 0);
    IS(tsonami_connection_send_copy(connection, "x", 1, 0, 0), TSONAMI_ERROR_CLOSED);
    while (tsonami_connection_receive(connection, PATIENCE, &payload) == 1) {
        IS(tsonami_payload_bytes(payload, &bytes, &length), 0);
        IS(memcmp(bytes, "to the end" + got, length), 0);
        got += length;
        IS(tsonami_payload_free(payload), 0);
    }
    IS(got, 10);
    IS(tsonami_connection_read(connection, &payload, 1, 0), 0);
    IS(tsonami_connection_close(connection), 0);
}

static void listeners(TsonamiEngine *engine) {
    TsonamiListener *listener, *other;
    TsonamiConnection *connection;

    IS(tsonami_engine_listen(engine, "10.77.0.2:6001", 8, NULL, &listener), 0);
    IS(tsonami_engine_listen(engine, "10.77.0.2:6001", 8, NULL, &other), TSONAMI_ERROR_INVALID);
    IS(tsonami_listener_accept(listener, 0, &connection), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_listener_accept(listener, SECOND / 1000, &connection), TSONAMI_ERROR_WOULD_BLOCK);
    /* The peer connects when it reads this. */
    puts("listening");
    fflush(stdout);
    IS(tsonami_listener_accept(listener, PATIENCE, &connection), 0);
    read_exactly(connection, "hello");
    IS(tsonami_connection_finish(connection, PATIENCE), 0);
    IS(tsonami_connection_close(connection), 0);
    IS(tsonami_listener_close(listener), 0);
    IS(tsonami_listener_close(listener), TSONAMI_ERROR_HANDLE);
    IS(tsonami_listener_accept(listener, 0, &connection), TSONAMI_ERROR_HANDLE);
}

/* Memory of the program's own: what is sent lies in it. */
static void regions(TsonamiEngine *engine) {
    TsonamiRegion *region;
    TsonamiPool *pool, *other;
    TsonamiBuffer *buffer, *second, *third;
    void *start, *bytes;
    size_t length, room;

    IS(tsonami_engine_make_arena(engine, 4096, &region), 0);
    IS(tsonami_region_bytes(region, &start, &length), 0);
    IS(length >= 4096, 1);
    IS(tsonami_engine_make_pool_over(engine, region, (uint32_t)length / 2, &pool), 0);
    IS(tsonami_engine_make_pool_over(engine, region, 64, &other), TSONAMI_ERROR_BUSY);
    SAYS("There is another pool over this memory");
    IS(tsonami_region_free(region), 0);
    IS(tsonami_region_free(region), TSONAMI_ERROR_HANDLE);
    IS(tsonami_pool_available(pool), 2);
    IS(tsonami_pool_alloc(pool, &buffer), 0);
    IS(tsonami_buffer_room(buffer, &bytes, &room), 0);
    IS((char *)bytes >= (char *)start && (char *)bytes + room <= (char *)start + length, 1);
    IS(tsonami_pool_alloc(pool, &second), 0);
    IS(tsonami_buffer_free(second), 0);
    IS(tsonami_pool_alloc(pool, &second), 0);
    IS(tsonami_pool_alloc(pool, &third), TSONAMI_ERROR_WOULD_BLOCK);
    IS(tsonami_buffer_free(second), 0);
    IS(tsonami_pool_free(pool), 0);
    IS(tsonami_pool_free(pool), TSONAMI_ERROR_HANDLE);
    IS(tsonami_buffer_free(buffer), 0);
}

/* Memory that the program had before, which is its own again when the engine is gone. */
static void *memory;

static void registered(TsonamiEngine *engine, const char *peer) {
    TsonamiConnection *connection;
    TsonamiRegion *region;
    TsonamiPool *pool;
    TsonamiPayload *payload;
    const void *bytes;
    size_t length;

    IS(posix_memalign(&memory, 4096, 2 * 4096), 0);
    memset(memory, 0, 2 * 4096);
    IS(tsonami_engine_register(NULL, memory, 8192, 4096, &region), TSONAMI_ERROR_HANDLE);
    IS(tsonami_engine_register(engine, NULL, 8192, 4096, &region), TSONAMI_ERROR_INVALID);
    SAYS("the memory is a null pointer");
    IS(tsonami_engine_register(engine, memory, 8192, 4096, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_engine_register(engine, memory, 4095, 4096, &region), TSONAMI_ERROR_INVALID);
    SAYS("multiples of 4096 bytes");
    IS(tsonami_engine_register(engine, memory, 8192, 4096, &region), 0);
    IS(tsonami_engine_make_pool_over(engine, region, 4096, &pool), 0);
    payload = payload_of(pool, "the program's own memory");
    IS(tsonami_payload_bytes(payload, &bytes, &length), 0);
    IS((const char *)bytes >= (char *)memory && (const char *)bytes + length <= (char *)memory + 8192, 1);
    IS(tsonami_engine_connect(engine, peer, NULL, PATIENCE, &connection), 0);
    IS(tsonami_connection_send(connection, payload, 0, PATIENCE, NULL), 0);
    read_exactly(connection, "the program's own memory");
    IS(tsonami_connection_finish(connection, PATIENCE), 0);
    IS(tsonami_connection_close(connection), 0);
    IS(tsonami_payload_free(payload), 0);
    IS(tsonami_pool_free(pool), 0);
    IS(tsonami_region_free(region), 0);
}

int main(int argc, char **argv) {
    TsonamiEngine *engine, *again;
    TsonamiConnection *connection, *left;
    TsonamiListener *listener;
    TsonamiPool *pool;
    TsonamiPayload *held;
    char byte;

    IS(argc, 3);
    versions(argv[1]);
    IS(tsonami_engine_open(TSONAMI_ABI_VERSION, "devise = 'null'", &engine), TSONAMI_ERROR_INVALID);
    SAYS("devise");
    IS(tsonami_engine_open(TSONAMI_ABI_VERSION, argv[1], &engine), 0);
    nulls(engine, argv[2]);
    IS(tsonami_engine_make_pool(engine, 8, 4096, &pool), 0);
    IS(tsonami_engine_connect(engine, argv[2], NULL, TSONAMI_FOREVER, &connection), 0);
    everything_that_sends(engine, pool, connection);
    the_end_of_a_connection(connection);
    forwarding(engine, argv[2]);
    in_good_order(engine, argv[2]);
    listeners(engine);
    regions(engine);
    registered(engine, argv[2]);
    prepared(engine, pool, argv[2]);
    /* Nothing listens there. */
    IS(tsonami_engine_connect(engine, "10.77.0.1:1", NULL, PATIENCE, &connection), TSONAMI_ERROR_REFUSED);

    /* The engine goes while others are still there. */
    IS(tsonami_engine_connect(engine, argv[2], NULL, PATIENCE, &left), 0);
    IS(tsonami_engine_listen(engine, "10.77.0.2:6002", 8, NULL, &listener), 0);
    held = payload_of(pool, "held");
    again = engine;
    IS(tsonami_engine_shutdown(engine, PATIENCE), TSONAMI_ERROR_UNCLEAN);
    SAYS("1 buffers were missing");
    IS(tsonami_engine_shutdown(again, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_connection_send(left, held, 0, PATIENCE, NULL) < 0, 1);
    IS(tsonami_connection_read(left, &byte, 1, PATIENCE) <= 0, 1);
    IS(tsonami_listener_accept(listener, PATIENCE, &connection), TSONAMI_ERROR_ENGINE_GONE);
    IS(tsonami_connection_close(left), 0);
    IS(tsonami_listener_close(listener), 0);
    IS(tsonami_payload_free(held), 0);
    IS(tsonami_pool_free(pool), 0);
    free(memory);
    puts("done");
    return 0;
}
