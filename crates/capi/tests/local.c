/* Every call of the C interface on an engine that its caller polls: what it does, and what becomes of misuse.
 * The peer sends back what it gets.
 *
 *   local CONFIG PEER:PORT
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tsonami.h"

#define SECOND INT64_C(1000000000)

/* Ends the program unless `is` is `expected`. */
#define IS(is, expected) equal((int64_t)(is), (int64_t)(expected), #is, __LINE__)

static void equal(int64_t is, int64_t expected, const char *what, int line) {
    if (is != expected) {
        fprintf(stderr, "line %d: %s is %" PRId64 " and not %" PRId64 ": %s\n", line, what, is, expected,
                tsonami_last_error());
        exit(1);
    }
}

static void nulls(TsonamiLocal *engine, const char *peer) {
    TsonamiEvent event;
    TsonamiPool *pool;
    TsonamiRegion *region;
    TsonamiPayload *payload;
    uint64_t connection;
    char byte;

    IS(tsonami_local_open(TSONAMI_ABI_VERSION + 1, "", &engine), TSONAMI_ERROR_VERSION);
    IS(tsonami_local_open(TSONAMI_ABI_VERSION, NULL, &engine), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_open(TSONAMI_ABI_VERSION, "", NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_close(NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_close(engine, -1), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_poll(NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_rest(NULL, true), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_next_event(NULL, &event), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_next_event(engine, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_connect(NULL, peer, NULL, &connection), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_connect(engine, NULL, NULL, &connection), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_connect(engine, peer, "nonsense", &connection), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_connect(engine, peer, NULL, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_listen(NULL, "10.77.0.2:6001", 1, NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_listen(engine, NULL, 1, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_read(NULL, 1, &byte, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_read(engine, 1, NULL, 1), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_marks(engine, 1, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_stats(engine, 1, NULL, sizeof(TsonamiStats)), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_send(NULL, 1, NULL, 0, NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_send_copy(NULL, 1, "x", 1, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_send_copy(engine, 1, NULL, 1, 0), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_send_pieces(NULL, 1, NULL, 0, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_send_pieces(engine, 1, NULL, 1, 0), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_send_file(NULL, 1, 0, 0, 1, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_send_file(engine, 1, -1, 0, 1, 0), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_splice(NULL, 1, 1, 1, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_flush(NULL, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_keep_reclaimed(NULL, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_pop_reclaimed(NULL, 1, &payload, NULL), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_pop_reclaimed(engine, 1, NULL, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_set(NULL, 1, TSONAMI_SETTING_CORK, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_shutdown_write(NULL, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_abort(NULL, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_release(NULL, 1), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_make_pool(NULL, 8, 4096, &pool), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_make_pool(engine, 8, 4096, NULL), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_make_arena(NULL, 4096, &region), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_register(engine, NULL, 4096, 4096, &region), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_make_pool_over(engine, NULL, 4096, &pool), TSONAMI_ERROR_HANDLE);
    /* A number that is no connection. */
    IS(tsonami_local_shutdown_write(engine, 12345), TSONAMI_ERROR_CLOSED);
    IS(tsonami_local_release(engine, 12345), TSONAMI_ERROR_CLOSED);
    IS(tsonami_local_read(engine, 12345, &byte, 1), TSONAMI_ERROR_CLOSED);
}

static void *elsewhere(void *engine) {
    IS(tsonami_local_poll(engine), TSONAMI_ERROR_HANDLE);
    IS(strstr(tsonami_last_error(), "another thread's") != NULL, 1);
    IS(tsonami_local_close(engine, 0), TSONAMI_ERROR_HANDLE);
    return NULL;
}

/* Turns the loop until an event of this kind came. */
static void turn_until(TsonamiLocal *engine, TsonamiEventKind kind, TsonamiEvent *event) {
    for (;;) {
        while (tsonami_local_next_event(engine, event) > 0) {
            if (event->kind == kind)
                return;
            IS(event->kind == TSONAMI_EVENT_KIND_CLOSED && event->error != TSONAMI_ERROR_OK, 0);
        }
        IS(tsonami_local_rest(engine, tsonami_local_poll(engine) > 0), 0);
    }
}

static void read_exactly(TsonamiLocal *engine, uint64_t connection, const char *expected) {
    char buffer[128];
    size_t length = strlen(expected), got = 0;

    while (got < length) {
        ptrdiff_t n = tsonami_local_read(engine, connection, buffer + got, length - got);
        IS(n >= 0, 1);
        got += (size_t)n;
        tsonami_local_poll(engine);
    }
    IS(memcmp(buffer, expected, length), 0);
}

/* The program's own, registered until the engine is closed, which counts its pools in the end. */
static void *memory;

static void everything(TsonamiLocal *engine, const char *peer) {
    static const char text[] = "without a copy; ";
    TsonamiRegion *region;
    TsonamiPool *pool, *other;
    TsonamiBuffer *buffer;
    TsonamiPayload *payload, *back;
    TsonamiEvent event;
    TsonamiMarks marks;
    TsonamiStats stats;
    TsonamiPiece pieces[2];
    FILE *file = tmpfile();
    void *bytes;
    size_t room;
    uint64_t connection, offset = 7;
    int rc;

    /* Memory of the program's own. */
    IS(posix_memalign(&memory, 4096, 8 * 4096), 0);
    IS(tsonami_local_register(engine, memory, 4095, 4096, &region), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_register(engine, memory, 8 * 4096, 4096, &region), 0);
    IS(tsonami_local_make_pool_over(engine, region, 4096, &pool), 0);
    IS(tsonami_local_make_pool_over(engine, region, 4096, &other), TSONAMI_ERROR_BUSY);
    IS(tsonami_pool_alloc(pool, &buffer), 0);
    IS(tsonami_buffer_room(buffer, &bytes, &room), 0);
    IS((char *)bytes >= (char *)memory && (char *)bytes < (char *)memory + 8 * 4096, 1);
    memcpy(bytes, text, strlen(text));
    IS(tsonami_buffer_freeze(buffer, strlen(text), &payload), 0);
    IS(tsonami_buffer_free(buffer), 0);

    IS(tsonami_local_connect(engine, peer, NULL, &connection), 0);
    turn_until(engine, TSONAMI_EVENT_KIND_CONNECTED, &event);
    IS(event.connection == connection, 1);
    IS(tsonami_local_keep_reclaimed(engine, connection), 0);
    IS(tsonami_local_send(engine, connection, payload, 16, &offset), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_send(engine, connection, payload, TSONAMI_SEND_TIMESTAMP, &offset), 0);
    IS(offset, 0);
    turn_until(engine, TSONAMI_EVENT_KIND_SEND_TIME, &event);
    IS(event.time.kind, TSONAMI_SEND_TIME_KIND_SCHEDULED);
    turn_until(engine, TSONAMI_EVENT_KIND_SEND_TIME, &event);
    IS(event.time.kind, TSONAMI_SEND_TIME_KIND_SENT);
    IS(event.time.end, strlen(text));
    read_exactly(engine, connection, text);

    memset(pieces, 0, sizeof pieces);
    pieces[0].bytes = "header, ";
    pieces[0].length = 8;
    pieces[1].payload = payload;
    IS(tsonami_local_send_pieces(engine, connection, pieces, 2, 0), 24);
    IS(pieces[0].length, 0);
    IS(pieces[1].payload == NULL, 1);
    read_exactly(engine, connection, "header, without a copy; ");

    fputs("from a file; ", file);
    fflush(file);
    IS(tsonami_local_send_file(engine, connection, fileno(file), 5, 100, 0), 8);
    IS(tsonami_local_splice(engine, connection, connection, 100, 0), 0);
    IS(tsonami_local_send_copy(engine, connection, "copied", 6, TSONAMI_SEND_MORE), 6);
    IS(tsonami_local_flush(engine, connection), 0);
    IS(tsonami_local_set(engine, connection, TSONAMI_SETTING_NO_DELAY, 1), 0);
    IS(tsonami_local_set(engine, connection, TSONAMI_SETTING_NO_DELAY, 3), TSONAMI_ERROR_INVALID);
    read_exactly(engine, connection, "a file; copied");
    fclose(file);

    IS(tsonami_local_shutdown_write(engine, connection), 0);
    turn_until(engine, TSONAMI_EVENT_KIND_FINISHED, &event);
    IS(tsonami_local_send_copy(engine, connection, "x", 1, 0), TSONAMI_ERROR_CLOSED);
    IS(tsonami_local_marks(engine, connection, &marks), 0);
    IS(marks.acked, 54);
    IS(tsonami_local_stats(engine, connection, &stats, sizeof stats), 0);
    IS(stats.bytes_acked, 54);
    while ((rc = tsonami_local_pop_reclaimed(engine, connection, &back, &offset)) == 0)
        tsonami_local_poll(engine);
    IS(rc, 1);
    IS(offset, 0);
    IS(tsonami_payload_free(back), 0);
    while ((rc = tsonami_local_pop_reclaimed(engine, connection, &back, NULL)) == 0)
        tsonami_local_poll(engine);
    IS(rc, 1);
    IS(tsonami_payload_free(back), 0);
    IS(tsonami_payload_free(payload), 0);
    IS(tsonami_local_release(engine, connection), 0);

    IS(tsonami_local_connect(engine, peer, NULL, &connection), 0);
    turn_until(engine, TSONAMI_EVENT_KIND_CONNECTED, &event);
    IS(tsonami_local_abort(engine, connection), 0);
    IS(tsonami_local_release(engine, connection), 0);
    IS(tsonami_pool_free(pool), 0);
    IS(tsonami_region_free(region), 0);
}

int main(int argc, char **argv) {
    TsonamiLocal *engine;
    TsonamiEvent event;
    uint64_t connection;
    pthread_t thread;

    IS(argc, 3);
    IS(tsonami_local_open(TSONAMI_ABI_VERSION, argv[1], &engine), 0);
    nulls(engine, argv[2]);
    IS(pthread_create(&thread, NULL, elsewhere, engine), 0);
    IS(pthread_join(thread, NULL), 0);
    everything(engine, argv[2]);

    IS(tsonami_local_listen(engine, "10.77.0.2:6001", 8, NULL), 0);
    IS(tsonami_local_listen(engine, "10.77.0.2:6001", 8, NULL), TSONAMI_ERROR_INVALID);
    /* The peer connects when it reads this. */
    puts("listening");
    fflush(stdout);
    turn_until(engine, TSONAMI_EVENT_KIND_ACCEPTED, &event);
    connection = event.connection;
    read_exactly(engine, connection, "hello");
    IS(tsonami_local_shutdown_write(engine, connection), 0);
    turn_until(engine, TSONAMI_EVENT_KIND_FINISHED, &event);
    IS(tsonami_local_release(engine, connection), 0);
    IS(tsonami_local_drain(NULL, 0), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_drain(engine, -1), TSONAMI_ERROR_INVALID);
    IS(tsonami_local_drain(engine, 60 * SECOND), 1);
    IS(tsonami_local_close(engine, SECOND), 0);
    IS(tsonami_local_close(engine, SECOND), TSONAMI_ERROR_HANDLE);
    IS(tsonami_local_poll(engine), TSONAMI_ERROR_HANDLE);
    free(memory);
    puts("done");
    return 0;
}
