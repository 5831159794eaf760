/* Sends a line of text to a peer and waits until it is acknowledged, in a loop of its own: there is no other thread.
 *
 *   cc own_loop.c $(pkg-config --cflags --libs tsonami) -o own_loop
 *   ./own_loop 'device = "tap:tsonami0,host=10.77.0.1/24"
 *               address = "10.77.0.2/24"' 10.77.0.1:5001
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tsonami.h"

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, tsonami_last_error());
    return 1;
}

int main(int argc, char **argv) {
    static const char line[] = "hello from C\n";
    TsonamiLocal *engine;
    TsonamiEvent event;
    TsonamiMarks marks;
    uint64_t connection;
    size_t sent = 0;
    int open = 0, over = 0, failed = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: own_loop CONFIG PEER:PORT\n");
        return 2;
    }
    if (tsonami_local_open(TSONAMI_ABI_VERSION, argv[1], &engine) < 0)
        return fail("open");
    if (tsonami_local_connect(engine, argv[2], NULL, &connection) < 0) {
        fail("connect");
        tsonami_local_close(engine, 0);
        return 1;
    }
    while (!over) {
        bool busy = tsonami_local_poll(engine) > 0;
        while (!over && tsonami_local_next_event(engine, &event) > 0) {
            busy = true;
            switch (event.kind) {
            case TSONAMI_EVENT_KIND_CONNECTED:
                open = 1;
                break;
            case TSONAMI_EVENT_KIND_FINISHED:
                over = 1;
                break;
            case TSONAMI_EVENT_KIND_CLOSED:
                if (event.error != TSONAMI_ERROR_OK)
                    failed = fail("connection");
                over = 1;
                break;
            default:
                break;
            }
        }
        /* A copying send takes what there is room for; the rest has its turn later. */
        if (open && !over && sent < strlen(line)) {
            ptrdiff_t took = tsonami_local_send_copy(engine, connection, line + sent, strlen(line) - sent, 0);
            if (took < 0 && took != TSONAMI_ERROR_WOULD_BLOCK) {
                failed = fail("send");
                break;
            }
            sent += took > 0 ? (size_t)took : 0;
            if (sent == strlen(line))
                tsonami_local_shutdown_write(engine, connection);
        }
        tsonami_local_rest(engine, busy);
    }
    if (tsonami_local_marks(engine, connection, &marks) == 0)
        printf("%" PRIu64 " bytes acknowledged\n", marks.acked);
    if (tsonami_local_close(engine, INT64_C(1000000000)) < 0)
        failed = fail("close");
    return failed;
}
