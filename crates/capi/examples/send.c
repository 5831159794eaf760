/* Sends a line of text to a peer and waits until it is acknowledged.
 *
 *   cc send.c -I../include -ltsonami_c -o send
 *   ./send 'device = "tap:tsonami0,host=10.77.0.1/24"
 *           address = "10.77.0.2/24"' 10.77.0.1:5001
 */
#include <stdio.h>
#include <string.h>

#include "tsonami.h"

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, tsonami_error_message());
    return 1;
}

int main(int argc, char **argv) {
    static const char line[] = "hello from C\n";
    struct Tsonami *engine;
    TsonamiEvent event;
    TsonamiMarks marks;
    uint64_t connection;
    int over = 0, failed = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: send CONFIG PEER:PORT\n");
        return 2;
    }
    if (tsonami_abi_version() != TSONAMI_ABI_VERSION) {
        fprintf(stderr, "the library is of another version than its header\n");
        return 2;
    }
    engine = tsonami_open(argv[1]);
    if (engine == NULL)
        return fail("open");
    if (tsonami_connect(engine, argv[2], &connection) < 0) {
        fail("connect");
        tsonami_close(engine, 0);
        return 1;
    }
    while (!over) {
        bool busy = tsonami_poll(engine) > 0;
        while (!over && tsonami_next_event(engine, &event) > 0) {
            busy = true;
            switch (event.kind) {
            case TSONAMI_EVENT_KIND_CONNECTED:
                if (tsonami_send(engine, connection, line, strlen(line)) < 0)
                    failed = fail("send");
                tsonami_shutdown_write(engine, connection);
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
        tsonami_rest(engine, busy);
    }
    if (tsonami_marks(engine, connection, &marks) == 0)
        printf("%llu bytes acknowledged\n", (unsigned long long)marks.acked);
    if (tsonami_close(engine, 1000) < 0)
        failed = fail("close");
    return failed;
}
